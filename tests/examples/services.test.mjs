// The services in examples/verify, with tokens that a real sign-in gave and with forgeries. tests/examples/run starts two
// systems. The clock of the one at PLAIN_API starts in the past, so that it can make tokens that have expired for the
// services, and can rotate its key. The one at BOUND_API binds access tokens to keys of devices.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { proof } from "../../examples/dpop.mjs";

const { PLAIN_API, PLAIN_SECRETS_MANAGER, BOUND_API, PYTHON, GO_SERVICE } = process.env;
// PLAIN_API starts 1,500 seconds in the past. A token lasts 900 seconds, and a new key signs after 600.
const UNTIL_THE_FIRST_TOKEN_HAS_EXPIRED = 900;
const UNTIL_THE_NEW_KEY_SIGNS = 660;

const path = name => new URL(`../../examples/verify/${name}`, import.meta.url).pathname;
const COMMANDS = {
  python: [PYTHON, path("python/service.py")],
  node: [process.execPath, path("node/service.mjs")],
  go: [GO_SERVICE],
};

// Latchkey.

async function ok(response) {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

function post(url, body, headers) {
  const json = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify(body) });
}

let phones = 0;

/** The tokens of a new user. */
async function signIn(api, dpop) {
  const phone_number = `98412346${String(phones++).padStart(2, "0")}`;
  const { challenge_id } = await ok(await post(`${api}/v1/otp/send`, { phone_number }));
  const { messages } = await ok(await fetch(`${api}/local/inbox?to=%2B977${phone_number}`));
  const [otp] = messages[0].text.match(/\d{6}/);
  return ok(await post(`${api}/v1/otp/submit`, { phone_number, otp, challenge_id }, dpop && { dpop }));
}

const advance = async advance_seconds => ok(await post(`${PLAIN_API}/local/clock`, { advance_seconds }));

async function secretsManager(operation) {
  const headers = { "content-type": "application/x-amz-json-1.1", "x-amz-target": `secretsmanager.${operation}` };
  return ok(await post(PLAIN_SECRETS_MANAGER, { SecretId: "SigningKeySecret" }, headers));
}

/** The key that signs tokens at PLAIN_API. */
async function signingKey() {
  const { private_key } = JSON.parse((await secretsManager("GetSecretValue")).SecretString);
  return createPrivateKey({ key: Buffer.from(private_key, "base64"), format: "der", type: "pkcs8" });
}

// Tokens.

const encoded = value => Buffer.from(JSON.stringify(value)).toString("base64url");
const decoded = part => JSON.parse(Buffer.from(part, "base64url"));
const parts = token => token.split(".").slice(0, 2).map(decoded);
const unsigned = (header, claims) => `${encoded(header)}.${encoded(claims)}`;

function signed(header, claims, key) {
  const input = unsigned(header, claims);
  return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function symmetric(header, claims, secret) {
  const input = unsigned({ ...header, alg: "HS256" }, claims);
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** A value of a member that JSON leaves out. */
const ABSENT = undefined;

/** Variants of a token, each with one fault. */
function forgeries(token, key) {
  const [header, claims] = parts(token);
  const [first, second, signature] = token.split(".");
  const foreign = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const published = createPublicKey(key);
  const jwk = published.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(jwk.x, "base64url"), Buffer.from(jwk.y, "base64url")]);
  const otherHeader = changes => signed({ ...header, ...changes }, claims, key);
  const otherClaims = changes => signed(header, { ...claims, ...changes }, key);
  return {
    "garbage": "not-a-token",
    "three words": "a.b.c",
    "no signature": `${first}.${second}.`,
    "another user under the old signature": `${first}.${encoded({ ...claims, sub: "usr_1" })}.${signature}`,
    "alg none": `${unsigned({ ...header, alg: "none" }, claims)}.`,
    "alg none with the signature": `${unsigned({ ...header, alg: "none" }, claims)}.${signature}`,
    "HS256 with the public key as PEM": symmetric(header, claims, published.export({ format: "pem", type: "spki" })),
    "HS256 with the public key as JSON": symmetric(header, claims, JSON.stringify({ ...jwk, kid: header.kid })),
    "HS256 with the public point": symmetric(header, claims, point),
    "alg ES384": otherHeader({ alg: "ES384" }),
    "a foreign key under our key id": signed(header, claims, foreign.privateKey),
    "a foreign key in the token": signed(
      { ...header, jwk: foreign.publicKey.export({ format: "jwk" }) }, claims, foreign.privateKey,
    ),
    "an unknown critical header": otherHeader({ crit: ["urn:example:unknown"], "urn:example:unknown": true }),
    "typ JWT": otherHeader({ typ: "JWT" }),
    "no typ": otherHeader({ typ: ABSENT }),
    "another issuer": otherClaims({ iss: "https://auth.example.com" }),
    "no issuer": otherClaims({ iss: ABSENT }),
    "another audience": otherClaims({ aud: "elsewhere" }),
    "no audience": otherClaims({ aud: ABSENT }),
    "another organization": otherClaims({ org: "acme" }),
    "no organization": otherClaims({ org: ABSENT }),
    "no user": otherClaims({ sub: ABSENT }),
    "no session": otherClaims({ sid: ABSENT }),
    "no expiry": otherClaims({ exp: ABSENT }),
    "expired": otherClaims({ exp: Math.floor(Date.now() / 1000) - 6 }),
    "not yet valid": otherClaims({ nbf: Math.floor(Date.now() / 1000) + 60 }),
    "no start": otherClaims({ nbf: ABSENT }),
    "no time of issue": otherClaims({ iat: ABSENT }),
    "bound to a device key": otherClaims({ cnf: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }),
  };
}

// Services.

/** The keys of a system, under a URL for each service, so that its requests can be counted and refused. */
async function publish(api) {
  const keys = { requests: {}, isDown: false };
  const server = createServer(async (request, response) => {
    const name = request.url.slice(1);
    keys.requests[name] = (keys.requests[name] ?? 0) + 1;
    if (keys.isDown) return response.writeHead(500).end();
    const published = await fetch(`${api}/.well-known/jwks.json`);
    response.writeHead(published.status, { "content-type": published.headers.get("content-type") });
    response.end(await published.text());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return Object.assign(keys, { url: name => `http://127.0.0.1:${server.address().port}/${name}` });
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

const running = [];

/** Starts a service, and returns when it listens or has ended. */
async function start(name, issuer, jwksUrl) {
  const port = await freePort();
  const [program, ...values] = COMMANDS[name];
  const env = { ...process.env, ISSUER: issuer, JWKS_URL: jwksUrl, PORT: String(port) };
  // What the services log, such as each request, is of no interest here.
  const child = spawn(program, values, { env, stdio: "ignore" });
  running.push(child);
  const url = `http://127.0.0.1:${port}/orders`;
  for (let tries = 0; tries < 300 && child.exitCode === null; tries++) {
    if (await fetch(url).then(() => true, () => false)) return { name, url, child };
    await pause(100);
  }
  return { name, url, child };
}

const startAll = (issuer, keys) => Promise.all(Object.keys(COMMANDS).map(name => start(name, issuer, keys.url(name))));

/** Status, body, and challenge of a service's answer. */
async function call(service, headers) {
  const response = await fetch(service.url, { headers });
  return { status: response.status, body: await response.json(), challenge: response.headers.get("www-authenticate") };
}

const bearer = token => ({ authorization: `Bearer ${token}` });

async function assertRefused(service, headers, what) {
  const { status, challenge } = await call(service, headers);
  assert.equal(status, 401, `${service.name}: ${what}`);
  assert.match(challenge, /^Bearer/, `${service.name}: ${what}`);
}

async function assertAccepted(service, token, what) {
  const { status, body } = await call(service, bearer(token));
  assert.equal(status, 200, `${service.name}: ${what}`);
  const [, claims] = parts(token);
  assert.deepEqual(body, { user_id: claims.sub, organization_id: "default", fresh: true }, `${service.name}: ${what}`);
}

let keys, services, expired, tokens;

before(async () => {
  expired = (await signIn(PLAIN_API)).access_token;
  await advance(UNTIL_THE_FIRST_TOKEN_HAS_EXPIRED);
  tokens = await signIn(PLAIN_API);
  keys = await publish(PLAIN_API);
  services = await startAll(PLAIN_API, keys);
});

after(() => running.forEach(child => child.kill()));

test("the access token of a sign-in passes and tells who calls", async () => {
  for (const service of services) await assertAccepted(service, tokens.access_token, "a good token");
});

test("a request without a token is refused", async () => {
  for (const service of services) {
    await assertRefused(service, {}, "no header");
    for (const authorization of ["Bearer", "Bearer ", "Basic c2l0YTpzZWNyZXQ=", tokens.access_token]) {
      await assertRefused(service, { authorization }, authorization.slice(0, 10));
    }
  }
});

test("a refresh token is refused", async () => {
  for (const service of services) await assertRefused(service, bearer(tokens.refresh_token), "a refresh token");
});

test("an access token that has expired is refused", async () => {
  for (const service of services) await assertRefused(service, bearer(expired), "an expired token");
});

test("each forgery is refused, and the same token with a new signature passes", async () => {
  const key = await signingKey();
  for (const service of services) {
    for (const [what, token] of Object.entries(forgeries(tokens.access_token, key))) {
      await assertRefused(service, bearer(token), what);
    }
    await assertAccepted(service, signed(...parts(tokens.access_token), key), "signed again");
  }
});

test("an ended session's access token passes until it expires, as the keys alone cannot tell", async () => {
  const ended = await signIn(PLAIN_API);
  const response = await fetch(`${PLAIN_API}/v1/session`, { method: "DELETE", headers: bearer(ended.access_token) });
  assert.equal(response.status, 204);
  for (const service of services) await assertAccepted(service, ended.access_token, "a token of an ended session");
});

test("the keys are kept, and forged key ids do not have them read each time", async () => {
  const [header, claims] = parts(tokens.access_token);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  for (const service of services) {
    const forged = Array.from({ length: 30 }, (_, n) => signed({ ...header, kid: `key_${n}` }, claims, privateKey));
    await Promise.all(forged.map(token => assertRefused(service, bearer(token), "an unknown key")));
    await assertAccepted(service, tokens.access_token, "a good token");
    // One at the start, and one for the first unknown key.
    assert.ok(keys.requests[service.name] <= 2, `${service.name}: ${keys.requests[service.name]} requests`);
  }
});

test("a token that a new key signed passes without a restart, and so does one of the old key", async () => {
  await secretsManager("RotateSecret");
  await advance(UNTIL_THE_NEW_KEY_SIGNS);
  const { access_token } = await signIn(PLAIN_API);
  assert.notEqual(parts(access_token)[0].kid, parts(tokens.access_token)[0].kid);
  for (const service of services) {
    // A service reads the keys for an unknown one at most every 30 seconds. In the cloud it has five minutes to read them
    // before they sign.
    const until = Date.now() + 60_000;
    while ((await call(service, bearer(access_token))).status !== 200 && Date.now() < until) await pause(500);
    await assertAccepted(service, access_token, "a token of the new key");
    await assertAccepted(service, tokens.access_token, "a token of the old key");
    assert.ok(keys.requests[service.name] <= 3, `${service.name}: ${keys.requests[service.name]} requests`);
  }
});

test("a service without the keys refuses nobody: it answers 503 or does not start", async () => {
  const missing = await publish(PLAIN_API);
  missing.isDown = true;
  const started = await startAll(PLAIN_API, missing);
  for (const service of started.filter(({ name }) => name !== "go")) {
    assert.equal((await call(service, bearer(tokens.access_token))).status, 503, service.name);
  }
  assert.notEqual(started.find(({ name }) => name === "go").child.exitCode ?? 0, 0);
  missing.isDown = false;
  for (const service of started.filter(({ name }) => name !== "go")) {
    await assertAccepted(service, tokens.access_token, "after the outage");
  }
});

test("an access token that is bound to a device key is refused with and without its proof", async () => {
  const bound = await startAll(BOUND_API, await publish(BOUND_API));
  const key = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const submit = await proof(key, "POST", `${BOUND_API}/v1/otp/submit`);
  const { access_token, token_type } = await signIn(BOUND_API, submit);
  assert.equal(token_type, "DPoP");
  const plain = (await signIn(BOUND_API)).access_token;
  for (const service of bound) {
    const dpop = await proof(key, "GET", service.url, access_token);
    await assertRefused(service, bearer(access_token), "as a bearer token");
    await assertRefused(service, { ...bearer(access_token), dpop }, "as a bearer token with a proof");
    await assertRefused(service, { authorization: `DPoP ${access_token}`, dpop }, "with a proof");
    await assertAccepted(service, plain, "an unbound token");
  }
});
