// A service that verifies access tokens with the published keys, with jose.
//
//   npm ci
//   ISSUER=http://127.0.0.1:3000 node service.mjs
//   curl http://127.0.0.1:8082/orders -H "authorization: Bearer $ACCESS_TOKEN"
//
// It does not see that a session was ended: a token works here until it expires, at most 15 minutes later. Put the routes that
// must see it behind the authorizer. It refuses tokens that are bound to a device key (claim `cnf`), because it does not check
// proofs. With AccessTokenBinding `all`, check them as docs/integrate.md says, or use the authorizer.

import { createServer } from "node:http";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { ISSUER, AUDIENCE = "latchkey", ORGANIZATION = "default" } = process.env;
const { JWKS_URL = `${ISSUER}/.well-known/jwks.json` } = process.env;

// Reads the keys again after five minutes, and for an unknown key at most every 30 seconds.
const keys = createRemoteJWKSet(new URL(JWKS_URL), {
  cacheMaxAge: 300_000,
  cooldownDuration: 30_000,
});

/** The claims of an access token. */
async function verified(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["ES256"],
    typ: "at+jwt", // a refresh token has another type, and the same key signs it
    issuer: ISSUER,
    audience: AUDIENCE,
    requiredClaims: ["sub", "sid", "org", "iat", "nbf", "exp"],
    clockTolerance: 5, // seconds: the clocks of two machines differ
  });
  if (payload.org !== ORGANIZATION) throw new errors.JWTInvalid("another organization");
  // The proof of a device key is not checked here.
  if ("cnf" in payload) throw new errors.JWTInvalid("bound to a device key");
  return payload;
}

// The errors of jose that come from the request for the keys, and not from the token.
const OF_KEYS = ["ERR_JWKS_TIMEOUT", "ERR_JWKS_INVALID", "ERR_JOSE_GENERIC"];
const isRefusal = error => error instanceof errors.JOSEError && !OF_KEYS.includes(error.code);

async function handle(request) {
  const [, token] = /^bearer +(.+)$/i.exec(request.headers.authorization ?? "") ?? [];
  if (!token) return [401, { error: "token_required" }, { "www-authenticate": "Bearer" }];
  try {
    const { sub, org, fresh } = await verified(token);
    return [200, { user_id: sub, organization_id: org, fresh: fresh === true }];
  } catch (error) {
    if (isRefusal(error)) return [401, { error: "invalid_token" }, { "www-authenticate": 'Bearer error="invalid_token"' }];
    // Nobody can tell whether the token is valid. With a 401, the app would sign its user out.
    return [503, { error: "keys_unavailable" }];
  }
}

createServer(async (request, response) => {
  const [status, body, headers] = await handle(request);
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}).listen(Number(process.env.PORT ?? 8082), "127.0.0.1");
