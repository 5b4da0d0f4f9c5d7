"""The API against its own document: what it says it takes and answers, as each role."""

import sys
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from lab.api import COOKIE, Api, Browser
from lab.processes import run
from tests.integration.api_scene import PASSWORD, Scene

EXAMPLES = 3
SECONDS = 60
"""for each role: what is not reached by then is reached by another seed"""
# what ends the session that the requests are made with, or never ends; and what sends e-mails
LEFT_OUT = ("session.delete", "session.create", "events.stream", "password-resets.create")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "negative_data_rejection",
)
"""not `positive_data_acceptance`: what the directory's rules refuse is valid by the document. Not `ignored_auth` and
`missing_required_header`: who gets in, and If-Match, have their own tests"""


async def test_the_document_is_valid_openapi_3_1(api: Api) -> None:
    async with Browser(api) as browser:
        _, document = await browser.ask("GET", "/openapi.json")
    assert document["openapi"].startswith("3.1")
    validate(document)
    names = [described["operationId"] for methods in document["paths"].values() for described in methods.values()]
    assert len(names) == len(set(names)) > 80


@pytest.mark.parametrize("role", ["boss", "lead", "sue", "ana", "machine"])
async def test_it_holds_its_own_document(api: Api, scene: Scene, role: str) -> None:
    async with Browser(api) as browser:
        if role == "machine":
            headers = [f"Authorization: Bearer {await scene.token('admin')}"]
        else:
            await browser.log_in(role, PASSWORD)
            headers = [f"Cookie: {COOKIE}={browser.cookie}", f"Origin: {api.origin}", "Sec-Fetch-Site: same-origin"]
        words = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.origin}/openapi.json"]
        words += [word for header in headers for word in ("-H", header)]
        words += [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
        # ends with an error where one of the checks fails
        await run(
            *words,
            *("--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--phases", "fuzzing", "--mode", "all"),
            *("--request-timeout", "20", "--generation-database", "none", "--no-color", "--max-time", str(SECONDS)),
            within=300.0,
        )
