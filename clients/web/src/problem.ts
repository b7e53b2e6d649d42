// What can go wrong with a request, as one class with a stable code.

import type { components } from "./openapi.ts";

type Schemas = components["schemas"];
/** The problems of all routes, each by its code. */
type AnyProblem = { [Name in keyof Schemas]: Name extends `${string}Problem` ? Schemas[Name] : never }[keyof Schemas];
type KeyOf<Union> = Union extends unknown ? keyof Union : never;
type ValueOf<Union, Key extends PropertyKey> = Union extends Readonly<Partial<Record<Key, infer Value>>> ? Value : never;

/** The codes of Latchkey's own answers. */
export type ProblemCode = AnyProblem["code"];

/** All members that a problem may have. */
export type ProblemBody = { readonly [Key in KeyOf<AnyProblem>]: ValueOf<AnyProblem, Key> };

/**
 * Codes that the client gives to what Latchkey did not say.
 *
 * - `gateway_throttled`, `gateway_failed`, `gateway_refused`: API Gateway answered, or something else in between.
 * - `no_answer`, `timed_out`: nobody answered. The server may have done what was asked.
 * - `signed_out`: the request needs a session and there is none. Nothing was sent.
 */
export type ClientCode =
  "gateway_throttled" | "gateway_failed" | "gateway_refused" | "no_answer" | "timed_out" | "signed_out";

/** In characters. */
const LONGEST_DETAIL = 500;
/** The year 5138, in seconds since the epoch. A date can show what is below. */
const LATEST = 1e11;

/** A number of seconds or tries that can be real. Whoever answers may not be Latchkey. */
export function plausible(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value < LATEST ? value : undefined;
}

/** A request that did not succeed. Branch on `code`; `message` is a sentence for people. */
export class Problem extends Error {
  declare readonly code: ProblemCode | ClientCode;
  /** The HTTP status. 0 if there was no answer. */
  declare readonly status: number;
  /** Seconds to wait before the next try. */
  declare readonly retryAfter: number | undefined;
  /** Tries that are left with this code. */
  declare readonly attemptsLeft: number | undefined;
  /** Quote it when you report a fault. */
  declare readonly requestId: string | undefined;
  /** All members of Latchkey's answer, such as `opens_at`, as they came. Empty if somebody else answered. */
  declare readonly body: Partial<ProblemBody>;

  constructor(code: ProblemCode | ClientCode, status = 0, body: Partial<ProblemBody> = {}, headers = new Headers()) {
    const { detail } = body;
    super((typeof detail === "string" ? detail : code).slice(0, LONGEST_DETAIL));
    this.name = "Problem";
    this.code = code;
    this.status = status;
    this.body = body;
    this.retryAfter = plausible(body.retry_after ?? Number(headers.get("retry-after") ?? NaN));
    this.attemptsLeft = plausible(body.attempts_left);
    this.requestId = headers.get("x-request-id") ?? undefined;
  }
}

/** The problem that an answer states. API Gateway's own answers have a `message` and no `code`. */
export function problemOf(status: number, body: unknown, headers: Headers): Problem {
  const members = Object(body) as Partial<ProblemBody>;
  if (typeof members.code === "string") return new Problem(members.code, status, members, headers);
  const code = status === 429 ? "gateway_throttled" : status >= 500 ? "gateway_failed" : "gateway_refused";
  return new Problem(code, status, {}, headers);
}
