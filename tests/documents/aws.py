"""Checks commands of aws that stand in documents: reads a JSON list of {where, command}, and asks botocore, which knows every
service, operation and member, whether there are such."""

import json
import re
import sys

import botocore.session
from botocore import xform_name

# Of the command line itself.
COMMON = {"--query", "--output", "--region", "--profile", "--no-cli-pager"}
# Commands that are no operations.
OWN = {
    "cloudformation deploy": {"--stack-name", "--template-file", "--parameter-overrides"},
    "configure export-credentials": {"--format"},
}

session = botocore.session.get_session()


def options_of(service: str, operation: str, rest: list[str]) -> set[str]:
    own = OWN.get(f"{service} {operation}")
    if own is not None:
        return own
    client = session.get_service_model(service)
    if operation == "wait":
        waiters = session.get_waiter_model(service)
        found = {xform_name(name, "-"): waiters.get_waiter(name).operation for name in waiters.waiter_names}
        operation = xform_name(found[rest[0]], "-")
    names = {xform_name(name, "-"): name for name in client.operation_names}
    members = client.operation_model(names[operation]).input_shape.members
    options = set()
    for name, shape in members.items():
        option = "--" + xform_name(name, "-")
        options |= {option, option.replace("--", "--no-", 1)} if shape.type_name == "boolean" else {option}
    return options


wrong = []
for found in json.load(sys.stdin):
    # `$(…)` and quoted JSON have no options of aws, except where they are commands of aws themselves.
    for part in re.split(r"(?<![\w-])aws (?=[a-z])", found["command"])[1:]:
        part = re.split(r"[|)]|--query ?\"", part.replace("\\\n", " "))[0]
        words = [word for word in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", part)]
        service, operation, *rest = words if len(words) > 1 else (*words, "")
        try:
            known = COMMON | options_of(service, operation, rest)
        except Exception as error:
            wrong.append(f"{found['where']}: aws {service} {operation}: {error!r}")
            continue
        unknown = [word for word in rest if word.startswith("--") and word not in known]
        wrong += [f"{found['where']}: aws {service} {operation} has no {word}" for word in unknown]

print("\n".join(wrong))
sys.exit(1 if wrong else 0)
