// What the types that are generated from openapi.yaml accept and refuse. The compiler is the test: an error that does not occur
// where one is expected is an error too.

import type { components, paths } from "./generated.js";

type Body<Path extends keyof paths> = paths[Path] extends {
  post: { requestBody: { content: { "application/json": infer Content } } };
}
  ? Content
  : never;
type Problem<Path extends keyof paths, Status extends number> = paths[Path] extends {
  post: { responses: { [Key in Status]: { content: { "application/problem+json": infer Content } } } };
}
  ? Content
  : never;

export const send: Body<"/v1/otp/send"> = { phone_number: "9841234567", locale: "ne" };
export const submit: Body<"/v1/otp/submit"> = { phone_number: "9841234567", otp: "042917", restore: true };
export const firebase: Body<"/v1/otp/submit"> = { firebase_id_token: "a.b.c" };
export const change: Body<"/v1/phone/otp/send"> = { phone_number: "9841234567", change: true };
export const validate: Body<"/v1/phone/otp/validate"> = { phone_number: "9841234567", otp: "042917", username: "sita" };
export const older: Body<"/v1/phone/otp/validate"> = { phone: "9841234567", otp: "042917" };

// @ts-expect-error A send needs a number.
export const nowhere: Body<"/v1/otp/send"> = {};
// @ts-expect-error A submit needs a code or a token.
export const nothing: Body<"/v1/otp/submit"> = {};
// @ts-expect-error A code needs its number.
export const numberless: Body<"/v1/otp/submit"> = { otp: "042917" };
// @ts-expect-error A code is a text, or it would lose its zeros.
export const numeric: Body<"/v1/otp/submit"> = { phone_number: "9841234567", otp: 42917 };
// @ts-expect-error A validation is an object.
export const scalar: Body<"/v1/phone/otp/validate"> = 42;
// @ts-expect-error It needs a number.
export const unaddressed: Body<"/v1/phone/otp/validate"> = { otp: "042917" };
// @ts-expect-error A switch is true or false.
export const text: Body<"/v1/phone/otp/send"> = { phone_number: "9841234567", change: "true" };

/** Each code of the route is a case, and each case has the members of its problem. */
export function advise(problem: Problem<"/v1/otp/submit", 400> | Problem<"/v1/otp/submit", 403>): string {
  switch (problem.code) {
    case "incorrect_otp":
      return problem.attempts_left === 0 ? "new code" : "again";
    case "otp_expired":
      return "new code";
    case "malformed_request":
    case "no_such_organization":
      return problem.errors.map(({ pointer, header, detail }) => `${pointer ?? header}: ${detail}`).join();
    case "number_released":
      return `${problem.undoes} until ${problem.undo_until}`;
    case "recovery_pending":
      return `${problem.opens_at} to ${problem.closes_at}`;
    case "recovery_refused":
      return `from ${problem.possible_at}`;
    case "second_signal_required":
      return problem.approval_asked ? "wait for the approval" : "choose a second signal";
    case "invalid_phone_number":
    case "firebase_token_invalid":
    case "firebase_token_expired":
    case "country_not_allowed":
    case "test_number_refused":
    case "not_a_member":
    case "account_blocked":
    case "edge_required":
      // @ts-expect-error These have no such member.
      return problem.retry_after;
    default:
      return problem satisfies never;
  }
}

/** All codes, for a program that handles them in one place. */
export type Code = Extract<components["schemas"][keyof components["schemas"]], { code: string }>["code"];
export const known: Code[] = ["service_unavailable", "session_revoked"];
// @ts-expect-error There is no such code.
export const unknown: Code = "no_such_code";
