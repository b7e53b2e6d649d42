"""Compares the examples of the reference in Swift with the client, as far as that goes without a compiler: they are Swift, and
the calls, types and labels that they name are those of clients/ios."""

import re
import sys
from pathlib import Path

import tree_sitter_swift
from tree_sitter import Language, Parser

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "clients/ios/Sources/Latchkey"
PARSER = Parser(Language(tree_sitter_swift.language()))

calls = set(re.findall(r"static (?:var|func) (\w+)", (SOURCES / "Call.swift").read_text()))
bodies = (SOURCES / "Bodies.swift").read_text()
structs = dict(re.findall(r"^public struct (\w+)[^{]*\{\n(.*?)^\}", bodies, re.MULTILINE | re.DOTALL))
session = set(re.findall(r"public func (\w+)", (SOURCES / "Session.swift").read_text()))


def labels(struct: str) -> list[str]:
    [parameters] = re.findall(r"public init\((.*?)\)", structs[struct])
    return re.findall(r"(\w+):", parameters)


def faults(source: str) -> list[str]:
    found = ["is not Swift"] if PARSER.parse(source.encode()).root_node.has_error else []
    source = re.sub(r'"[^"]*"', '""', source)
    found += [f"no call {name}" for name in re.findall(r"\.call\(\s*\.(\w+)", source) if name not in calls]
    found += [f"no method {name} of Session" for name in re.findall(r"session\.(\w+)\(", source) if name not in session]
    for struct, arguments in re.findall(r"\b(\w+Request)\(([^()]*(?:\([^()]*\)[^()]*)*)\)", source):
        given, known = re.findall(r"(\w+):", arguments), labels(struct)
        if [name for name in known if name in given] != given:
            found.append(f"{struct} takes {known}, not {given}")
    members = structs["SubmitRequest"]
    return found + [f"no member {name}" for name in re.findall(r"body\.(\w+) =", source) if f"var {name}:" not in members]


files = sorted((REPOSITORY / "docs/site/snippets/swift").glob("*.swift"))
wrong = [f"{file.name}: {fault}" for file in files for fault in faults(file.read_text())]
print("\n".join(wrong) or f"{len(files)} examples in Swift")
sys.exit(1 if wrong or not files else 0)
