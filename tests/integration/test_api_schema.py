"""The API against its own document: what it says it takes and answers, as each role."""

import json
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from lab.api import COOKIE, Api, Browser
from lab.processes import run
from tests.integration.api_scene import PASSWORD, Scene

EXAMPLES = 6
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
async def test_it_holds_its_own_document(api: Api, scene: Scene, role: str, tmp_path: Path) -> None:
    async with Browser(api) as browser:
        if role == "machine":
            headers = [f"Authorization: Bearer {await scene.token('admin')}"]
        else:
            await browser.log_in(role, PASSWORD)
            headers = [f"Cookie: {COOKIE}={browser.cookie}", f"Origin: {api.origin}", "Sec-Fetch-Site: same-origin"]
        words = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.origin}/openapi.json"]
        words += [word for header in headers for word in ("-H", header)]
        words += [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
        report = tmp_path / "report.json"
        await run(
            *words,
            "--checks",
            ",".join(CHECKS),
            "--max-examples",
            str(EXAMPLES),
            "--phases",
            "examples,fuzzing,stateful",
            "--mode",
            "all",
            "--request-timeout",
            "20",
            "--generation-database",
            "none",
            "--no-color",
            "--generation-deterministic",
            within=900.0,
        )
        assert not report.exists() or json.loads(report.read_text())
