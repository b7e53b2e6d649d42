"""The functions of the stacks in examples/, called as API Gateway calls them: with the context that the authorizer gives. A
test in Rust (tests/system/examples.rs) holds context.json to what the authorizer really gives."""

import json
import unittest
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
CONTEXT = json.loads(Path(__file__).with_name("context.json").read_text())
ANSWER = {
    "user_id": CONTEXT["user_id"],
    "organization_id": "default",
    "roles": {"default": ["default"]},
    "fresh": True,
}


def handler(stack):
    template = yaml_parse((ROOT / "examples" / stack / "template.yaml").read_text())
    names = {}
    exec(template["Resources"]["OrdersFunction"]["Properties"]["InlineCode"], names)
    return names["handler"]


class Stacks(unittest.TestCase):
    def assert_answers(self, stack, authorizer, expected):
        answer = handler(stack)({"requestContext": {"authorizer": authorizer}}, None)
        self.assertEqual((answer["statusCode"], json.loads(answer["body"])), (200, expected))

    def test_the_function_of_the_http_api_reads_the_context(self):
        self.assert_answers("http-api", {"lambda": CONTEXT}, ANSWER)
        self.assert_answers("http-api", {"lambda": {**CONTEXT, "fresh": False}}, {**ANSWER, "fresh": False})

    def test_the_function_of_the_rest_api_reads_the_context_whose_values_are_texts(self):
        texts = {**CONTEXT, "fresh": "true", "principalId": CONTEXT["user_id"]}
        self.assert_answers("rest-api", texts, ANSWER)
        self.assert_answers("rest-api", {**texts, "fresh": "false"}, {**ANSWER, "fresh": False})
