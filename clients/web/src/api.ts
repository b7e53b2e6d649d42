// One typed call for each operation of openapi.yaml, with its timeouts, its retries and its proofs.

import type { components, operations } from "./openapi.ts";
import { Problem, problemOf } from "./problem.ts";
import { type DeviceKey, prove } from "./proof.ts";

type Schemas = components["schemas"];
export type Me = Schemas["User"];
export type Device = Schemas["Session"];
export type Tokens = Schemas["Tokens"];
export type SignedIn = Schemas["SignIn"];
export type CodeSent = Schemas["Sent"];

/** The keys with which a backend verifies tokens are nothing for an app. */
export type Operation = Exclude<keyof operations, "getJwks" | "getOpenidConfiguration">;

/** The method and the path of each operation. The type makes a new operation of openapi.yaml a compile error here. */
const routes: Record<Operation, `${string} /${string}`> = {
  sendOtp: "POST /v1/otp/send",
  submitOtp: "POST /v1/otp/submit",
  sendPhoneOtp: "POST /v1/phone/otp/send",
  validatePhoneOtp: "POST /v1/phone/otp/validate",
  undoPhoneChange: "POST /v1/phone/change/undo",
  cancelPhoneChange: "POST /v1/phone/change/cancel",
  cancelRecovery: "POST /v1/recovery/cancel",
  refreshSession: "POST /v1/session/refresh",
  signOut: "DELETE /v1/session",
  listSessions: "GET /v1/sessions",
  signOutEverywhere: "DELETE /v1/sessions",
  revokeSession: "DELETE /v1/sessions/{session_id}",
  getMe: "GET /v1/me",
  patchMe: "PATCH /v1/me",
  deleteMe: "DELETE /v1/me",
  putFcmToken: "PUT /v1/me/fcm-token",
  approveSignIn: "POST /v1/me/sign-in-approval",
};

/**
 * A second send of a code has to wait, and a second use of a code is refused. So these are not repeated where the server
 * may have done them. A submit has its `Idempotency-Key`, and everything else can be done twice.
 */
const once: readonly Operation[] = ["sendOtp", "sendPhoneOtp", "validatePhoneOtp"];

/** The generated type does not say that these exclude each other. */
type AtMostOneWay =
  | { restore?: boolean; fresh_account?: never; recover?: never }
  | { restore?: never; fresh_account?: boolean; recover?: never }
  | { restore?: never; fresh_account?: never; recover?: boolean };
export type Submit = Schemas["SubmitRequest"] & AtMostOneWay;

interface Bodies {
  submitOtp: Submit;
  undoPhoneChange: Submit | undefined;
  /** The id goes into the path. */
  revokeSession: { session_id: string };
}

type GeneratedBody<Op extends Operation> = operations[Op] extends { requestBody?: never }
  ? undefined
  : operations[Op] extends { requestBody?: { content: { "application/json": infer Json } } }
    ? Json
    : never;
export type Body<Op extends Operation> = Op extends keyof Bodies ? Bodies[Op] : GeneratedBody<Op>;

type Content<Response> = Response extends { content: { "application/json": infer Json } } ? Json : undefined;
type Succeeds<Responses> = {
  [Status in keyof Responses & (200 | 202 | 204)]: Content<Responses[Status]>;
}[keyof Responses & (200 | 202 | 204)];
export type Answer<Op extends Operation> = Succeeds<operations[Op]["responses"]>;

/** The body may be left out where the operation has none. */
export type Arguments<Op extends Operation, Last> =
  undefined extends Body<Op> ? [body?: Body<Op>, options?: Last] : [body: Body<Op>, options?: Last];

export interface CallOptions {
  /** How to send the access token: `token_type` and the token. */
  token?: Pick<Tokens, "token_type" | "access_token"> | undefined;
  /** For a submit: another value for each sign-in, the same one for its repetition. */
  idempotencyKey?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface ApiOptions {
  /** The device's key. Each request then has a proof. */
  key?: (() => Promise<DeviceKey | undefined>) | undefined;
  /** How long one attempt may take. */
  timeoutSeconds?: number | undefined;
  fetch?: typeof fetch | undefined;
}

/** Where the script runs, if that is a page. */
export const page = (globalThis as { location?: Location }).location;

/** How many seconds the clock of whoever answered is ahead of this device's, if a page may read it there. */
export function aheadOf(headers: Headers): number | undefined {
  return (Date.parse(headers.get("date") ?? "") - Date.now()) / 1000 || undefined;
}

/** A longer wait is for a person to decide. */
const LONGEST_WAIT_SECONDS = 10;
const REPETITIONS = 2;

export class Api {
  /** Without a final slash. */
  readonly base: string;
  /** How far the server's clock is ahead of this device's, which may be wrong. */
  aheadSeconds = 0;
  readonly #options: ApiOptions;

  constructor(base: string | URL, options: ApiOptions = {}) {
    this.base = new URL(base, page?.href).href.replace(/\/$/, "");
    this.#options = options;
  }

  /**
   * @throws {Problem} for each answer that is no success, and if there is none.
   */
  async call<Op extends Operation>(operation: Op, ...[body, options = {}]: Arguments<Op, CallOptions>): Promise<Answer<Op>> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return (await this.#attempt(operation, body, options)) as Answer<Op>;
      } catch (error) {
        const wait = error instanceof Problem && attempt < REPETITIONS ? this.#wait(error, operation, attempt) : -1;
        if (wait < 0) throw error;
        await new Promise((done) => setTimeout(done, wait * 1000));
        options.signal?.throwIfAborted();
      }
    }
  }

  /** A proof of one request, if there is a key. Another server's clock may be ahead otherwise. */
  async proof(
    method: string,
    url: string,
    accessToken?: string,
    aheadSeconds = this.aheadSeconds,
  ): Promise<string | undefined> {
    const key = await this.#options.key?.();
    return key && prove(key, method, url, Date.now() / 1000 + aheadSeconds, accessToken);
  }

  async #attempt(operation: Operation, body: unknown, options: CallOptions): Promise<unknown> {
    const [method = "", path = ""] = routes[operation].split(" ");
    const { session_id: id } = (body ?? {}) as { session_id?: string };
    const url = this.base + path.replace("{session_id}", encodeURIComponent(id ?? ""));
    const { token, idempotencyKey, signal } = options;
    const headers: Record<string, string> = {};
    const request: RequestInit = { method, headers, cache: "no-store", credentials: "omit", redirect: "error" };
    if (body && !id) {
      headers["content-type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    if (token) headers["authorization"] = `${token.token_type} ${token.access_token}`;
    if (idempotencyKey) headers["idempotency-key"] = idempotencyKey;
    const proof = await this.proof(method, url, token?.access_token);
    if (proof) headers["dpop"] = proof;

    const timeout = AbortSignal.timeout((this.#options.timeoutSeconds ?? 15) * 1000);
    request.signal = signal ? AbortSignal.any([signal, timeout]) : timeout;
    let response: Response;
    let text: string;
    try {
      response = await (this.#options.fetch ?? fetch)(url, request);
      text = await response.text();
    } catch {
      signal?.throwIfAborted();
      throw new Problem(timeout.aborted ? "timed_out" : "no_answer");
    }
    return this.#read(response, text);
  }

  #read(response: Response, text: string): unknown {
    const { status, headers } = response;
    let answer: unknown;
    try {
      answer = text ? JSON.parse(text) : undefined;
    } catch {
      // A page of a proxy. Its status says the rest.
    }
    // Somebody else's answer may come from a cache, and be old.
    if (headers.has("x-request-id")) this.aheadSeconds = aheadOf(headers) ?? this.aheadSeconds;
    if (!response.ok) throw problemOf(status, answer, headers);
    if (status !== 204 && !answer) throw new Problem("gateway_failed", status);
    return answer;
  }

  /** Seconds until the request is repeated, or a negative number if it is not. */
  #wait(problem: Problem, operation: Operation, attempt: number): number {
    const soon = (attempt + Math.random()) / 2;
    switch (problem.code) {
      // The answer told the server's time, so the next proof has it.
      case "invalid_dpop_proof":
        return attempt || !this.#options.key ? -1 : 0;
      case "service_unavailable": {
        const wait = problem.retryAfter ?? 1;
        return wait > LONGEST_WAIT_SECONDS ? -1 : wait;
      }
      case "gateway_throttled":
      case "gateway_failed":
        return soon;
      case "no_answer":
      case "timed_out":
        return once.includes(operation) ? -1 : soon;
      default:
        return -1;
    }
  }
}
