// Device keys (DPoP, RFC 9449) with libraries that know nothing of Latchkey, jose and oauth4webapi, in a client and in a
// backend. The example in examples/ is one more client. tests/clients/run starts two systems. The one at BEARER_API binds
// refresh tokens only. The one at DPOP_API binds access tokens too.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as jose from "jose";
import * as oauth from "oauth4webapi";
import * as example from "../../examples/dpop.mjs";

const { BEARER_API, DPOP_API } = process.env;
// The template's defaults.
const AUDIENCE = "latchkey";
const CLIENT = { client_id: "latchkey-app" };
// Both systems listen on loopback, without TLS.
const WITHOUT_TLS = { [oauth.allowInsecureRequests]: true };

async function ok(response) {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

function post(url, body, headers) {
  const json = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify(body) });
}

/** A proof that jose makes. */
async function proof(key, htm, htu) {
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: await jose.exportJWK(key.publicKey) };
  const jwt = new jose.SignJWT({ htm, htu }).setProtectedHeader(header).setJti(randomUUID()).setIssuedAt();
  return jwt.sign(key.privateKey);
}

const thumbprint = async key => jose.calculateJwkThumbprint(await jose.exportJWK(key.publicKey));

let phones = 0;
/** A number for each sign-in, because a second code for the same number has to wait. */
const newPhone = () => `98412345${String(phones++).padStart(2, "0")}`;

async function signIn(api, headers) {
  const phone_number = newPhone();
  const { challenge_id } = await ok(await post(`${api}/v1/otp/send`, { phone_number }));
  const { messages } = await ok(await fetch(`${api}/local/inbox?to=%2B977${phone_number}`));
  const [otp] = messages[0].text.match(/\d{6}/);
  return ok(await post(`${api}/v1/otp/submit`, { phone_number, otp, challenge_id }, headers));
}

/** A session that is bound to a new key, by a proof of jose. */
async function bound(api) {
  const key = await jose.generateKeyPair("ES256");
  const tokens = await signIn(api, { dpop: await proof(key, "POST", `${api}/v1/otp/submit`) });
  return { key, tokens };
}

async function refresh(api, { refresh_token }, key) {
  const url = `${api}/v1/session/refresh`;
  return post(url, { refresh_token }, key && { dpop: await proof(key, "POST", url) });
}

async function discover(api) {
  const issuer = new URL(api);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, WITHOUT_TLS));
}

/** What jose finds in an access token, after it verified it as a backend does. */
async function verified(api, accessToken) {
  const { issuer, jwks_uri } = await discover(api);
  const keys = jose.createRemoteJWKSet(new URL(jwks_uri));
  const expected = { issuer, audience: AUDIENCE, typ: "at+jwt", algorithms: ["ES256"] };
  return (await jose.jwtVerify(accessToken, keys, expected)).payload;
}

/** `GET /v1/me` by oauth4webapi, which throws if the answer has a challenge. */
function me(accessToken, options) {
  const url = new URL("/v1/me", DPOP_API);
  return oauth.protectedResourceRequest(accessToken, "GET", url, undefined, undefined, { ...WITHOUT_TLS, ...options });
}

/** A request to another backend, as oauth4webapi makes it. */
async function backendRequest(accessToken, options) {
  let request;
  const customFetch = async (url, { method, headers }) => {
    request = new Request(url, { method, headers });
    return new Response();
  };
  const url = new URL("https://backend.example.com/orders?page=2");
  await oauth.protectedResourceRequest(accessToken, "GET", url, undefined, undefined, {
    ...options,
    [oauth.customFetch]: customFetch,
  });
  return request;
}

/** Whether oauth4webapi has thrown a challenge for a proof. */
function isInvalidProof(error) {
  assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, error);
  assert.equal(error.status, 401);
  const [{ scheme, parameters }] = error.cause;
  assert.equal(scheme, "dpop");
  assert.equal(parameters.error, "invalid_dpop_proof");
  assert.equal(parameters.algs, "ES256");
  return true;
}

async function runExample(...values) {
  const file = fileURLToPath(new URL("../../examples/dpop.mjs", import.meta.url));
  return (await promisify(execFile)(process.execPath, [file, ...values])).stdout;
}

async function storedVectors() {
  return JSON.parse(await readFile(new URL("../../examples/dpop-vectors.json", import.meta.url), "utf8"));
}

test("the metadata says that proofs are signed with ES256", async () => {
  assert.deepEqual((await discover(BEARER_API)).dpop_signing_alg_values_supported, ["ES256"]);
});

test("jose verifies the access token of a bound session with the published keys", async () => {
  const { tokens } = await bound(BEARER_API);
  const claims = await verified(BEARER_API, tokens.access_token);
  assert.equal(claims.sub, tokens.user.user_id);
  assert.equal(claims.client_id, CLIENT.client_id);
  assert.equal(claims.cnf, undefined);
});

test("jose verifies a bound access token, which has the thumbprint that jose calculates", async () => {
  const { key, tokens } = await bound(DPOP_API);
  assert.deepEqual((await verified(DPOP_API, tokens.access_token)).cnf, { jkt: await thumbprint(key) });
});

test("a proof by jose refreshes a bound session", async () => {
  const { key, tokens } = await bound(BEARER_API);
  const refreshed = await ok(await refresh(BEARER_API, tokens, key));
  for (const { refresh_token } of [tokens, refreshed]) {
    assert.deepEqual(jose.decodeJwt(refresh_token).cnf, { jkt: await thumbprint(key) });
  }
});

test("a bound refresh token is refused without its key and then still serves with it", async () => {
  const { key, tokens } = await bound(BEARER_API);
  for (const wrong of [undefined, await jose.generateKeyPair("ES256")]) {
    const refused = await refresh(BEARER_API, tokens, wrong);
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get("www-authenticate"), /^DPoP .*\berror="invalid_dpop_proof"/);
    assert.equal((await refused.json()).code, "invalid_dpop_proof");
  }
  await ok(await refresh(BEARER_API, tokens, key));
});

test("oauth4webapi reads a refresh as the answer of a token endpoint", async () => {
  for (const [api, type] of [[BEARER_API, "bearer"], [DPOP_API, "dpop"]]) {
    const { key, tokens } = await bound(api);
    const answer = await refresh(api, tokens, key);
    const read = await oauth.processRefreshTokenResponse(await discover(api), CLIENT, answer);
    assert.equal(read.token_type, type);
  }
});

test("oauth4webapi reads the refusal of a refresh as a challenge", async () => {
  const { tokens } = await bound(BEARER_API);
  const refused = await refresh(BEARER_API, tokens);
  await assert.rejects(oauth.processRefreshTokenResponse(await discover(BEARER_API), CLIENT, refused), isInvalidProof);
});

test("oauth4webapi calls a guarded route with a bound access token", async () => {
  const { key, tokens } = await bound(DPOP_API);
  const user = await ok(await me(tokens.access_token, { DPoP: oauth.DPoP(CLIENT, key) }));
  assert.equal(user.user_id, tokens.user.user_id);
});

test("oauth4webapi is challenged for a proof if it has another key or none", async () => {
  const { key, tokens } = await bound(DPOP_API);
  const another = oauth.DPoP(CLIENT, await oauth.generateKeyPair("ES256"));
  await assert.rejects(me(tokens.access_token, { DPoP: another }), isInvalidProof);
  await assert.rejects(me(tokens.access_token), isInvalidProof);
  await ok(await me(tokens.access_token, { DPoP: oauth.DPoP(CLIENT, key) }));
});

test("oauth4webapi calls a guarded route with an unbound access token", async () => {
  const tokens = await signIn(DPOP_API);
  await ok(await me(tokens.access_token));
});

test("oauth4webapi in a backend accepts a bound access token with a proof by its key only", async () => {
  const { key, tokens } = await bound(DPOP_API);
  const server = await discover(DPOP_API);
  const validated = async options => {
    const request = await backendRequest(tokens.access_token, options);
    return oauth.validateJwtAccessToken(server, request, AUDIENCE, WITHOUT_TLS);
  };
  const claims = await validated({ DPoP: oauth.DPoP(CLIENT, key) });
  assert.equal(claims.sub, tokens.user.user_id);
  const another = oauth.DPoP(CLIENT, await oauth.generateKeyPair("ES256"));
  await assert.rejects(validated({ DPoP: another }), { message: "JWT Access Token confirmation mismatch" });
  await assert.rejects(validated({}), { message: /the request has no DPoP HTTP Header/ });
});

test("the example signs in and refreshes with both kinds of access token", async () => {
  for (const [api, type] of [[BEARER_API, "Bearer"], [DPOP_API, "DPoP"]]) {
    assert.deepEqual((await runExample(api, newPhone())).trim().split("\n"), [
      "send a code with a proof: 200",
      "submit it with a proof: 200",
      "refresh without a proof: 401 invalid_dpop_proof",
      "refresh with a proof: 200",
      `read the account with a ${type} token: 200`,
    ]);
  }
});

test("a proof by the example contains the key and the URL without its query", async () => {
  const key = await jose.generateKeyPair("ES256");
  const made = await example.proof(key, "GET", "https://auth.example.com/v1/me?a=b#c", "token");
  const expected = { typ: "dpop+jwt", maxTokenAge: 60 };
  const { payload, protectedHeader } = await jose.jwtVerify(made, jose.EmbeddedJWK, expected);
  assert.equal(payload.htu, "https://auth.example.com/v1/me");
  assert.equal(await jose.calculateJwkThumbprint(protectedHeader.jwk), await thumbprint(key));
});

test("the stored vectors are what the example prints, except for the signatures", async () => {
  const withoutSignatures = vectors => {
    const proofs = vectors.proofs.map(({ proof, ...vector }) => ({ ...vector, proof: proof.split(".").slice(0, 2) }));
    return { ...vectors, proofs };
  };
  const printed = JSON.parse(await runExample("vectors"));
  assert.deepEqual(withoutSignatures(await storedVectors()), withoutSignatures(printed));
});

test("jose verifies the stored vectors", async () => {
  const stored = await storedVectors();
  const key = await jose.importJWK(stored.public_jwk, "ES256");
  assert.equal(stored.thumbprint, await jose.calculateJwkThumbprint(stored.public_jwk));
  for (const vector of stored.proofs) {
    const { payload, protectedHeader } = await jose.compactVerify(vector.proof, key);
    assert.equal(new TextDecoder().decode(payload), vector.claims);
    assert.deepEqual(protectedHeader, JSON.parse(vector.header));
    assert.deepEqual(protectedHeader, { typ: "dpop+jwt", alg: "ES256", jwk: stored.public_jwk });
    const encoded = [vector.header, vector.claims].map(text => jose.base64url.encode(text));
    assert.equal(vector.signing_input, encoded.join("."));
    assert.ok(vector.proof.startsWith(`${vector.signing_input}.`));
    const { access_token } = vector;
    const ath = access_token && createHash("sha256").update(access_token).digest("base64url");
    assert.equal(JSON.parse(vector.claims).ath, ath);
  }
  assert.equal(stored.proofs.filter(vector => vector.access_token).length, 1);
});

test("the private key of the vectors signs what their public key verifies", async () => {
  const { private_jwk, public_jwk } = await storedVectors();
  const signed = new jose.CompactSign(Buffer.from("text")).setProtectedHeader({ alg: "ES256" });
  const jws = await signed.sign(await jose.importJWK(private_jwk, "ES256"));
  await jose.compactVerify(jws, await jose.importJWK(public_jwk, "ES256"));
});
