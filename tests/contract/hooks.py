"""Gives valid requests what no schema can express: a code that was sent, a mobile number, a valid token.

These come from the system itself, so valid requests must succeed. Requests that are meant to be wrong stay unchanged.
Each call has a new user, because some calls sign out and one deletes the account.
"""

import base64
import itertools
import json
import os
import re
import secrets

import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

API = os.environ["API"]
# Nepalese mobile numbers.
numbers = (f"+97798{number:08}" for number in itertools.count(41000000))


def base64url(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Device:
    """A device with a key, which proves it by DPoP (RFC 9449)."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())

    def proof(self, method, path):
        point = self.key.public_key().public_numbers()
        coordinates = {name: base64url(getattr(point, name).to_bytes(32, "big")) for name in ("x", "y")}
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", **coordinates}}
        now = requests.get(f"{API}/local/clock", timeout=10).json()["now"]
        claims = {"jti": secrets.token_hex(16), "htm": method, "htu": API + path, "iat": now}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
        numbers = utils.decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in numbers)
        return f"{signed}.{base64url(signature)}"


def call(method, path, token=None, device=None, **rest):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if device:
        headers["dpop"] = device.proof(method, path)
    answer = requests.request(method, API + path, headers=headers, timeout=10, **rest)
    answer.raise_for_status()
    return answer.json()


def code(number):
    text = call("GET", "/local/inbox", params={"to": number})["messages"][0]["text"]
    return re.search(r"\b\d{6}\b", text)[0]


def sent(number):
    challenge = call("POST", "/v1/otp/send", json={"phone_number": number})["challenge_id"]
    return {"phone_number": number, "otp": code(number), "challenge_id": challenge}


def sign_in():
    return call("POST", "/v1/otp/submit", json=sent(next(numbers)))


@schemathesis.auth(refresh_interval=None)
class NewUser:
    def get(self, case, context):
        return sign_in()["access_token"] if case.operation.definition.raw.get("security") else None

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


def send(case):
    return {"phone_number": next(numbers)}


def submit(case):
    # No Firebase project is configured, so only a code proves a phone.
    case.body.pop("firebase_id_token", None)
    return sent(next(numbers))


def undo(case):
    # By a code sent to the former number. An access token would need a proof by the device's key.
    case.body.pop("firebase_id_token", None)
    former, number = next(numbers), next(numbers)
    token = call("POST", "/v1/otp/submit", json=sent(former))["access_token"]
    username = "u" + number[1:]
    call("PATCH", "/v1/me", token, json={"username": username})
    call("POST", "/v1/phone/otp/send", token, json={"phone_number": number, "change": True})
    proof = {"phone_number": number, "username": username, "otp": code(number)}
    call("POST", "/v1/phone/otp/validate", token, json=proof)
    wait()
    return sent(former)


def wait(seconds=30):
    # A resend to the same number must wait 30 seconds.
    requests.post(f"{API}/local/clock", json={"advance_seconds": seconds}, timeout=10).raise_for_status()


def send_phone(case):
    # A user who signed in by phone has a verified number already, so a send for another one is a change.
    return {"phone_number": next(numbers), "change": True}


def validate(case):
    token, number = case.headers["Authorization"].removeprefix("Bearer "), next(numbers)
    username = "u" + number[1:]
    call("PATCH", "/v1/me", token, json={"username": username})
    challenge = call("POST", "/v1/phone/otp/send", token, json={"phone_number": number, "change": True})["challenge_id"]
    phone = {name: number for name in ("phone", "phone_number") if name in case.body}
    return {**phone, "username": username, "otp": code(number), "challenge_id": challenge}


def approve(case):
    # A code for the caller's own number.
    number = call("GET", "/v1/me", case.headers["Authorization"].removeprefix("Bearer "))["phone_number"]
    wait()
    return {"challenge_id": call("POST", "/v1/otp/send", json={"phone_number": number})["challenge_id"]}


def refresh(case):
    return {"refresh_token": sign_in()["refresh_token"]}


def change_that_waits():
    # A known device without a fresh token asks for another number.
    device, number = Device(), next(numbers)
    signed_in = call("POST", "/v1/otp/submit", device=device, json=sent(next(numbers)))
    username = "u" + number[1:]
    call("PATCH", "/v1/me", signed_in["access_token"], json={"username": username})
    refresh = {"refresh_token": signed_in["refresh_token"]}
    token = call("POST", "/v1/session/refresh", device=device, json=refresh)["access_token"]
    call("POST", "/v1/phone/otp/send", token, device, json={"phone_number": number, "change": True})
    proof = {"phone_number": number, "username": username, "otp": code(number)}
    call("POST", "/v1/phone/otp/validate", token, json=proof)
    return token


def recovery():
    # Whoever has a dormant number asks for its account. PHONE_DORMANT_DAYS is 1.
    number = next(numbers)
    refresh = {"refresh_token": call("POST", "/v1/otp/submit", json=sent(number))["refresh_token"]}
    wait(86_400)
    asked = requests.post(f"{API}/v1/otp/submit", json={**sent(number), "recover": True}, timeout=10)
    assert asked.json()["code"] == "recovery_pending", asked.text
    return call("POST", "/v1/session/refresh", json=refresh)["access_token"]


# Who can call these is who has something to cancel.
CALLERS = {"cancelPhoneChange": change_that_waits, "cancelRecovery": recovery}

MEMBERS = {
    "sendOtp": send,
    "submitOtp": submit,
    "undoPhoneChange": undo,
    "sendPhoneOtp": send_phone,
    "validatePhoneOtp": validate,
    "approveSignIn": approve,
    "refreshSession": refresh,
}


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    # Only a text with a signature is a valid proof.
    case.headers.pop("DPoP", None)
    operation = case.operation.definition.raw.get("operationId")
    if operation == "undoPhoneChange":
        case.headers.pop("Authorization", None)
        case.body = case.body if isinstance(case.body, dict) else {}
    if operation in CALLERS:
        case.headers["Authorization"] = f"Bearer {CALLERS[operation]()}"
    body = case.body if isinstance(case.body, dict) else {}
    if operation in MEMBERS and isinstance(case.body, dict):
        members = MEMBERS[operation](case)
        if body.get("challenge_id") is None and operation != "approveSignIn":
            members.pop("challenge_id", None)
        body.update(members)
        # No other organization exists.
        if body.get("organization_id"):
            body["organization_id"] = "default"
    # The header is needed, and must be valid, only if the body has no such member. No schema can express that.
    is_needed = operation == "putFcmToken" or "FCM-TOKEN" in case.headers
    if is_needed and operation in ("putFcmToken", "submitOtp") and body.get("fcm_token") is None:
        case.headers["FCM-TOKEN"] = "token"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    # API Gateway answers 404, not 405, if a path has no route for the method. openapi.yaml says so.
    is_no_route = response.status_code == 404 and response.json() == {"message": "Not Found"}
    return not (failure.code == "ST204" and is_no_route)
