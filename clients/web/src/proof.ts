// The device's key, and proofs that a request comes from it (DPoP, RFC 9449).

import { Problem } from "./problem.ts";

/** An ECDSA key on P-256. No script can read its private half. */
export type DeviceKey = CryptoKeyPair;

const text = new TextEncoder();

/** `undefined` where the browser offers no WebCrypto: a page without HTTPS. */
export async function makeDeviceKey(): Promise<DeviceKey | undefined> {
  const { subtle } = crypto as { subtle?: SubtleCrypto };
  return subtle?.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
}

/**
 * The header `DPoP` of one request.
 *
 * @param atSeconds the server's time. It refuses a proof that is five minutes off.
 * @param accessToken the token in `Authorization`, if there is one.
 */
export async function prove(
  key: DeviceKey,
  method: string,
  url: string,
  atSeconds: number,
  accessToken?: string,
): Promise<string> {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", key.publicKey);
  const claims: Record<string, unknown> = {
    jti: encode(crypto.getRandomValues(new Uint8Array(16))),
    htm: method,
    htu: url.replace(/[?#].*/s, ""),
    iat: Math.floor(atSeconds),
  };
  if (accessToken) claims["ath"] = encode(await crypto.subtle.digest("SHA-256", text.encode(accessToken)));
  const signed = [{ typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } }, claims]
    .map((part) => encode(text.encode(JSON.stringify(part))))
    .join(".");
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  return `${signed}.${encode(await crypto.subtle.sign(algorithm, key.privateKey, text.encode(signed)))}`;
}

/** Base64url without padding (RFC 7515). */
function encode(bytes: ArrayBuffer | Uint8Array): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=/g, "");
}

/**
 * What a JWT says, without a check of its signature: for the client's own use only.
 *
 * @throws {Problem} for what is none: then somebody else than Latchkey answered.
 */
export function claimsOf(jwt: string): Record<string, unknown> {
  try {
    const [, claims = ""] = jwt.split(".");
    const bytes = atob(claims.replace(/-/g, "+").replace(/_/g, "/"));
    const decoded = new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
    return JSON.parse(decoded) as Record<string, unknown>;
  } catch {
    throw new Problem("gateway_failed");
  }
}
