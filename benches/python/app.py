"""The older system's login, ported to Lambda in the usual way: one route with an action, and codes stored in plain text."""

import json
import os
import random
import time

import boto3
import requests
from apig_wsgi import make_lambda_handler
from boto3.dynamodb.conditions import Attr
from flask import Flask, jsonify, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token

# Created once per process: clients and their connections. The secrets below are also read only once.
table = boto3.resource("dynamodb").Table(os.environ["PEER_TABLE"])
secrets = boto3.client("secretsmanager")
sms = requests.Session()


def secret(name):
    return secrets.get_secret_value(SecretId=os.environ[name])["SecretString"]


app = Flask(__name__)
app.config["JWT_SECRET_KEY"] = secret("CODE_KEY_SECRET")
gateway = json.loads(secret("GATEWAY_SECRET"))
jwt = JWTManager(app)


def send_by_sparrow(phone_number, text):
    reply = sms.post(
        os.environ["SPARROW_BASE_URL"] + "/v2/sms/",
        data={
            "token": gateway["SPARROW_TOKEN"],
            "from": gateway["SPARROW_IDENTITY"],
            "to": phone_number[-10:],
            "text": text,
        },
        timeout=5,
    )
    return reply.ok


def send_otp(phone_number):
    otp = str(random.randint(99999, 999999))
    counter = table.update_item(
        Key={"pk": f"count#{phone_number}"},
        UpdateExpression="ADD otp_count :one SET expires_at = if_not_exists(expires_at, :end)",
        ExpressionAttributeValues={":one": 1, ":end": int(time.time()) + 3600},
        ReturnValues="ALL_NEW",
    )
    if counter["Attributes"]["otp_count"] > 5:
        return jsonify(message="otp limit exceeded"), 429
    table.put_item(Item={"pk": f"otp#{phone_number}", "otp": otp, "expires_at": int(time.time()) + 600})
    if not send_by_sparrow(phone_number, f"<#> {otp} is your code for Latchkey."):
        return jsonify(message="could not send otp"), 503
    return jsonify(message="sent otp")


def submit_otp(phone_number, otp, fcm_token):
    sent = table.get_item(Key={"pk": f"otp#{phone_number}"}, ConsistentRead=True).get("Item")
    if not sent or sent["expires_at"] < time.time() or sent["otp"] != otp:
        return jsonify(message="incorrect otp"), 400
    table.delete_item(Key={"pk": f"otp#{phone_number}"}, ConditionExpression=Attr("otp").eq(otp))
    user = table.get_item(Key={"pk": f"user#{phone_number}"}, ConsistentRead=True).get("Item")
    if not user:
        user = {
            "pk": f"user#{phone_number}",
            "phone_number": phone_number,
            "roles": {"default": ["default"]},
            "fcm_token": fcm_token,
            "created_at": int(time.time()),
        }
        table.put_item(Item=user)
    elif fcm_token and user.get("fcm_token") != fcm_token:
        table.update_item(
            Key={"pk": user["pk"]},
            UpdateExpression="SET fcm_token = :token",
            ExpressionAttributeValues={":token": fcm_token},
        )
    return jsonify(
        access_token=create_access_token(identity=phone_number, fresh=True, additional_claims={"roles": user["roles"]}),
        refresh_token=create_refresh_token(identity=phone_number),
        user={"phone_number": phone_number, "roles": user["roles"]},
    )


@app.post("/login")
def login():
    body = request.get_json()
    if body["action"] == "send_otp":
        return send_otp(body["phone_number"])
    if body["action"] == "submit_otp":
        return submit_otp(body["phone_number"], body["otp"], request.headers.get("FCM-TOKEN"))
    return jsonify(message="unknown action"), 400


handler = make_lambda_handler(app)
