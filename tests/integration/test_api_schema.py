"""The API against its own document: what it says it takes and answers, as each role."""

import os
import re
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from lab.api import COOKIE, Api, Browser
from lab.processes import run
from tests.integration.api_scene import PASSWORD, Scene

EXAMPLES = 3
SECONDS = int(os.environ.get("AGENTBRIDGE_SCHEMA_SECONDS", "20"))
"""of fuzzing for each role, and half as long from answer to request; a longer run and another seed reach more"""
SEED = os.environ.get("AGENTBRIDGE_SCHEMA_SEED", "1")
"""the same from run to run, so that what fails does so for a change and not by chance"""
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


async def _as(role: str, browser: Browser, scene: Scene) -> list[str]:
    """The headers of somebody who is logged in."""
    if role == "machine":
        return [f"Authorization: Bearer {await scene.token('admin')}"]
    await browser.log_in(role, PASSWORD)
    return [f"Cookie: {COOKIE}={browser.cookie}", f"Origin: {browser.api.origin}", "Sec-Fetch-Site: same-origin"]


@pytest.mark.parametrize("role", ["boss", "lead", "sue", "ana", "machine"])
async def test_it_holds_its_own_document(api: Api, scene: Scene, role: str) -> None:
    """Each operation with what is valid and what is not; then one after the other, with what the answers brought."""
    async with Browser(api) as browser:
        words = ["env", f"SCHEMATHESIS_HOOKS={Path(__file__).with_name('schema_hooks.py')}"]
        words += [str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.origin}/openapi.json"]
        words += [word for header in await _as(role, browser, scene) for word in ("-H", header)]
        words += [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
        words += [
            "--checks",
            ",".join(CHECKS),
            "--seed",
            SEED,
            "--request-timeout",
            "20",
            # who gets in has its own tests; and each request carries the session all the same
            "--generation-with-security-parameters",
            "false",
            "--generation-database",
            "none",
            "--no-color",
        ]
        # each ends with an error where one of the checks fails
        fuzzing = ("--phases", "fuzzing", "--mode", "all", "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS))
        await run(*words, *fuzzing, within=300.0)
        told = await run(*words, "--phases", "stateful", "--max-time", str(SECONDS // 2), within=300.0)
        assert re.search(r"Scenarios: +[1-9]", told), told
