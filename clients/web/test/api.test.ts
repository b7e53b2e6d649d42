// The typed calls: proofs, problems, timeouts and retries, against a running server.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { World } from "../../conformance/world.ts";
import { Api, Problem, type ProblemCode, type ClientCode } from "../src/index.ts";
import { makeDeviceKey, prove, claimsOf } from "../src/proof.ts";
import { newNumber } from "./support.ts";

let world: World;
before(async () => {
  world = await World.start();
});
after(() => {
  world.close();
});

const SEND = "POST /v1/otp/send";
const SUBMIT = "POST /v1/otp/submit";
const ME = "GET /v1/me";

/** The problem with which a call fails. */
async function problem(call: Promise<unknown>, code: ProblemCode | ClientCode): Promise<Problem> {
  const error: unknown = await call.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  assert.ok(error instanceof Problem, String(error));
  assert.equal(error.code, code);
  return error;
}

test("a problem has its code, its wait and the id of the request", async () => {
  const { base } = await world.wire();
  const api = new Api(base);
  const phone_number = newNumber();
  const sent = await api.call("sendOtp", { phone_number });
  const limited = await problem(api.call("sendOtp", { phone_number }), "too_many_requests");
  assert.equal(limited.status, 429);
  assert.ok(limited.retryAfter !== undefined && limited.retryAfter > 0 && limited.retryAfter <= 30);
  assert.ok(limited.requestId);
  const code = await world.code(phone_number);
  const otp = code === "000000" ? "111111" : "000000";
  const wrong = await problem(
    api.call("submitOtp", { phone_number, otp, challenge_id: sent.challenge_id }),
    "incorrect_otp",
  );
  assert.equal(wrong.attemptsLeft, 4);
});

test("API Gateway's own answers are problems too, whatever their body", async () => {
  const answers: [number, string, ClientCode][] = [
    [404, '{"message":"Not Found"}', "gateway_refused"],
    [413, '{"message":"Request Entity Too Large"}', "gateway_refused"],
    [403, "<html>a proxy</html>", "gateway_refused"],
    [403, "null", "gateway_refused"],
    [504, "", "gateway_failed"],
    [200, "<html>a captive portal</html>", "gateway_failed"],
  ];
  for (const [status, body, code] of answers) {
    const wire = await world.wire();
    for (let time = 0; time < 3; time += 1) wire.answer(ME, status, body);
    const refused = await problem(new Api(wire.base).call("getMe"), code);
    assert.equal(refused.status, status);
    assert.equal(wire.count(ME), code === "gateway_failed" ? 3 : 1);
  }
});

test("numbers of an answer that cannot be real are left out, and a long sentence is cut", async () => {
  const wire = await world.wire();
  const { base } = wire;
  const body = { code: "too_many_requests", detail: "d".repeat(9000) };
  for (const odd of [-1, 1e308, 1e13, "x", {}, [], true, null]) {
    wire.answer(SEND, 429, JSON.stringify({ ...body, retry_after: odd, attempts_left: odd }));
    const refused = await problem(new Api(base).call("sendOtp", { phone_number: "1" }), "too_many_requests");
    assert.equal(refused.retryAfter, undefined, JSON.stringify(odd));
    assert.equal(refused.attemptsLeft, undefined, JSON.stringify(odd));
    assert.equal(refused.message.length, 500);
  }
  wire.answer(SEND, 429, JSON.stringify({ code: "too_many_requests", detail: { toString: 1 } }));
  const refused = await problem(new Api(base).call("sendOtp", { phone_number: "1" }), "too_many_requests");
  assert.equal(String(refused), "Problem: too_many_requests");
  wire.answer(ME, 200, "null");
  wire.answer(ME, 200, "null");
  wire.answer(ME, 200, "null");
  await problem(new Api(base).call("getMe"), "gateway_failed");
});

test("a throttled request and a failed one are sent again", async () => {
  const wire = await world.wire();
  const api = new Api(wire.base);
  wire.answer(SEND, 429);
  wire.answer(SEND, 500, '{"message":"Internal Server Error"}');
  await api.call("sendOtp", { phone_number: newNumber() });
  assert.deepEqual(
    wire.passed.map(({ status }) => status),
    [429, 500, 200],
  );
});

test("a request is sent at most three times", async () => {
  const wire = await world.wire();
  for (let time = 0; time < 4; time += 1) wire.answer(ME, 503, '{"message":"Service Unavailable"}');
  await problem(new Api(wire.base).call("getMe"), "gateway_failed");
  assert.equal(wire.count(ME), 3);
});

test("service_unavailable is sent again after the wait that it names, and other refusals are not sent again", async () => {
  const wire = await world.wire();
  const api = new Api(wire.base);
  const unavailable = { code: "service_unavailable", status: 503, retry_after: 1 };
  wire.answer(SEND, 503, JSON.stringify(unavailable), "application/problem+json");
  const start = Date.now();
  const phone_number = newNumber();
  await api.call("sendOtp", { phone_number });
  assert.ok(Date.now() - start >= 1000);
  await problem(api.call("sendOtp", { phone_number }), "too_many_requests");
  assert.equal(wire.count(SEND), 3);
});

test("a long wait is left to the caller", async () => {
  const wire = await world.wire();
  const unavailable = { code: "service_unavailable", status: 503, retry_after: 60 };
  wire.answer(SEND, 503, JSON.stringify(unavailable), "application/problem+json");
  const refused = await problem(
    new Api(wire.base).call("sendOtp", { phone_number: newNumber() }),
    "service_unavailable",
  );
  assert.equal(refused.retryAfter, 60);
});

test("a send whose answer was lost is not sent again", async () => {
  const wire = await world.wire();
  wire.loseAnswer(SEND);
  await problem(new Api(wire.base).call("sendOtp", { phone_number: newNumber() }), "no_answer");
  assert.equal(wire.count(SEND), 1);
});

test("a submit whose answer was lost is sent again with its key", async () => {
  const wire = await world.wire();
  const key = await makeDeviceKey();
  const api = new Api(wire.base, { key: () => Promise.resolve(key) });
  const phone_number = newNumber();
  const { challenge_id } = await api.call("sendOtp", { phone_number });
  wire.loseAnswer(SUBMIT);
  const otp = await world.code(phone_number);
  const signedIn = await api.call("submitOtp", { phone_number, otp, challenge_id }, { idempotencyKey: "one" });
  assert.equal(signedIn.is_new_user, true);
  const [first, second] = wire.passed.filter(({ route }) => route === SUBMIT);
  assert.equal(first?.headers["idempotency-key"], second?.headers["idempotency-key"]);
  assert.notEqual(first?.headers["dpop"], second?.headers["dpop"]);
});

test("a server that does not answer is given up after the timeout", async (context) => {
  const silent = createServer(() => undefined);
  context.after(() => silent.close());
  await new Promise<void>((ready) => silent.listen(0, "127.0.0.1", ready));
  const { port } = silent.address() as AddressInfo;
  const api = new Api(`http://127.0.0.1:${port}`, { timeoutSeconds: 0.1 });
  await problem(api.call("sendOtp", { phone_number: newNumber() }), "timed_out");
  silent.close();
  silent.closeAllConnections();
  await problem(api.call("sendOtp", { phone_number: newNumber() }), "no_answer");
});

test("a caller can cancel a request, and gets its own reason", async () => {
  const { base } = await world.wire();
  const cancelled = AbortSignal.abort(new Error("cancelled"));
  const call = new Api(base).call("getMe", undefined, { signal: cancelled });
  await assert.rejects(call, { message: "cancelled" });
});

test("a device whose clock is a day off proves its key with the server's time", async (context) => {
  context.mock.method(Date, "now", () => performance.timeOrigin + performance.now() - 86_400_000);
  const wire = await world.wire();
  const key = await makeDeviceKey();
  const api = new Api(wire.base, { key: () => Promise.resolve(key) });
  await api.call("sendOtp", { phone_number: newNumber() });
  await api.call("sendOtp", { phone_number: newNumber() });
  assert.deepEqual(
    wire.passed.map(({ status }) => status),
    [401, 200, 200],
  );
});

test("a proof contains the key and the URL without its query", async () => {
  const key = await makeDeviceKey();
  assert.ok(key);
  assert.equal(key.privateKey.extractable, false);
  // The token and its hash are in the guide's test vectors.
  const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
  const proof = await prove(key, "GET", "https://auth.example.com/v1/me?a=b#c", 1795219200.9, token);
  const { jti, ...claims } = claimsOf(proof);
  assert.match(String(jti), /^[\w-]{22}$/);
  assert.deepEqual(claims, {
    htm: "GET",
    htu: "https://auth.example.com/v1/me",
    iat: 1795219200,
    ath: "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
  });
  const [header = "", , signature = ""] = proof.split(".");
  const { jwk, ...rest } = claimsOf(`.${header}.`) as { jwk: object };
  assert.deepEqual(rest, { typ: "dpop+jwt", alg: "ES256" });
  assert.deepEqual(Object.keys(jwk), ["kty", "crv", "x", "y"]);
  const publicKey = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, [
    "verify",
  ]);
  const verified = await crypto.subtle.verify(
    { name: "ECDSA", hash: "SHA-256" },
    publicKey,
    Buffer.from(signature, "base64url"),
    Buffer.from(proof.slice(0, proof.lastIndexOf("."))),
  );
  assert.ok(verified);
});

test("wrong calls are errors of the compiler", () => {
  const api = new Api("https://auth.example.com");
  const wrong = [
    // @ts-expect-error a number is required
    () => api.call("sendOtp", {}),
    // @ts-expect-error a send has a body
    () => api.call("sendOtp"),
    // @ts-expect-error the number is a text
    () => api.call("sendOtp", { phone_number: 9841234567 }),
    // @ts-expect-error neither a code nor a Firebase token
    () => api.call("submitOtp", { phone_number: "+9779841234567" }),
    // @ts-expect-error two ways at once
    () => api.call("submitOtp", { phone_number: "+9779841234567", otp: "042917", restore: true, recover: true }),
    // @ts-expect-error the name of the member is refresh_token
    () => api.call("refreshSession", { refreshToken: "eyJhbGciOi" }),
    // @ts-expect-error no such operation
    () => api.call("signIn"),
    // @ts-expect-error a list has no body
    () => api.call("listSessions", { all: true }),
  ];
  assert.equal(wrong.length, 8);
});
