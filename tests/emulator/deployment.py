"""Deploys the stack to an emulated AWS, and uses it as people and operators do: deployment.py FOLDER

The folder is what `sam build` built. Each line is something that holds. The first that does not ends it with status 1.
"""

import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import platform
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import urllib.parse

import boto3
import yaml

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(sys.argv[1])
# The emulator names what a stack makes after the stack alone, so the second one needs another name.
FIRST, SECOND = "latchkey", "latchkey-again"
RETAINED_TABLES = ("UsersTable", "NoticesTable", "SettingsTable")
SITA, GITA, GITA_LATER, GITA_AT_LAST = (f"+977984100000{number}" for number in range(1, 5))
SPARROW = {"SPARROW_TOKEN": "token-of-the-test", "SPARROW_IDENTITY": "LATCHKEY"}


def step(text):
    print(f"\n{text}", flush=True)


def expect(text, holds, seen=None):
    print(f"  {'ok ' if holds else 'NOT'} {text}", flush=True)
    if not holds:
        sys.exit("" if seen is None else f"{seen}")


def eventually(text, probe):
    """Waits until something holds, a minute at most."""
    until = time.monotonic() + 60
    while not (holds := probe()) and time.monotonic() < until:
        time.sleep(0.2)
    expect(text, holds, "not within a minute")


def run(command, **variables):
    """Runs a command of operators, and prints what it says if it fails."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    shown = " ".join(command).replace(f"{BUILD}/", "").replace(f"{ROOT}/", "").replace("\n", "\n      ")
    expect(shown, done.returncode == 0, done.stdout)


def documented_commands(heading):
    """The blocks of commands in a section of docs/operate.md."""
    section = (ROOT / "docs/operate.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^ *```sh\n(.*?)\n *```$", section, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


class Sparrow(http.server.BaseHTTPRequestHandler):
    """Stands in for the SMS gateway."""

    messages = []

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        if (form["token"], form["from"]) == (SPARROW["SPARROW_TOKEN"], SPARROW["SPARROW_IDENTITY"]):
            self.messages.append(("+977" + form["to"], form["text"]))
            self.answer(200, {"count": 1, "response_code": 200, "response": "1 mesages has been queued for delivery"})
        else:
            self.answer(403, {"response_code": 1002, "response": "Invalid Token"})

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


def inbox(phone):
    """Oldest first."""
    return [text for to, text in Sparrow.messages if to == phone]


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def emulated(template, parameters):
    """As AWS transforms it, as far as the emulator does not: AWS::LanguageExtensions writes the parameters' values into the
    functions, so that a changed one makes new versions. And without what the emulator has not: CodeDeploy, and alarms on more
    than one metric. Aliases then move at once."""
    function = template["Globals"]["Function"]
    function["Environment"]["Variables"]["DEPLOYED_FOR"] = json.dumps(parameters, sort_keys=True)
    del function["DeploymentPreference"]
    for name, resource in list(template["Resources"].items()):
        if resource["Type"].startswith("AWS::CloudWatch::"):
            del template["Resources"][name]
    return template


class Stack:
    """A deployment, as its operators and the people who use it see it."""

    def __init__(self, name):
        self.name = name

    def deploy(self, **parameters):
        deployed = BUILD / "template-deployed.yaml"
        deployed.write_text(yaml.safe_dump(emulated(yaml.safe_load((BUILD / "template.yaml").read_text()), parameters)))
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        run(["sam", "deploy", "--template-file", str(deployed), "--config-file", f"{ROOT}/samconfig.toml",
             "--no-confirm-changeset", "--stack-name", self.name, "--parameter-overrides", *overrides])

    def delete(self):
        run(["sam", "delete", "--no-prompts", "--stack-name", self.name, "--region", os.environ["AWS_REGION"]])

    def output(self, name):
        described = boto3.client("cloudformation").describe_stacks(StackName=self.name)
        return next(output["OutputValue"] for output in described["Stacks"][0]["Outputs"] if output["OutputKey"] == name)

    def resources(self):
        """What it is made of: the logical ids, and the names."""
        pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        listed = (resource for page in pages for resource in page["StackResourceSummaries"])
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}

    def call(self, method, path, body=None, token=None):
        """Status and body of the answer of its API."""
        headers = {"host": urllib.parse.urlsplit(self.output("ApiUrl")).netloc, "content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        gateway = http.client.HTTPConnection(urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, timeout=40)
        gateway.request(method, path, None if body is None else json.dumps(body), headers)
        answer = gateway.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None

    def succeed(self, method, path, body=None, token=None):
        """The body of an answer with status 200."""
        status, answer = self.call(method, path, body, token)
        expect(f"{method} {path} answers 200", status == 200, f"{status} {answer}")
        return answer

    def refuse(self, text, status, code, *request):
        answer = self.call(*request)
        expect(f"{text}: {status} {code}", (answer[0], answer[1].get("code")) == (status, code), answer)

    def published_keys(self):
        status, answer = self.call("GET", "/.well-known/jwks.json")
        return {key["kid"] for key in answer["keys"]} if status == 200 else set()

    def send(self, phone, path="/v1/otp/send", token=None, **members):
        """A code that the phone gets, as the members of a submit."""
        before = len(inbox(phone))
        sent = self.succeed("POST", path, {"phone_number": phone, **members}, token)
        expect("Sparrow gets one message", len(inbox(phone)) == before + 1)
        code = re.search(r"\b\d{6}\b", inbox(phone)[-1])[0]
        return {"phone_number": phone, "otp": code, "challenge_id": sent["challenge_id"]}

    def sign_in(self, phone):
        right = self.send(phone)
        wrong = {**right, "otp": f"{(int(right['otp']) + 1) % 1_000_000:06}"}
        self.refuse("a wrong code", 400, "incorrect_otp", "POST", "/v1/otp/submit", wrong)
        return self.succeed("POST", "/v1/otp/submit", right)

    def me(self, person):
        return self.succeed("GET", "/v1/me", token=person["access_token"])

    def refresh(self, person):
        tokens = self.succeed("POST", "/v1/session/refresh", {"refresh_token": person["refresh_token"]})
        return {**person, **tokens}

    def change_number(self, person, former, phone):
        """Changes a person's number, of which the stream of the notices tells the former one."""
        token, before = person["access_token"], len(inbox(former))
        proof = self.send(phone, "/v1/phone/otp/send", token, change=True)
        username = self.me(person)["username"]
        self.succeed("POST", "/v1/phone/otp/validate", {**proof, "username": username}, token)
        eventually("the former number is told", lambda: len(inbox(former)) == before + 1)
        expect(f"  “{inbox(former)[-1]}”", "was changed" in inbox(former)[-1])


def event_bus():
    """A bus, and what reads the types and the users of the events that came to it since."""
    buses, queues = boto3.client("events"), boto3.client("sqs")
    bus = buses.create_event_bus(Name="latchkey")["EventBusArn"]
    queue = queues.create_queue(QueueName="events")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    buses.put_rule(Name="all", EventBusName="latchkey", EventPattern=json.dumps({"source": ["latchkey"]}))
    buses.put_targets(Rule="all", EventBusName="latchkey", Targets=[{"Id": "queue", "Arn": arn}])

    def read():
        received = queues.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        details = [json.loads(message["Body"])["detail"] for message in received]
        return [(detail["type"], detail["data"]["user_id"]) for detail in details]

    return bus, read


def use(sparrow_url):
    secrets, dynamodb = boto3.client("secretsmanager"), boto3.client("dynamodb")
    stack = Stack(FIRST)

    step("A first deployment")
    bus, events = event_bus()
    stack.deploy(SparrowBaseUrl=sparrow_url, SendWaitsSeconds=0, EventBusArn=bus)
    eventually("the first rotation made a key, which is published", stack.published_keys)
    secrets.put_secret_value(SecretId=stack.output("GatewaySecretArn"), SecretString=json.dumps(SPARROW))

    step("People sign in")
    sita, gita = stack.sign_in(SITA), stack.sign_in(GITA)
    expect("they are two users", sita["user"]["user_id"] != gita["user"]["user_id"])
    for name, person in ("sita", sita), ("gita", gita):
        stack.succeed("PATCH", "/v1/me", {"username": name}, person["access_token"])
    stack.refuse("no token", 401, "token_required", "GET", "/v1/me")
    forged = sita["access_token"].rsplit(".", 1)[0] + "." + gita["access_token"].rsplit(".", 1)[1]
    stack.refuse("a forged token", 401, "token_invalid", "GET", "/v1/me", None, forged)
    sita = stack.refresh(sita)
    expect("the authorizer knows who it is", stack.me(sita)["username"] == "sita")
    issuer = claims(sita["access_token"])["iss"]
    expect(f"the issuer is the API's own URL, {issuer}", issuer == stack.output("ApiUrl"))

    step("Events")
    told = set()
    users = {(kind, person["user"]["user_id"]) for person in (sita, gita) for kind in ("user.created", "user.signed_in")}
    eventually("the bus has both users and their sign-ins", lambda: told.update(events()) or told == users)

    step("A change of number")
    stack.change_number(gita, GITA, GITA_LATER)

    step("The signing key rotates")
    before = stack.published_keys()
    rotation = secrets.rotate_secret(SecretId=stack.output("SigningKeySecretArn"))
    versions = lambda: secrets.describe_secret(SecretId=rotation["ARN"])["VersionIdsToStages"]
    eventually("its new version is current", lambda: "AWSCURRENT" in versions().get(rotation["VersionId"], []))
    expect("a second key is published beside the first", before < stack.published_keys(), stack.published_keys())
    expect("an earlier access token is good", stack.me(sita)["username"] == "sita")
    sita = stack.refresh(sita)
    expect("an earlier refresh token is too", stack.me(sita)["username"] == "sita")

    step("A deployment with other parameters")
    stack.deploy(AccessTokenSeconds=600, DeletionProtection="true")
    expect("an earlier access token is good", stack.me(sita)["username"] == "sita")
    sita = stack.refresh(sita)
    now = claims(sita["access_token"])
    expect("tokens have the new lifetime", now["exp"] - now["iat"] == 600, now)
    expect("the issuer is the same", now["iss"] == issuer, now)
    stack.send(SITA)

    step("The stack is deleted")
    made, old_keys = stack.resources(), stack.published_keys()
    tables = {name: made[name] for name in RETAINED_TABLES}
    stack.delete()
    remaining = set(dynamodb.list_tables()["TableNames"])
    expect("users, notices and settings stay; codes and sessions do not", remaining == set(tables.values()), remaining)
    remaining = {secret["Name"] for secret in secrets.list_secrets()["SecretList"]}
    kept = {made["CodeKeySecret"], made["EventKeySecret"], made["GatewaySecret"]}
    expect("the keys of codes and of digests and the gateways' credentials stay; the signing key does not",
           remaining == kept, remaining)

    step("A new stack comes up on the old tables")
    stack = Stack(SECOND)
    import_tables, copy_credentials = documented_commands("Bring up a new stack on the old tables")
    names = {name.removesuffix("Table").upper(): table for name, table in tables.items()}
    run(["bash", "-ceu", import_tables], STACK=SECOND, **names)
    expect("the stack has the old tables, and nothing else", stack.resources() == tables, stack.resources())
    stack.deploy(SparrowBaseUrl=sparrow_url)
    expect("it still has them", stack.resources().items() >= tables.items(), stack.resources())
    eventually("the first rotation made a key, which is published", lambda: stack.published_keys() - old_keys)
    run(["bash", "-ceuo", "pipefail", copy_credentials], OLD_GATEWAY_SECRET=made["GatewaySecret"],
        NEW_GATEWAY_SECRET=stack.output("GatewaySecretArn"))
    status = stack.call("GET", "/v1/me", token=sita["access_token"])[0]
    expect("who was signed in is not", status == 401, status)
    again = stack.sign_in(SITA)
    expect("the same number signs the same user in", again["user"]["user_id"] == sita["user"]["user_id"], again["user"])
    expect("who has the same username", stack.me(again)["username"] == "sita")
    again = stack.sign_in(GITA_LATER)
    expect("a changed number too", again["user"]["user_id"] == gita["user"]["user_id"], again["user"])
    stack.change_number(again, GITA_LATER, GITA_AT_LAST)
    protected = dynamodb.describe_table(TableName=tables["UsersTable"])["Table"]["DeletionProtectionEnabled"]
    expect("the tables are protected, as before", protected)


def function_runner():
    """QEMU, for functions of arm64 on another processor."""
    # https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
    is_arm64 = (BUILD / "JwksFunction/bootstrap").read_bytes()[18] == 183
    return "qemu-aarch64 -L /usr/aarch64-linux-gnu" if is_arm64 and platform.machine() != "aarch64" else ""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def aws(folder):
    """The emulated AWS, and the variables by which `sam`, `aws` and boto3 reach it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    os.environ |= {
        "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PAGER": "", "SAM_CLI_TELEMETRY": "0",
        # What the machine's user has for the real one stays out of it.
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    # The functions inherit the emulator's variables.
    own = {f"AWS_ENDPOINT_URL_{service}": url for service in ("DYNAMODB", "EVENTBRIDGE", "SECRETS_MANAGER", "SNS")}
    own |= {"FUNCTION_RUNNER": function_runner(), "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "TMPDIR": folder}
    with open(f"{folder}/aws.log", "w") as log:
        emulator = subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name("aws.py")],
                                    env={**os.environ, **own}, stdout=log, stderr=log)
    try:
        eventually("AWS is emulated", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield
    except SystemExit:
        print(pathlib.Path(f"{folder}/aws.log").read_text()[-6000:], file=sys.stderr)
        raise
    finally:
        emulator.terminate()
        emulator.wait()


def main():
    sparrow = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sparrow)
    threading.Thread(target=sparrow.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, aws(folder):
        use(f"http://127.0.0.1:{sparrow.server_port}")
    print("\nAll of it holds.")


main()
