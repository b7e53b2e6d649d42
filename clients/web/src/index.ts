// What an app imports: the session, a sign-in without an interface, the typed calls, and their problems.

export {
  Api,
  type Answer,
  type ApiOptions,
  type Body,
  type CallOptions,
  type CodeSent,
  type Device,
  type Me,
  type Operation,
  type SignedIn,
  type Submit,
  type Tokens,
} from "./api.ts";
export { type ClientCode, Problem, type ProblemBody, type ProblemCode } from "./problem.ts";
export { type Claims, type EndReason, Session, type SessionEvent, type SessionOptions } from "./session.ts";
export {
  type CodeStep,
  type NumberStep,
  type RecoveryStep,
  type ReleasedStep,
  type SecondSignalStep,
  SignIn,
  type SignInOptions,
  type SignInState,
  type SignedInStep,
} from "./sign-in.ts";
export { IndexedDbStore, MemoryStore, type Store } from "./store.ts";
