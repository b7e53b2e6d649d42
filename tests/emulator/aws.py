"""An AWS on one machine: ministack, and what it lacks for this template.

- CloudFormation reads the patterns of parameters as Java's regular expressions, which know `\\p{N}`.
- A rotation calls the function with each of Secrets Manager's four steps. ministack only copies the value.
- The resource AWS::SecretsManager::RotationSchedule, which starts the first rotation.
- FUNCTION_RUNNER names a program that runs the functions, such as QEMU for those of another processor.
"""

import json
import os
import subprocess
import threading
import uuid

import boto3
import regex
from ministack import app
from ministack.core.responses import error_response_json, json_response
from ministack.services import secretsmanager
from ministack.services.cloudformation import engine, provisioners

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


def call_each_step(function, secret, token):
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html"""
    functions = boto3.client("lambda")
    for step in STEPS:
        event = {"Step": step, "SecretId": secret, "ClientRequestToken": token, "RotationToken": str(uuid.uuid4())}
        answer = functions.invoke(FunctionName=function, Payload=json.dumps(event))
        if "FunctionError" in answer:
            print(f"rotation of {secret}: {step}: {answer['Payload'].read().decode()}", flush=True)
            return


def rotate(request):
    """RotateSecret. It answers at once; the steps follow."""
    _, secret = secretsmanager._resolve(request["SecretId"])
    function = request.get("RotationLambdaARN") or (secret or {}).get("RotationLambdaARN")
    if not function:
        return error_response_json("InvalidRequestException", "No Lambda rotation function ARN is associated.", 400)
    secret.update(RotationEnabled=True, RotationLambdaARN=function)
    secret["RotationRules"] = request.get("RotationRules", secret.get("RotationRules"))
    # A label is at one version only, and the function is about to give this one to another.
    for version in secret["Versions"].values():
        version["Stages"] = [stage for stage in version["Stages"] if stage != "AWSPENDING"]
    token = request.get("ClientRequestToken", str(uuid.uuid4()))
    threading.Thread(target=call_each_step, args=(function, secret["ARN"], token), daemon=True).start()
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": token})


def create_schedule(_logical_id, properties, _stack):
    rotate(properties)
    return properties["SecretId"], {}


def delete_schedule(secret_id, _properties):
    _, secret = secretsmanager._resolve(secret_id)
    if secret:
        secret["RotationEnabled"] = False


class Popen(subprocess.Popen):
    def __init__(self, command, **options):
        is_function = os.path.basename(command[0]) == "bootstrap"
        super().__init__([*(os.environ.get("FUNCTION_RUNNER", "").split() if is_function else []), *command], **options)


subprocess.Popen = Popen
engine.re = regex
secretsmanager._rotate_secret = rotate
provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::RotationSchedule"] = {
    "create": create_schedule,
    "delete": delete_schedule,
}
app.main()
