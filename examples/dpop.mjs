// Binds a session to a key of the device with DPoP (RFC 9449). Needs Node.js 20 or later and nothing else.
//
//   node examples/dpop.mjs http://127.0.0.1:3000 9841234568   signs in at a running `cargo local`, then refreshes
//   node examples/dpop.mjs vectors                            prints proofs to test another implementation with
//
// examples/dpop-vectors.json contains such proofs.

import { pathToFileURL } from "node:url";

const P256 = { name: "ECDSA", namedCurve: "P-256" };
const base64url = data => Buffer.from(data).toString("base64url");
const sha256 = async text => base64url(await crypto.subtle.digest("SHA-256", Buffer.from(text)));
const now = () => Math.floor(Date.now() / 1000);

/** The header `DPoP` of one request. The header `Date` of a response tells a device whose clock is wrong the time. */
export async function proof(key, method, url, accessToken, { jti = crypto.randomUUID(), iat = now() } = {}) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", key.publicKey);
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
  const claims = { jti, htm: method, htu: url.split(/[?#]/)[0], iat };
  if (accessToken) claims.ath = await sha256(accessToken);
  const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key.privateKey, Buffer.from(signed));
  return `${signed}.${base64url(signature)}`;
}

/** `cnf.jkt` of the tokens that are bound to a public key (RFC 7638). The order of the members changes it. */
export const thumbprint = ({ crv, kty, x, y }) => sha256(JSON.stringify({ crv, kty, x, y }));

async function signIn(api, phone) {
  // `false`: no program can read the private half. Keep the key in the Keychain, the Keystore or IndexedDB.
  const key = await crypto.subtle.generateKey(P256, false, ["sign", "verify"]);
  const url = path => new URL(path, api).href;
  const post = (path, body, dpop) => {
    const headers = { "content-type": "application/json", ...(dpop && { dpop }) };
    return fetch(url(path), { method: "POST", headers, body: JSON.stringify(body) });
  };
  const proven = async (path, body) => post(path, body, await proof(key, "POST", url(path)));

  const sent = await expect("send a code with a proof", 200, proven("/v1/otp/send", { phone_number: phone }));
  const { messages } = await (await fetch(url("/local/inbox"))).json();
  const otp = messages[0].text.match(/\d{6}/)[0];
  const code = { phone_number: phone, otp, challenge_id: sent.challenge_id };
  const { refresh_token } = await expect("submit it with a proof", 200, proven("/v1/otp/submit", code));

  await expect("refresh without a proof", 401, post("/v1/session/refresh", { refresh_token }));
  const tokens = await expect("refresh with a proof", 200, proven("/v1/session/refresh", { refresh_token }));

  // The type is DPoP if the deployment binds access tokens too. If it is Bearer, the request needs no proof.
  const authorization = `${tokens.token_type} ${tokens.access_token}`;
  const dpop = await proof(key, "GET", url("/v1/me"), tokens.access_token);
  const me = fetch(url("/v1/me"), { headers: { authorization, dpop } });
  await expect(`read the account with a ${tokens.token_type} token`, 200, me);
}

async function expect(what, status, request) {
  const response = await request;
  const answer = await response.json();
  console.log(`${what}: ${response.status} ${answer.code ?? ""}`.trimEnd());
  if (response.status !== status) {
    const wait = answer.retry_after ? ` (retry_after: ${answer.retry_after})` : "";
    throw new Error(`${answer.detail}${wait}`);
  }
  return answer;
}

/** The same each time, except for the signatures: ES256 signs with a random number. */
async function vectors() {
  const publicJwk = { kty: "EC", crv: "P-256",
    x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" };
  const privateJwk = { ...publicJwk, d: "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" };
  const load = (jwk, use) => crypto.subtle.importKey("jwk", jwk, P256, true, [use]);
  const key = { publicKey: await load(publicJwk, "verify"), privateKey: await load(privateJwk, "sign") };
  // The access token of RFC 9449, section 7.1.
  const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
  const vector = async (jti, method, path, accessToken) => {
    const jwt = await proof(key, method, `https://auth.example.com${path}`, accessToken, { jti, iat: 1795219200 });
    const [header, claims] = jwt.split(".").map(part => Buffer.from(part, "base64url").toString());
    return { header, claims, access_token: accessToken, signing_input: jwt.slice(0, jwt.lastIndexOf(".")), proof: jwt };
  };
  return {
    about: "DPoP proofs for tests. Verify the signatures, which are random, and compare everything else. " +
      "The key is the example of RFC 7515, appendix A.3: everybody knows its private half. Never use it elsewhere.",
    public_jwk: publicJwk, private_jwk: privateJwk, thumbprint: await thumbprint(publicJwk),
    proofs: [
      await vector("0d7f4c1e-6a3b-4f58-9c2d-81e5b7a90c11", "POST", "/v1/otp/submit"),
      await vector("5be3a8d2-17c9-4e06-b4fa-3c6d92e07f22", "POST", "/v1/session/refresh"),
      await vector("e2a16f70-8c5d-4b39-a7e4-609b3d18f533", "GET", "/v1/me", token),
    ],
  };
}

async function main(first, phone) {
  if (first === "vectors") return console.log(JSON.stringify(await vectors(), null, 2));
  if (!URL.canParse(first) || !phone) {
    throw new Error("usage: node examples/dpop.mjs API PHONE, or node examples/dpop.mjs vectors");
  }
  await signIn(first, phone);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(...process.argv.slice(2)).catch(error => {
    // A request that got no answer has its reason in `cause`.
    const reason = error.cause ? `no answer (${error.cause.code ?? error.cause.message}). Does cargo local run?` : error.message;
    console.error(`dpop.mjs: ${reason}`);
    process.exitCode = 1;
  });
}
