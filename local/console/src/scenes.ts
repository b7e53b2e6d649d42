// The eight scenes of the tour: what each does with the API, and what must come of it.

import { Api, type Body, Problem, type SignedIn } from "../../../clients/web/src/index.ts";
import { type DeviceKey, claimsOf, makeDeviceKey } from "../../../clients/web/src/proof.ts";
import { unique } from "./dom.ts";
import type { Local } from "./local.ts";
import { codeOf, gatewayName } from "./phone.ts";

export type Actor = "phone" | "laptop" | "thief" | "stranger" | "second" | "world";

export interface Step {
  readonly actor: Actor;
  /** Values for the places in the step's words. */
  readonly values?: Readonly<Record<string, string | number>>;
  /** `harm`: what an attacker still succeeds with. */
  readonly outcome: "done" | "opened" | "refused" | "harm";
}

/** A scene yields each step once it has come out as it should, and throws otherwise. */
export type Scene = (local: Local, send: typeof fetch) => AsyncGenerator<Step, void>;

/** The header that tells the calls of one playing from all others. */
export const MARK = "x-tour";

/** Sends the calls of one playing, until it is given up. */
export function sender(mark: string, signal: AbortSignal): typeof fetch {
  return (input, init) => {
    signal.throwIfAborted();
    const request = new Request(input, init);
    request.headers.set(MARK, mark);
    return fetch(request);
  };
}

/** What came out otherwise than it should. */
class Unexpected extends Error {}

/** A device with or without a key, which calls the API itself. */
class Device {
  readonly #local: Local;
  readonly #api: Api;
  /** Of the last code that this device asked for. */
  challenge: string | undefined;

  private constructor(local: Local, send: typeof fetch, key: DeviceKey | undefined) {
    this.#local = local;
    this.#api = new Api(location.origin, { key: key && (() => Promise.resolve(key)), fetch: send });
  }

  static async withKey(local: Local, send: typeof fetch): Promise<Device> {
    return new Device(local, send, await makeDeviceKey());
  }

  static withoutKey(local: Local, send: typeof fetch): Device {
    return new Device(local, send, undefined);
  }

  /** A device whose clock is wrong learns the time from a refusal, which is not what the scenes show. */
  get api(): Api {
    this.#api.aheadSeconds = this.#local.ahead / 1000;
    return this.#api;
  }

  async send(phone_number: string): Promise<string> {
    this.challenge = (await this.api.call("sendOtp", { phone_number, locale: "en" })).challenge_id;
    return codeFor(phone_number);
  }

  submit(phone_number: string, otp: string, way: object = {}, idempotencyKey?: string): Promise<SignedIn> {
    const body = { phone_number, otp, challenge_id: this.challenge, ...way } as Body<"submitOtp">;
    return this.api.call("submitOtp", body, { idempotencyKey });
  }

  async signIn(number: string): Promise<SignedIn> {
    return this.submit(number, await this.send(number));
  }

  refresh({ refresh_token }: SignedIn): Promise<unknown> {
    return this.api.call("refreshSession", { refresh_token });
  }
}

const AWAY = 61;

let numbers = Math.floor(Math.random() * 1_000_000);
/** A mobile number of Nepal that nobody here has used before. */
function newNumber(): string {
  numbers = (numbers + 7_919) % 1_000_000;
  return `+9779841${String(numbers).padStart(6, "0")}`;
}

async function inbox(number: string): Promise<{ text: string; gateway: string } | undefined> {
  const response = await fetch(`/local/inbox?to=${encodeURIComponent(number)}`);
  return ((await response.json()) as { messages: { text: string; gateway: string }[] }).messages[0];
}

async function codeFor(number: string): Promise<string> {
  const code = codeOf((await inbox(number))?.text ?? "");
  if (!code) throw new Unexpected(`no message to ${number}`);
  return code;
}

function wrong(code: string, by = 1): string {
  return String((Number(code) + by) % 1_000_000).padStart(6, "0");
}

/** The refusal that must come, with one of these codes. */
async function refused(attempt: Promise<unknown>, ...codes: readonly string[]): Promise<Problem> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof Problem && codes.includes(error.code)) return error;
    throw new Unexpected(error instanceof Problem ? error.code : String(error), { cause: error });
  }
  throw new Unexpected("it was not refused");
}

function must(holds: boolean, why: string): void {
  if (!holds) throw new Unexpected(why);
}

async function* signIn(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, phone] = [newNumber(), await Device.withKey(local, send)];
  const code = await phone.send(number);
  yield { actor: "phone", values: { number }, outcome: "done" };
  yield { actor: "world", values: { code }, outcome: "done" };
  const tokens = await phone.submit(number, code);
  yield { actor: "phone", outcome: "opened" };
  const me = await phone.api.call("getMe", undefined, { token: tokens });
  must(me.phone_number === number, "the account has another number");
  yield { actor: "phone", outcome: "opened" };
}

async function* oneAnswer(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, phone] = [newNumber(), await Device.withKey(local, send)];
  const code = await phone.send(number);
  yield { actor: "phone", values: { number }, outcome: "done" };
  const devices = await Promise.all(Array.from({ length: 10 }, () => Device.withKey(local, send)));
  const attempts = await Promise.allSettled(devices.map((device) => device.submit(number, code, { challenge_id: phone.challenge })));
  const opened = attempts.filter(({ status }) => status === "fulfilled").length;
  must(opened === 1, `${opened} devices got in`);
  yield { actor: "world", values: { code }, outcome: "opened" };
  await refused(phone.submit(number, code), "otp_expired", "too_many_attempts", "incorrect_otp");
  yield { actor: "phone", outcome: "refused" };
}

async function* fiveGuesses(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, phone, thief] = [newNumber(), await Device.withKey(local, send), await Device.withKey(local, send)];
  const code = await phone.send(number);
  yield { actor: "phone", values: { number }, outcome: "done" };
  const way = { challenge_id: phone.challenge };
  const guess = (by: number): Promise<Problem> => refused(thief.submit(number, wrong(code, by), way), "incorrect_otp");
  must((await guess(1)).attemptsLeft === 4, "another number of tries is left");
  yield { actor: "thief", values: { wrong: wrong(code) }, outcome: "refused" };
  for (const by of [2, 3, 4]) await guess(by);
  yield { actor: "thief", outcome: "refused" };
  must((await guess(5)).attemptsLeft === 0, "a try is left");
  yield { actor: "thief", outcome: "refused" };
  await refused(thief.submit(number, code, way), "too_many_attempts");
  yield { actor: "thief", values: { code }, outcome: "refused" };
  const problem = await refused(phone.send(number), "too_many_requests");
  yield { actor: "phone", outcome: "refused" };
  const seconds = problem.retryAfter ?? 0;
  await local.advance(seconds);
  yield { actor: "world", values: { seconds }, outcome: "done" };
  const fresh = await phone.send(number);
  must(fresh !== code, "it is the old code");
  yield { actor: "phone", values: { fresh }, outcome: "done" };
  await phone.submit(number, fresh);
  yield { actor: "phone", outcome: "opened" };
}

async function* stolenToken(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, phone, thief] = [newNumber(), await Device.withKey(local, send), Device.withoutKey(local, send)];
  const bound = await phone.signIn(number);
  yield { actor: "phone", values: { number }, outcome: "opened" };
  await refused(thief.refresh(bound), "invalid_dpop_proof");
  yield { actor: "thief", outcome: "refused" };
  await phone.refresh(bound);
  yield { actor: "phone", outcome: "opened" };
  await local.advance(AWAY);
  const laptop = Device.withoutKey(local, send);
  const unbound = await laptop.signIn(number);
  yield { actor: "laptop", outcome: "opened" };
  const stolen = (await thief.refresh(unbound)) as SignedIn;
  yield { actor: "thief", outcome: "harm" };
  await local.advance(AWAY);
  await refused(laptop.refresh(unbound), "refresh_reused");
  yield { actor: "laptop", outcome: "refused" };
  await refused(thief.refresh(stolen), "session_revoked", "refresh_reused");
  yield { actor: "thief", outcome: "refused" };
}

async function* gateway(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, phone] = [newNumber(), await Device.withKey(local, send)];
  await local.addFault({ target: "sparrow", mode: "error", times: 1 });
  yield { actor: "world", outcome: "done" };
  const code = await phone.send(number);
  yield { actor: "phone", values: { number }, outcome: "done" };
  const by = (await inbox(number))?.gateway ?? "";
  must(by !== "sparrow" && by !== "", "no other gateway took the message");
  yield { actor: "world", values: { gateway: gatewayName(by) }, outcome: "done" };
  await phone.submit(number, code);
  yield { actor: "phone", outcome: "opened" };
}

async function* lostAnswer(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, phone] = [newNumber(), await Device.withKey(local, send)];
  const [code, key] = [await phone.send(number), unique()];
  yield { actor: "phone", values: { number }, outcome: "done" };
  const lost = await phone.submit(number, code, {}, key);
  yield { actor: "phone", outcome: "done" };
  const found = await phone.submit(number, code, {}, key);
  const session = ({ access_token }: SignedIn): unknown => claimsOf(access_token)["sid"];
  must(session(lost) === session(found), "it was another session");
  yield { actor: "phone", outcome: "opened" };
  await phone.refresh(found);
  yield { actor: "phone", outcome: "done" };
  await phone.refresh(found);
  yield { actor: "phone", outcome: "opened" };
}

async function* recycledNumber(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, stranger] = [newNumber(), await Device.withKey(local, send)];
  const days = local.settings.phone_dormant_days + 20;
  await local.seed({ users: [{ phone_number: number, phone_proven_days_ago: days }] });
  yield { actor: "world", values: { number, days }, outcome: "done" };
  const code = await stranger.send(number);
  yield { actor: "stranger", outcome: "done" };
  await refused(stranger.submit(number, code), "second_signal_required");
  yield { actor: "stranger", outcome: "refused" };
  const fresh = await stranger.submit(number, code, { fresh_account: true });
  must(fresh.is_new_user, "the stranger has an old account");
  yield { actor: "stranger", outcome: "opened" };
}

async function* undoneChange(local: Local, send: typeof fetch): AsyncGenerator<Step, void> {
  const [number, other] = [newNumber(), newNumber()];
  const [phone, home] = [await Device.withKey(local, send), await Device.withKey(local, send)];
  const token = await phone.signIn(number);
  const username = `sita.${number.slice(-6)}`;
  await phone.api.call("patchMe", { username }, { token });
  yield { actor: "phone", values: { number }, outcome: "opened" };
  await local.advance(AWAY);
  await phone.api.call("sendPhoneOtp", { phone_number: other, change: true }, { token });
  yield { actor: "thief", values: { other }, outcome: "harm" };
  const otp = await codeFor(other);
  await phone.api.call("validatePhoneOtp", { phone_number: other, otp, username }, { token });
  yield { actor: "thief", outcome: "harm" };
  await local.advance(AWAY);
  const code = await home.send(number);
  yield { actor: "second", outcome: "done" };
  await refused(home.submit(number, code), "number_released");
  yield { actor: "second", outcome: "refused" };
  const back = await home.submit(number, code, { restore: true, sign_out_others: true });
  must(!back.is_new_user, "it is another account");
  yield { actor: "second", outcome: "opened" };
  await refused(phone.refresh(token), "session_revoked");
  yield { actor: "thief", values: { hours: local.settings.undo_hours }, outcome: "refused" };
}

export const scenes = {
  "sign-in": signIn,
  "one-answer": oneAnswer,
  "five-guesses": fiveGuesses,
  "stolen-token": stolenToken,
  gateway,
  "lost-answer": lostAnswer,
  "recycled-number": recycledNumber,
  "undone-change": undoneChange,
} as const satisfies Record<string, Scene>;

export type SceneName = keyof typeof scenes;
export const sceneNames = Object.keys(scenes) as SceneName[];
