// A sign-in from the number to the session, without an interface: a state, and the steps that change it.

import type { Session } from "./session.ts";
import type { Body, SignedIn, Submit } from "./api.ts";
import { Problem, plausible } from "./problem.ts";

/** Times are milliseconds since the epoch by this device's clock. */
interface Common {
  /** A request is on its way. The steps do nothing until it is answered. */
  readonly busy: boolean;
  /** Why the last step did not succeed. */
  readonly problem: Problem | undefined;
  /** Until then, the step that was refused would be refused again. 0 if there is nothing to wait for. */
  readonly waitUntil: number;
}

export interface NumberStep extends Common {
  readonly step: "number";
}

/** What is known of the code that was sent. */
interface CodeSentTo extends Common {
  readonly phoneNumber: string;
  readonly challengeId: string;
  readonly expiresAt: number;
  /** From then on another message can be sent. It has the same code as long as that is valid. */
  readonly resendAt: number;
  readonly attemptsLeft: number;
}

export interface CodeStep extends CodeSentTo {
  readonly step: "code";
  /** No more code is accepted until another one is sent. */
  readonly needsNewCode: boolean;
}

/** The code was right, but nobody has proven the number for long. */
export interface SecondSignalStep extends CodeSentTo {
  readonly step: "second-signal";
  /** A signed-in device was asked. Once the person has approved there, call `approved`. */
  readonly approvalAsked: boolean;
}

/** The code was right, but the number's account was deleted or has another number. */
export interface ReleasedStep extends CodeSentTo {
  readonly step: "released";
  readonly undoes: "number_change" | "account_deletion";
  readonly undoUntil: number;
}

/** The person has asked for the account of the number. */
export interface RecoveryStep extends CodeSentTo {
  readonly step: "recovery";
  /** From `opensAt` to `closesAt`, a new code and `recover` open the account. Both are 0 if a device refused. */
  readonly opensAt: number;
  readonly closesAt: number;
  /** After a refusal, from when on the person can ask again. Otherwise 0. */
  readonly possibleAt: number;
}

export interface SignedInStep extends Common {
  readonly step: "signed-in";
  readonly signedIn: SignedIn;
}

export type SignInState = NumberStep | CodeStep | SecondSignalStep | ReleasedStep | RecoveryStep | SignedInStep;

export interface SignInOptions {
  readonly organizationId?: string | undefined;
  /** The language of the message. It can change between two sends. */
  readonly locale?: (() => string | undefined) | undefined;
  /** What the list of devices calls this one. */
  readonly deviceName?: string | undefined;
  /** Where a new user came from, in the app's own words. */
  readonly source?: string | undefined;
  /** What `saved` returned before a reload. */
  readonly saved?: string | null | undefined;
}

type SignOut = "sign others out" | false | undefined;

type Way = Pick<Submit, "restore" | "fresh_account" | "recover" | "sign_out_others">;

const idle = { busy: false, problem: undefined, waitUntil: 0 } as const;
const start: NumberStep = { ...idle, step: "number" };

export class SignIn {
  readonly #session: Session;
  readonly #options: SignInOptions;
  readonly #listeners = new Set<(state: SignInState) => void>();
  #state: SignInState = start;
  #otp = "";
  /** The last submit that may not have been answered, and its key. */
  #unanswered = { request: "", key: "" };

  constructor(session: Session, options: SignInOptions = {}) {
    this.#session = session;
    this.#options = options;
    const sent = JSON.parse(options.saved ?? "{}") as CodeStep;
    if (sent.expiresAt > Date.now()) this.#state = { ...sent, ...idle, step: "code", needsNewCode: !sent.attemptsLeft };
  }

  get state(): SignInState {
    return this.#state;
  }

  /**
   * Keep it for the tab: while the person reads the message, a phone may discard the page. It has the number, no code and no
   * tokens.
   */
  saved(): string {
    return JSON.stringify("phoneNumber" in this.#state ? this.#state : start);
  }

  /** Calls the listener after each change of the state. Returns a function that ends this. */
  subscribe(listener: (state: SignInState) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Sends a code to a number in any form. A national one is read in the organization's default region. */
  async send(phoneNumber: string): Promise<void> {
    await this.#step(async (): Promise<CodeStep> => {
      const { organizationId, locale, source } = this.#options;
      // A member that is undefined is not sent.
      const body = { phone_number: phoneNumber, organization_id: organizationId, locale: locale?.(), source };
      const sent = await this.#session.api.call("sendOtp", body as Body<"sendOtp">);
      const at = (seconds: unknown): number => Date.now() + 1000 * (plausible(seconds) ?? 0);
      const attemptsLeft = plausible(sent.attempts_left) ?? 0;
      return {
        ...idle,
        step: "code",
        phoneNumber,
        challengeId: sent.challenge_id,
        expiresAt: at(sent.expires_in),
        resendAt: at(sent.resend_in),
        attemptsLeft,
        needsNewCode: !attemptsLeft,
      };
    });
  }

  /** Sends another message to the same number. */
  async resend(): Promise<void> {
    if ("phoneNumber" in this.#state) await this.send(this.#state.phoneNumber);
  }

  /** Submits the code of the message. Digits of any script will do. Other devices can be signed out with it. */
  submit(otp: string, others?: SignOut): Promise<void> {
    return this.#submit({ sign_out_others: !!others }, otp);
  }

  /** After an approval on another device. */
  approved(): Promise<void> {
    return this.#submit({});
  }

  /** Takes the change of the number, or the deletion of the account, back. */
  restore(others?: SignOut): Promise<void> {
    return this.#submit({ restore: true, sign_out_others: !!others });
  }

  /** Creates a new account for the number. */
  freshAccount(): Promise<void> {
    return this.#submit({ fresh_account: true });
  }

  /** Asks for the older account of the number, or opens it once the wait is over. */
  recover(): Promise<void> {
    return this.#submit({ recover: true });
  }

  /**
   * Starts again, with another number, also while a request is on its way: its answer then changes nothing here. If it opens
   * a session, that ends at once, because the person has given that number up, and may be signed in with another one by then.
   */
  restart(): void {
    this.#set(start);
  }

  async #submit(way: Way, otp = this.#otp): Promise<void> {
    const state = this.#state;
    if (!("phoneNumber" in state)) return;
    await this.#step(async (isGivenUp) => {
      this.#otp = otp;
      const { organizationId, deviceName, source } = this.#options;
      const body = {
        phone_number: state.phoneNumber,
        otp,
        challenge_id: state.challengeId,
        organization_id: organizationId,
        device_name: deviceName,
        source,
        ...way,
      } as Submit;
      // The server knows by the key that this is the same submit, whose answer was lost, and not another one.
      const request = JSON.stringify(body);
      if (this.#unanswered.request !== request) {
        this.#unanswered = { request, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
      }
      const unanswered = this.#unanswered;
      const { api } = this.#session;
      try {
        const signedIn = await api.call("submitOtp", body, { idempotencyKey: unanswered.key });
        unanswered.request = "";
        if (isGivenUp()) await api.call("signOut", undefined, { token: signedIn });
        else await this.#session.signIn(signedIn);
        return { ...idle, step: "signed-in", signedIn };
      } catch (error) {
        if (!(error instanceof Problem && error.body.code && error.code !== "service_unavailable")) throw error;
        unanswered.request = "";
        return this.#refused(state, error);
      }
    });
  }

  #refused(state: CodeSentTo & SignInState, problem: Problem): SignInState {
    const { body, code } = problem;
    const milliseconds = (stated: unknown): number => {
      const seconds = plausible(stated);
      return seconds ? (seconds - this.#session.api.aheadSeconds) * 1000 : 0;
    };
    // Each submit of a code has used one attempt, whatever became of it.
    const attemptsLeft = problem.attemptsLeft ?? Math.max(0, state.attemptsLeft - 1);
    const sent = { ...state, ...idle, attemptsLeft };
    switch (code) {
      case "second_signal_required":
        return {
          ...sent,
          step: "second-signal",
          approvalAsked: body.approval_asked === true,
          // The person said that they have approved, and nobody has.
          problem: state.step === "second-signal" ? problem : undefined,
        };
      case "number_released":
        return {
          ...sent,
          step: "released",
          undoes: body.undoes ?? "number_change",
          undoUntil: milliseconds(body.undo_until),
        };
      case "recovery_pending":
      case "recovery_refused":
        return {
          ...sent,
          step: "recovery",
          opensAt: milliseconds(body.opens_at),
          closesAt: milliseconds(body.closes_at),
          possibleAt: milliseconds(body.possible_at),
        };
      case "incorrect_otp":
      case "otp_expired":
      case "too_many_attempts":
        return { ...sent, step: "code", problem, needsNewCode: code !== "incorrect_otp" || !attemptsLeft };
      default:
        throw problem;
    }
  }

  /** One request at a time: a second click must not use a second attempt. After a restart, its answer changes nothing. */
  async #step(work: (isGivenUp: () => boolean) => Promise<SignInState>): Promise<void> {
    if (this.#state.busy) return;
    const busy = { ...this.#state, busy: true, problem: undefined, waitUntil: 0 };
    const isGivenUp = (): boolean => this.#state !== busy;
    const finish = (state: SignInState): void => {
      if (!isGivenUp()) this.#set(state);
    };
    this.#set(busy);
    try {
      finish(await work(isGivenUp));
    } catch (error) {
      const problem = error instanceof Problem ? error : undefined;
      const waitUntil = problem?.retryAfter ? Date.now() + problem.retryAfter * 1000 : 0;
      finish({ ...busy, busy: false, problem, waitUntil });
      if (!problem) throw error;
    }
  }

  #set(state: SignInState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}
