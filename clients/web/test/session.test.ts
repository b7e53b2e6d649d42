// The session: one refresh for all, lost answers, ends of all kinds, and what is kept where.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, after, before, test } from "node:test";
import { type Held, World, moment } from "../../conformance/world.ts";
import { Api, MemoryStore, Problem, SignIn, type Store } from "../src/index.ts";
import { claimsOf } from "../src/proof.ts";
import { type Device, device, newNumber, signIn, tab, until } from "./support.ts";

const REFRESH = "POST /v1/session/refresh";
const ME = "GET /v1/me";
const ACCESS_TOKEN_SECONDS = 900;
const LOCK_MILLISECONDS = 30_000;

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

/** Holds the next refresh. Whoever waits for its lock waits for a moment only. */
function lateRefresh(context: TestContext, { wire }: Device): Held {
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  context.mock.method(AbortSignal, "timeout", (milliseconds: number) =>
    timeout(milliseconds === LOCK_MILLISECONDS ? 50 : milliseconds),
  );
  return wire.hold(REFRESH);
}

test("a refresh that is answered late does not put the earlier person back", async (context) => {
  const made = await signedIn();
  const { session, events } = made;
  const late = lateRefresh(context, made);
  const refresh = session.refresh();
  await late.asked;
  await signIn(world, made);
  const { sub, sid } = session.claims ?? {};
  late.answer();
  await Promise.allSettled([refresh]);
  assert.equal(session.claims?.sub, sub);
  await assert.rejects(refresh, code("signed_out"));
  assert.equal((await tab(made)).session.claims?.sid, sid);
  assert.deepEqual(events, [{ type: "signed-in" }]);
});

test("a refresh that is answered late does not undo a sign-out", async (context) => {
  const made = await signedIn();
  const late = lateRefresh(context, made);
  const refresh = made.session.refresh();
  await late.asked;
  // The server is not told either, so it answers the refresh with tokens.
  for (let time = 0; time < 3; time += 1) made.wire.answer("DELETE /v1/session", 503);
  await assert.rejects(made.session.signOut(), code("gateway_failed"));
  late.answer();
  await assert.rejects(refresh, code("signed_out"));
  assert.equal(made.session.isSignedIn, false);
  assert.equal(await made.store.get("tokens"), undefined);
  assert.deepEqual(made.events, [{ type: "signed-out", reason: "signed_out" }]);
});

test("a refresh that is refused late does not sign out the next person", async (context) => {
  const number = newNumber();
  const made = await device(world);
  await signIn(world, made, number);
  await world.advance(60);
  const other = await device(world);
  await signIn(world, other, number);
  const late = lateRefresh(context, made);
  const refresh = made.session.refresh();
  await late.asked;
  await other.session.signOutEverywhere();
  await signIn(world, made);
  late.answer();
  await assert.rejects(refresh, code("signed_out"));
  assert.equal(made.session.isSignedIn, true);
  await made.session.call("getMe");
});

test("a request of one person is not sent as the next one", async (context) => {
  const made = await signedIn();
  const { session, wire } = made;
  await world.advance(ACCESS_TOKEN_SECONDS + 1);
  const late = lateRefresh(context, made);
  const calls = [session.call("deleteMe"), session.fetch(`${wire.base}/v1/me`, { method: "DELETE" })];
  await late.asked;
  await signIn(world, made);
  late.answer();
  for (const call of calls) await assert.rejects(call, code("signed_out"));
  assert.equal(wire.count("DELETE /v1/me", 401), 2);
  assert.equal(wire.count("DELETE /v1/me"), 2);
  await session.call("getMe");
});

test("a sign-out that is answered late does not sign out the next person", async () => {
  const made = await signedIn();
  const late = made.wire.hold("DELETE /v1/session");
  const signOut = made.session.signOut();
  await late.asked;
  await signIn(world, made);
  late.answer();
  await signOut;
  await made.session.call("getMe");
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

test("a session whose tokens are gone from the store ends at the next refresh", async () => {
  const { session, store, events } = await signedIn();
  await store.remove("tokens");
  await assert.rejects(session.refresh(), code("signed_out"));
  assert.equal(session.isSignedIn, false);
  assert.deepEqual(events, [{ type: "signed-out", reason: "signed_out" }]);
});

test("after the store was emptied, the next sign-in is kept with its key", async () => {
  const made = await signedIn();
  await made.store.remove("tokens");
  await made.store.remove("key");
  await assert.rejects(made.session.refresh(), code("signed_out"));
  await signIn(world, made);
  await made.session.refresh();
  assert.equal((await tab(made)).session.claims?.sid, made.session.claims?.sid);
});

test("what was read before a sign-out is not taken over after it", async () => {
  const first = await signedIn();
  const { store } = first;
  const [asked, answered] = [moment(), moment()];
  let isSlow = false;
  const slow: Store = {
    get: async (name) => {
      const kept = await store.get(name);
      if (isSlow && name === "tokens") {
        asked.reach();
        await answered.reached;
      }
      return kept;
    },
    put: (name, value) => store.put(name, value),
    add: (name, value) => store.add(name, value),
    remove: (name) => store.remove(name),
  };
  const second = await tab({ ...first, store: slow });
  isSlow = true;
  await first.session.refresh();
  await asked.reached;
  const signOut = second.session.signOut();
  await until(() => !second.session.isSignedIn);
  answered.reach();
  await signOut;
  // Whoever waited for the store has gone on by then.
  await new Promise(setImmediate);
  assert.equal(second.session.isSignedIn, false);
  assert.deepEqual(second.events.at(-1), { type: "signed-out", reason: "signed_out" });
});

test("sessions that share no store tell each other nothing", async () => {
  const first = await signedIn();
  const second = await tab({ ...first, store: new MemoryStore() });
  const third = await tab(first);
  await signIn(world, second);
  second.events.length = 0;
  await first.session.refresh();
  await first.session.signOut();
  await until(() => third.events.length === 2);
  assert.deepEqual(second.events, []);
  assert.equal(second.session.isSignedIn, true);
});

test("a session that was closed goes on by itself", async () => {
  const { session } = await signedIn();
  session.close();
  await session.refresh();
  await session.signOut();
  assert.equal(session.isSignedIn, false);
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
  assert.equal(wire.count(REFRESH, 200), 1);
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
  wire.answer("GET /orders", 401, "null");
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

/** Another Latchkey, whose access tokens are bound too. */
async function boundWorld(): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "latchkey-"));
  const template = readFileSync(new URL("../../../template.yaml", import.meta.url), "utf8");
  const bound = template.replace(/(\n {2}AccessTokenBinding:\n {4}Type: String\n {4}Default: )refresh/, "$1all");
  assert.notEqual(bound, template);
  const file = join(folder, "template.yaml");
  writeFileSync(file, bound);
  try {
    return await World.start(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("where access tokens are bound too, each request has a proof", async () => {
  const other = await boundWorld();
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
  }
});

test("fetch follows no redirect, because the proof and the body are for one server", async () => {
  const { session, wire } = await signedIn();
  const other = await world.wire();
  const redirect = createServer((_, to) => {
    to.writeHead(307, { location: `${other.base}/v1/me` }).end();
  });
  await new Promise<void>((ready) => redirect.listen(0, "127.0.0.1", ready));
  const origin = `http://127.0.0.1:${(redirect.address() as AddressInfo).port}`;
  try {
    const named = await tab({ session, wire, store: (await signedIn()).store, events: [] }, { origins: [origin] });
    await assert.rejects(named.session.fetch(`${origin}/orders`, { method: "POST", body: "secret" }), TypeError);
    await assert.rejects(new Api(origin).call("getMe"), code("no_answer"));
    assert.deepEqual(other.passed, []);
  } finally {
    redirect.close();
    redirect.closeAllConnections();
  }
});

test("the time of another server dates the proofs for it, and none for Latchkey", async () => {
  const other = await boundWorld();
  const future = Date.UTC(2038, 0);
  const dates: number[] = [];
  const resource = createServer(({ headers }, to) => {
    dates.push(Number(claimsOf(String(headers["dpop"]))["iat"]) * 1000);
    const answer = { "content-type": "application/json", date: new Date(future).toUTCString(), "x-request-id": "r" };
    to.writeHead(401, answer).end('{"code":"invalid_dpop_proof"}');
  });
  await new Promise<void>((ready) => resource.listen(0, "127.0.0.1", ready));
  const origin = `http://127.0.0.1:${(resource.address() as AddressInfo).port}`;
  try {
    const made = await device(other, { origins: [origin] });
    await signIn(other, made);
    assert.equal((await made.session.fetch(`${origin}/orders`)).status, 401);
    assert.deepEqual(
      dates.map((date) => date > future - 60_000),
      [false, true],
    );
    await made.session.call("getMe");
    await made.session.refresh();
    assert.deepEqual(
      made.wire.passed.filter(({ headers }) => {
        const proof = headers["dpop"];
        return proof && Number(claimsOf(String(proof))["iat"]) * 1000 > future - 60_000;
      }),
      [],
    );
  } finally {
    resource.close();
    resource.closeAllConnections();
    other.close();
  }
});

test("tokens that cannot be read sign nobody in, and end nobody's session", async () => {
  const answers = ["x", "a.e30.c", 7].flatMap((token) => [
    { access_token: token, refresh_token: "a.e30.c" },
    { access_token: "a.e30.c", refresh_token: token },
  ]);
  for (const tokens of answers.filter(({ access_token, refresh_token }) => access_token !== refresh_token)) {
    const { session, wire } = await device(world);
    const flow = new SignIn(session);
    const number = newNumber();
    await flow.send(number);
    wire.answer("POST /v1/otp/submit", 200, JSON.stringify({ ...tokens, token_type: "Bearer", expires_in: 900 }));
    await flow.submit(await world.code(number));
    assert.equal(session.isSignedIn, false, JSON.stringify(tokens));
    assert.equal(flow.state.problem?.code, "gateway_failed");
  }
  const { session, wire } = await signedIn();
  wire.answer(REFRESH, 200, '{"access_token":"x","refresh_token":"y","token_type":"Bearer","expires_in":900}');
  await assert.rejects(session.refresh(), code("gateway_failed"));
  assert.equal((await session.call("getMe")).user_id, session.claims?.sub);
});

test("when another person signs in, the session of the earlier one ends, also with an expired token", async (context) => {
  for (const isExpired of [false, true]) {
    const [first, second] = [newNumber(), newNumber()];
    const elsewhere = await device(world);
    await signIn(world, elsewhere, first);
    await world.advance(60);
    const made = await device(world);
    await signIn(world, made, first);
    if (isExpired) {
      await world.advance(ACCESS_TOKEN_SECONDS + 1);
      const later = (): number => performance.timeOrigin + performance.now() + (ACCESS_TOKEN_SECONDS + 1) * 1000;
      context.mock.method(Date, "now", later);
    }
    await signIn(world, made, second);
    context.mock.restoreAll();
    const { sessions } = await elsewhere.session.call("listSessions");
    assert.deepEqual(
      sessions.map(({ current }) => current),
      [true],
    );
    assert.equal((await made.session.call("getMe")).phone_number, second);
  }
});
