"""The OpenAPI document tells a stranger of each operation what it is, who may, what goes in and out, and what fails."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from agentbridge.api.app import create
from agentbridge.api.examples import BODIES, OBJECTS
from agentbridge.api.operations import OPERATIONS
from agentbridge.settings import ApiSettings

JSON, PROBLEM = "application/json", "application/problem+json"
Part = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Part:
    found: Part = create(ApiSettings.model_validate({"api": {"dsn": "postgresql://127.0.0.1/none"}})).openapi()
    return found


def operations(document: Part) -> Iterator[tuple[str, str, Part]]:
    """Yields name, method and description of each operation."""
    for methods in document["paths"].values():
        for method, described in methods.items():
            yield described["operationId"], method, described


def contents(described: Part) -> Iterator[tuple[str, Part]]:
    """Yields each JSON body of an operation that is not a problem, with what it is."""
    for status, response in described["responses"].items():
        if JSON in response.get("content", {}):
            yield status, response["content"][JSON]
    if JSON in described.get("requestBody", {}).get("content", {}):
        yield "body", described["requestBody"]["content"][JSON]


def test_each_operation_says_what_it_does_and_who_may(document: Part) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for name, _, described in operations(document):
        assert described["summary"][0].isupper(), name
        assert "**Who may:**" in described["description"], name
        assert described["tags"][0] in tags, name
        assert (described["security"] == []) is OPERATIONS[name].public, name
        for parameter in described["parameters"]:
            assert parameter["description"], (name, parameter["name"])


def test_each_body_has_an_example_that_fits_its_schema(document: Part) -> None:
    for name, _, described in operations(document):
        for what, content in contents(described):
            schema = content["schema"] | {"components": document["components"]}
            wrong = [error.message for error in Draft202012Validator(schema).iter_errors(content["example"])]
            assert wrong == [], (name, what)


def test_no_example_is_of_something_that_is_not_there(document: Part) -> None:
    known = set(document["components"]["schemas"])
    assert {name.partition(" ")[0] for name in OBJECTS} <= known
    assert {name.partition(" ")[0] for name in BODIES} <= set(OPERATIONS)


def test_each_error_is_named_and_refers_to_what_is_there(document: Part) -> None:
    for name, method, described in operations(document):
        problems = {
            status: answer["$ref"].rpartition("/")[2]
            for status, answer in described["responses"].items()
            if "$ref" in answer
        }
        assert {"422", "429", "503"} <= set(problems), name
        assert set(problems.values()) <= set(document["components"]["responses"]), name
        if "requestBody" in described and OPERATIONS[name].body != JSON:
            assert JSON not in described["requestBody"]["content"], name
        if method in ("post", "put", "patch"):
            assert {"409", "413", "415"} <= set(problems), name
    for status, answer in document["components"]["responses"].items():
        assert PROBLEM in answer["content"], status
        assert len(answer["description"]) > 20, status


def test_each_field_that_can_be_set_of_a_record_is_explained(document: Part) -> None:
    for name, schema in document["components"]["schemas"].items():
        if name.endswith("Fields"):
            missing = [field for field, described in schema["properties"].items() if not described.get("description")]
            assert missing == [], name


def test_what_is_no_json_can_be_sent_too(document: Part) -> None:
    """A stranger's client learns from the document alone how a picture, a CSV file and a log go in."""
    kinds = {
        name: set(described.get("requestBody", {}).get("content", {})) for name, _, described in operations(document)
    }
    assert kinds["me.avatar.set"] == kinds["agents.avatar.set"] == {"image/png", "image/jpeg"}
    assert kinds["agents.import"] == {"text/csv"}
    assert kinds["me.client-log"] == {"application/x-ndjson"}
