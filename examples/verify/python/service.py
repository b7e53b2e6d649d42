"""A service that verifies access tokens with the published keys, with PyJWT.

    pip install -r requirements.txt
    ISSUER=http://127.0.0.1:3000 python service.py
    curl http://127.0.0.1:8081/orders -H "authorization: Bearer $ACCESS_TOKEN"

It does not see that a session was ended: a token works here until it expires, at most 15 minutes later. Put the routes that
must see it behind the authorizer. It refuses tokens that are bound to a device key (claim `cnf`), because it does not check
proofs. With AccessTokenBinding `all`, check them as docs/integrate.md says, or use the authorizer.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ.get("AUDIENCE", "latchkey")
ORGANIZATION = os.environ.get("ORGANIZATION", "default")
JWKS_URL = os.environ.get("JWKS_URL", f"{ISSUER}/.well-known/jwks.json")
PORT = int(os.environ.get("PORT", "8081"))

# Reads the keys again after five minutes, and for a key that it does not know, at most every 30 seconds.
KEYS = jwt.PyJWKClient(JWKS_URL, lifespan=300, cooldown_duration=30, timeout=5)
REQUIRED = ["iss", "aud", "sub", "sid", "org", "iat", "nbf", "exp"]


def verified(token: str) -> dict:
    """The claims of an access token. Raises jwt.PyJWTError if it is not valid here."""
    key = KEYS.get_signing_key_from_jwt(token)
    decoded = jwt.decode_complete(
        token,
        key,
        algorithms=["ES256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        options={"require": REQUIRED},
        # The clocks of two machines differ.
        leeway=5,
    )
    header, claims = decoded["header"], decoded["payload"]
    # A refresh token has another type, and the same key signs it.
    if header.get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    if claims["org"] != ORGANIZATION:
        raise jwt.InvalidTokenError("a token of another organization")
    if "cnf" in claims:
        raise jwt.InvalidTokenError("bound to a device key, whose proof is not checked here")
    return claims


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self.answer(401, {"error": "token_required"}, {"www-authenticate": "Bearer"})
        try:
            claims = verified(token.strip())
        except jwt.PyJWKClientConnectionError:
            # Nobody can tell whether the token is valid. With a 401, the app would sign its user out.
            return self.answer(503, {"error": "keys_unavailable"})
        except jwt.PyJWTError:
            return self.answer(401, {"error": "invalid_token"}, {"www-authenticate": 'Bearer error="invalid_token"'})
        self.answer(200, {"user_id": claims["sub"], "organization_id": claims["org"], "fresh": claims.get("fresh") is True})

    def answer(self, status: int, body: dict, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Service).serve_forever()
