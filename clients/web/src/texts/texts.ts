// What the element says. `{…}` marks what is filled in.

import type { ClientCode, ProblemCode } from "../problem.ts";

/** The problems about which a person can do something. `gateway_failed` also stands for its like, and `no_answer` too. */
export type NamedProblem = Extract<
  ProblemCode | ClientCode,
  | "incorrect_otp"
  | "otp_expired"
  | "too_many_attempts"
  | "too_many_requests"
  | "invalid_phone_number"
  | "country_not_allowed"
  | "sms_gateway_unavailable"
  | "gateway_failed"
  | "no_answer"
  | "not_a_member"
  | "account_blocked"
  | "invalid_dpop_proof"
  | "second_signal_required"
>;

export interface Texts {
  /** For digits and dates. */
  readonly locale: string;
  readonly dateStyle: "long" | "short";
  readonly signIn: string;
  readonly numberHint: string;
  readonly country: string;
  readonly number: string;
  readonly send: string;
  readonly codeTitle: string;
  readonly codeHint: string;
  readonly code: string;
  readonly submit: string;
  readonly busy: string;
  readonly resend: string;
  readonly resendIn: string;
  readonly newCode: string;
  readonly newCodeHint: string;
  readonly noCode: string;
  readonly noCodeHint: string;
  readonly otherNumber: string;
  readonly attemptsLeft: string;
  readonly tryIn: string;
  readonly tryAfter: string;
  readonly secondTitle: string;
  readonly secondHint: string;
  readonly approved: string;
  readonly approvedHint: string;
  readonly knownDevice: string;
  readonly recover: string;
  readonly recoverHint: string;
  readonly fresh: string;
  readonly freshHint: string;
  readonly deletedTitle: string;
  readonly deletedHint: string;
  readonly restoreAccount: string;
  readonly freshFinal: string;
  readonly changedTitle: string;
  readonly changedHint: string;
  readonly restoreNumber: string;
  readonly signOthersOut: string;
  readonly recoveryTitle: string;
  readonly recoveryHint: string;
  readonly refusedHint: string;
  readonly signedIn: string;
  readonly ended: string;
  /** All other problems: the app is to blame, and no person can help it. */
  readonly appFault: string;
  readonly problems: Readonly<Record<NamedProblem, string>>;
}
