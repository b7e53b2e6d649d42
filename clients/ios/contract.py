# Compares the Swift sources with openapi.yaml: operations, members of bodies and problem codes, each in both directions.
# It also parses every source, and looks for each example of README.md in one.

import re
import sys
import textwrap
from pathlib import Path

import tree_sitter_swift
import yaml
from tree_sitter import Language, Node, Parser

HERE = Path(__file__).parent
DOCUMENT = yaml.load((HERE / "../../openapi.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
PARSER = Parser(Language(tree_sitter_swift.language()))

# The keys with which a backend verifies tokens are nothing for an app.
NOT_FOR_APPS = {"getJwks", "getOpenidConfiguration"}
# An older name of the number, for older apps.
OLDER_MEMBERS = {("ValidateRequest", "phone")}
CODES_OF_THE_CLIENT = {
    "gateway_throttled", "gateway_failed", "gateway_refused", "no_answer", "timed_out", "signed_out", "key_failed",
}
TYPES = {"String": "string", "Int": "integer", "Bool": "boolean", "Change": "string"}

faults: list[str] = []


def compare(at: str, written: object, stated: object) -> None:
    if written != stated:
        faults.append(f"{at}: Swift has {written}, openapi.yaml {stated}")


# What openapi.yaml states.


def resolved(schema: dict) -> dict:
    while "$ref" in schema:
        found: dict = DOCUMENT
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def members(schema: dict) -> dict[str, tuple[bool, dict]]:
    """Each member of an object: whether it is always there and never null, and its schema."""
    schema = resolved(schema)
    required = schema.get("required", [])
    found = {name: (name in required and not is_nullable(one), one) for name, one in schema.get("properties", {}).items()}
    for part in schema.get("allOf", []):
        found |= members(part)
    return found | of_choices([members(choice) for key in ("oneOf", "anyOf") for choice in schema.get(key, [])])


def of_choices(choices: list[dict[str, tuple[bool, dict]]]) -> dict[str, tuple[bool, dict]]:
    """Of choices, a member is always there if it is in each."""
    names = {name for choice in choices for name in choice}
    return {
        name: (
            all(name in choice and choice[name][0] for choice in choices),
            next(choice[name][1] for choice in choices if name in choice),
        )
        for name in names
    }


def is_nullable(schema: dict) -> bool:
    schema = resolved(schema)
    return "null" in schema.get("type", "") or any(is_nullable(choice) for choice in schema.get("oneOf", []))


def type_of(schema: dict) -> str:
    schema = resolved(schema)
    stated = schema.get("type")
    if isinstance(stated, list):
        stated = next(one for one in stated if one != "null")
    if stated:
        return stated
    for choice in schema.get("oneOf", []):
        if type_of(choice) != "null":
            return type_of(choice)
    value = schema.get("const", schema.get("enum", [""])[0])
    return "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "string"


def json_of(message: dict | None) -> dict | None:
    return resolved(message or {}).get("content", {}).get("application/json", {}).get("schema")


OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if isinstance(operation, dict) and operation.get("operationId", "getJwks") not in NOT_FOR_APPS
}


# What the Swift sources have.


def text(node: Node | None) -> str:
    return node.text.decode() if node and node.text else ""


def under(node: Node, kind: str) -> list[Node]:
    found = [node] if node.type == kind else []
    return found + [one for child in node.named_children for one in under(child, kind)]


def child(node: Node, kind: str) -> Node | None:
    return next((one for one in node.named_children if one.type == kind), None)


def source(path: Path) -> Node:
    root = PARSER.parse(path.read_bytes()).root_node
    if root.has_error:
        lines = [node.start_point.row + 1 for node in walk(root) if node.is_error or node.is_missing]
        faults.append(f"{path.relative_to(HERE)}: not Swift, at line {lines}")
    return root


def walk(node: Node) -> list[Node]:
    return [node, *(one for child in node.children for one in walk(child))]


def snake(name: str) -> str:
    return re.sub("(?<=.)[A-Z]", r"_\g<0>", name).lower()


def fields(declaration: Node) -> dict[str, tuple[bool, str]]:
    """Each stored property, by its name in JSON: whether it is there in each value, and its type."""
    found = {}
    for body in (one for one in declaration.named_children if one.type == "class_body"):
        for field in (one for one in body.named_children if one.type == "property_declaration"):
            annotation = child(field, "type_annotation")
            if annotation and not child(field, "computed_property"):
                written = text(annotation).lstrip(": ")
                found[snake(text(child(field, "pattern")))] = (not written.endswith("?"), written.rstrip("?"))
    return found


SOURCES = {path: source(path) for path in sorted(HERE.rglob("*.swift"))}
STRUCTS = {
    text(child(one, "type_identifier")): fields(one)
    for root in SOURCES.values()
    for one in under(root, "class_declaration")
    if child(one, "type_identifier")
}


def compare_type(at: str, written: str, schema: dict) -> None:
    schema = resolved(schema)
    if written.startswith("[String: "):
        compare(at, "object", type_of(schema))
        compare_type(f"{at}{{}}", written.removeprefix("[String: ").removesuffix("]"), schema["additionalProperties"])
    elif written.startswith("["):
        compare(at, "array", type_of(schema))
        compare_type(f"{at}[]", written[1:-1], schema["items"])
    elif written in TYPES:
        compare(at, TYPES[written], type_of(schema))
    else:
        compare(at, "object", type_of(schema))
        compare_members(at, written, members(schema), is_answer=True)


def compare_members(at: str, name: str, stated: dict[str, tuple[bool, dict]], is_answer: bool) -> None:
    written = STRUCTS[name]
    stated = {member: one for member, one in stated.items() if (name, member) not in OLDER_MEMBERS}
    compare(at, sorted(written), sorted(stated))
    for member in written.keys() & stated.keys():
        always, kind = written[member]
        # A request may leave out what a choice needs in one case alone, and only the profile's changes are set to null.
        if is_answer or stated[member][0]:
            compare(f"{at}.{member} is always there", always, stated[member][0])
        compare_type(f"{at}.{member}", kind, stated[member][1])


def compare_operations() -> None:
    written = {}
    for extension in under(SOURCES[HERE / "Sources/Latchkey/Call.swift"], "class_declaration"):
        if text(child(extension, "user_type")) != "Call":
            continue
        body, answer = (text(one.named_children[-1]) for one in under(extension, "equality_constraint"))
        items = [one for one in extension.named_children[-1].named_children if one.type.endswith("_declaration")]
        for item in items:
            name = text(child(item, "pattern") or child(item, "simple_identifier"))
            method, path = (text(one) for one in under(item, "line_str_text")[:2])
            written[name] = (method, path, body, answer)
    compare("operations", sorted(written), sorted(OPERATIONS))
    for name in written.keys() & OPERATIONS.keys():
        method, path, body, answer = written[name]
        stated_method, stated_path, operation = OPERATIONS[name]
        compare(name, (method, path), (stated_method, stated_path))

        request = json_of(operation.get("requestBody"))
        compare(f"{name} has a body", body != "Nothing", request is not None)
        if request and body != "Nothing":
            stated = members(request)
            if body == "ValidateRequest":
                # One of the two names of the number is required.
                stated["phone_number"] = (True, stated["phone_number"][1])
            compare_members(name, body.rstrip("?"), stated, is_answer=False)

        successes = [json_of(one) for status, one in operation["responses"].items() if str(status).startswith("2")]
        compare(f"{name} is answered with a body", answer != "Nothing", None not in successes)
        if answer == "Undone":
            for choice, one in zip(("SignedIn", "Me"), resolved(successes[0])["anyOf"], strict=True):
                compare_members(f"{name} by {choice}", choice, members(one), is_answer=True)
        elif answer != "Nothing":
            compare_members(name, answer, of_choices([members(one) for one in successes if one]), is_answer=True)


def compare_problems() -> None:
    problems = [members(schema) for name, schema in DOCUMENT["components"]["schemas"].items() if name.endswith("Problem")]
    codes = {problem["code"][1]["const"] for problem in problems}
    root = SOURCES[HERE / "Sources/Latchkey/Problem.swift"]
    written = re.findall(r'static let (\w+) = ProblemCode\(rawValue: "(\w+)"\)', text(root))
    compare("problem codes", sorted(code for _, code in written), sorted(codes | CODES_OF_THE_CLIENT))
    for name, code in written:
        compare(f"ProblemCode.{name}", snake(name), code)
    every = {name: (False, schema) for name, (_, schema) in of_choices(problems).items()}
    compare_members("problem", "ProblemBody", every, is_answer=True)


def compare_examples() -> None:
    def lines(of: str) -> str:
        return "\n".join(line.strip() for line in of.splitlines() if line.strip())

    parsed = [lines(path.read_text()) for path in (HERE / "Examples").glob("*.swift")]
    examples = re.findall("```swift\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    compare("examples of README.md", bool(examples), True)
    for example in examples:
        if not any(lines(example) in one for one in parsed):
            faults.append(f"README.md has an example that is not in Examples:\n{textwrap.indent(example, '  ')}")


compare_operations()
compare_problems()
compare_examples()
print("\n".join(faults) or f"{len(SOURCES)} sources of Swift, {len(OPERATIONS)} operations")
sys.exit(bool(faults))
