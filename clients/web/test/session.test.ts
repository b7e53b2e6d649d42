// The session: one refresh for all, lost answers, ends of all kinds, and what is kept where.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { World } from "../../conformance/world.ts";
import { Problem } from "../src/index.ts";
import { claimsOf } from "../src/proof.ts";
import { type Device, device, newNumber, signIn, tab, until } from "./support.ts";

const REFRESH = "POST /v1/session/refresh";
const ME = "GET /v1/me";
const ACCESS_TOKEN_SECONDS = 900;

let world: World;
before(async () => {
  world = await World.start();
});
after(() => {
  world.close();
});

async function signedIn(): Promise<Device> {
  const made = await device(world);
  await signIn(world, made);
  made.events.length = 0;
  return made;
}

const code =
  (expected: string) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, expected);
    return true;
  };

test("a sign-in is kept, and another tab and a reload find it", async () => {
  const first = await device(world);
  const second = await tab(first);
  assert.equal(first.session.isSignedIn, false);
  await signIn(world, first);
  assert.deepEqual(first.events, [{ type: "signed-in" }]);
  await until(() => second.session.isSignedIn);
  assert.deepEqual(second.events, [{ type: "signed-in" }]);
  const reloaded = await tab(first);
  assert.equal(reloaded.session.claims?.sub, first.session.claims?.sub);
  assert.equal((await reloaded.session.call("getMe")).user_id, first.session.claims?.sub);
  assert.equal(first.wire.count(REFRESH), 0);
});

test("the refresh token is bound to the device's key", async () => {
  const { session, store } = await signedIn();
  const { refresh_token } = (await store.get("tokens")) as { refresh_token: string };
  assert.ok("cnf" in claimsOf(refresh_token));
  const { sessions } = await session.call("listSessions");
  assert.deepEqual(
    sessions.map(({ has_device_key }) => has_device_key),
    [true],
  );
});

test("many requests of many tabs with an expired token cause one refresh", async () => {
  const first = await signedIn();
  const tabs = [first, await tab(first), await tab(first)];
  await world.advance(ACCESS_TOKEN_SECONDS + 1);
  const calls = tabs.flatMap(({ session }) => [1, 2, 3, 4, 5].map(() => session.call("getMe")));
  const answers = await Promise.all(calls);
  assert.equal(new Set(answers.map(({ user_id }) => user_id)).size, 1);
  assert.equal(first.wire.count(REFRESH), 1);
});

test("two tabs that refresh at the same moment send one request, and both are told", async () => {
  const first = await signedIn();
  const second = await tab(first);
  await Promise.all([first.session.refresh(), second.session.refresh()]);
  assert.equal(first.wire.count(REFRESH), 1);
  await until(() => first.events.length === 1 && second.events.length === 1);
  assert.deepEqual(first.events, [{ type: "refreshed" }]);
  assert.deepEqual(second.events, [{ type: "refreshed" }]);
});

test("a token that is about to expire is refreshed before a request, not after", async (context) => {
  const { session, wire } = await signedIn();
  await session.call("getMe");
  assert.equal(wire.count(REFRESH), 0);
  context.mock.method(
    Date,
    "now",
    () => performance.timeOrigin + performance.now() + (ACCESS_TOKEN_SECONDS - 20) * 1000,
  );
  await session.call("getMe");
  assert.equal(wire.count(REFRESH, 200), 1);
  assert.ok(wire.passed.every(({ route, status }) => route !== ME || status === 200));
});

test("a lost answer to a refresh signs nobody out, however late it is asked again", async () => {
  const { session, wire } = await signedIn();
  wire.loseAnswer(REFRESH, 3);
  await assert.rejects(session.refresh(), code("no_answer"));
  assert.equal(session.isSignedIn, true);
  await world.advance(3600);
  await session.refresh();
  assert.equal((await session.call("getMe")).user_id, session.claims?.sub);
});

test("a refresh while the store is away signs nobody out", async () => {
  const { session, wire, events } = await signedIn();
  const unavailable = JSON.stringify({ code: "service_unavailable", status: 503, retry_after: 30 });
  wire.answer(REFRESH, 503, unavailable, "application/problem+json");
  await assert.rejects(session.refresh(), code("service_unavailable"));
  assert.equal(session.isSignedIn, true);
  assert.deepEqual(events, []);
});

test("a refused proof signs nobody out", async () => {
  const { session, wire, events } = await signedIn();
  const refused = JSON.stringify({ code: "invalid_dpop_proof", status: 401 });
  for (let time = 0; time < 2; time += 1) wire.answer(REFRESH, 401, refused, "application/problem+json");
  await assert.rejects(session.refresh(), code("invalid_dpop_proof"));
  assert.equal(session.isSignedIn, true);
  assert.deepEqual(events, []);
});

test("a sign-out ends the session here and in other tabs, and the device stays known", async () => {
  const first = await signedIn();
  const second = await tab(first);
  const key = await first.store.get("key");
  await first.session.signOut();
  assert.deepEqual(first.events, [{ type: "signed-out", reason: "signed_out" }]);
  await until(() => !second.session.isSignedIn);
  assert.deepEqual(second.events, [{ type: "signed-out", reason: "signed_out" }]);
  assert.equal(await first.store.get("tokens"), undefined);
  assert.equal(await first.store.get("key"), key);
  await assert.rejects(first.session.call("getMe"), code("signed_out"));
  await assert.rejects(first.session.fetch(`${first.wire.base}/v1/me`), code("signed_out"));
  await assert.rejects(first.session.refresh(), code("signed_out"));
});

test("a sign-out without a network removes the tokens, and says that the server does not know", async () => {
  const { session, store, wire } = await signedIn();
  wire.loseAnswer("DELETE /v1/session", 3);
  await assert.rejects(session.signOut(), code("no_answer"));
  assert.equal(session.isSignedIn, false);
  assert.equal(await store.get("tokens"), undefined);
});

test("a sign-out whose answer was lost succeeds at its repetition", async () => {
  const { session, wire } = await signedIn();
  wire.loseAnswer("DELETE /v1/session");
  await session.signOut();
  assert.equal(session.isSignedIn, false);
});

test("signing out everywhere ends the sessions of all devices, and each hears the reason", async () => {
  const number = newNumber();
  const phone = await device(world);
  await signIn(world, phone, number);
  await world.advance(60);
  const laptop = await device(world);
  await signIn(world, laptop, number);
  await laptop.session.signOutEverywhere();
  await assert.rejects(phone.session.call("getMe"), code("session_revoked"));
  assert.deepEqual(phone.events.at(-1), { type: "signed-out", reason: "session_revoked" });
  assert.equal(phone.session.isSignedIn, false);
});

test("signing out everywhere without a network leaves everybody signed in", async () => {
  const { session, wire } = await signedIn();
  for (let time = 0; time < 3; time += 1) wire.answer("DELETE /v1/sessions", 503);
  await assert.rejects(session.signOutEverywhere(), code("gateway_failed"));
  assert.equal(session.isSignedIn, true);
});

test("a session that expired ends with that reason", async () => {
  const { session, events } = await signedIn();
  await world.advance(31 * 86_400);
  await assert.rejects(session.call("getMe"), code("token_expired"));
  assert.deepEqual(events, [{ type: "signed-out", reason: "token_expired" }]);
});

test("a second sign-in ends the first session, and is fresh", async () => {
  const number = newNumber();
  const made = await device(world);
  await signIn(world, made, number);
  await made.session.refresh();
  assert.equal(made.session.claims?.fresh, false);
  await world.advance(60);
  await signIn(world, made, number);
  assert.equal(made.session.claims.fresh, true);
  const { sessions } = await made.session.call("listSessions");
  assert.equal(sessions.length, 1);
});

test("a browser without WebCrypto keeps its tokens in memory alone", async (context) => {
  context.mock.getter(crypto, "subtle", () => undefined);
  const made = await device(world);
  await signIn(world, made);
  assert.equal(await made.store.get("tokens"), undefined);
  assert.equal((await made.session.call("getMe")).user_id, made.session.claims?.sub);
  await made.session.refresh();
  await made.session.call("getMe");
  assert.equal((await tab(made)).session.isSignedIn, false);
});

test("tokens without their key are of no use, so nobody is signed in", async () => {
  const made = await signedIn();
  await made.store.remove("key");
  assert.equal((await tab(made)).session.isSignedIn, false);
});

test("fetch adds the token, refreshes once, and sends the body again", async () => {
  const { session, wire } = await signedIn();
  await world.advance(ACCESS_TOKEN_SECONDS + 1);
  const body = JSON.stringify({ name: "Sita Sharma" });
  const headers = { "content-type": "application/json" };
  const response = await session.fetch(`${wire.base}/v1/me`, { method: "PATCH", headers, body });
  assert.equal(((await response.json()) as { name: string }).name, "Sita Sharma");
  assert.equal(wire.count(REFRESH), 1);
  assert.equal(wire.count("PATCH /v1/me"), 2);
});

test("fetch refreshes after the refusal of API Gateway's authorizer, and returns a second refusal", async () => {
  const { session, wire } = await signedIn();
  wire.answer("GET /orders", 403, '{"message":"Forbidden"}');
  wire.answer("GET /orders", 403, '{"message":"Forbidden"}');
  const response = await session.fetch(new Request(`${wire.base}/orders`));
  assert.equal(response.status, 403);
  assert.deepEqual(await response.json(), { message: "Forbidden" });
  assert.equal(wire.count(REFRESH, 200), 1);
});

test("fetch leaves the app's own refusals alone", async () => {
  const { session, wire } = await signedIn();
  wire.answer("GET /orders", 403, '{"error":"not your order"}');
  wire.answer("GET /orders", 401, "no");
  assert.equal((await session.fetch(`${wire.base}/orders`)).status, 403);
  assert.equal((await session.fetch(`${wire.base}/orders`)).status, 401);
  assert.equal(wire.count(REFRESH), 0);
});

test("fetch sends the token to no origin that was not named", async () => {
  const { session, wire } = await signedIn();
  const other = await world.wire();
  await assert.rejects(session.fetch(`${other.base}/v1/me`), TypeError);
  assert.deepEqual(other.passed, []);
  const named = await tab({ session, wire, store: (await signedIn()).store, events: [] }, { origins: [other.base] });
  assert.equal(named.session.isSignedIn, true);
  await named.session.fetch(`${other.base}/v1/me`);
  assert.equal(other.count(ME), 1);
});

test("where access tokens are bound too, each request has a proof", async () => {
  const folder = mkdtempSync(join(tmpdir(), "latchkey-"));
  const template = readFileSync(new URL("../../../template.yaml", import.meta.url), "utf8");
  const bound = template.replace(/(\n {2}AccessTokenBinding:\n {4}Type: String\n {4}Default: )refresh/, "$1all");
  assert.notEqual(bound, template);
  const file = join(folder, "template.yaml");
  writeFileSync(file, bound);
  const other = await World.start(file);
  try {
    const made = await device(other);
    await signIn(other, made);
    const { token_type } = (await made.store.get("tokens")) as { token_type: string };
    assert.equal(token_type, "DPoP");
    await made.session.call("getMe");
    assert.equal((await made.session.fetch(`${made.wire.base}/v1/me?fields=all`)).status, 200);
    await made.session.refresh();
    assert.equal((await (await tab(made)).session.fetch(`${made.wire.base}/v1/sessions`)).status, 200);
  } finally {
    other.close();
    rmSync(folder, { recursive: true });
  }
});
