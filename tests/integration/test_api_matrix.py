"""Every operation as everybody: the table in the code, the answers and the SQL layer agree."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from agentbridge.api.operations import OPERATIONS, Operation, Scope
from lab.api import Api, Browser
from tests.integration.api_scene import PASSWORD, Scene

PEOPLE = {"boss": {"admin"}, "lead": {"user"}, "sue": {"supervisor"}, "none": set(), "ana": {"agent"}}
ENDS_THE_SESSION = "session.delete"
STREAMS = {"events.socket", "events.stream"}
"""the websocket has its own tests, a stream never ends"""
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass
class Everybody:
    """Who is logged in, what there is to ask, and what each may."""

    api: Api
    scene: Scene
    addresses: dict[str, tuple[str, str]]
    """operation → method and path, with something that is not there in it"""
    people: dict[str, Browser] = field(default_factory=dict)
    machines: dict[str, Browser] = field(default_factory=dict)

    async def ask(self, browser: Browser, operation: str, **more: Any) -> tuple[int, Any]:
        method, path = self.addresses[operation]
        body = {} if method in CHANGES and OPERATIONS[operation].body == "application/json" else None
        return await browser.ask(method, path, more.pop("body", body), {"If-Match": "*", **more.pop("headers", {})})


@pytest_asyncio.fixture
async def everybody(api: Api, scene: Scene) -> AsyncIterator[Everybody]:
    async with AsyncExitStack() as stack:
        nobody = await stack.enter_async_context(Browser(api))
        _, document = await nobody.ask("GET", "/openapi.json")
        addresses = {
            described["operationId"]: (method.upper(), _filled(path))
            for path, methods in document["paths"].items()
            for method, described in methods.items()
        }
        found = Everybody(api, scene, addresses, {"nobody": nobody})
        for name in PEOPLE:
            found.people[name] = await stack.enter_async_context(Browser(api))
            await found.people[name].log_in(name, PASSWORD)
        for scope in Scope:
            token = await scene.token(scope)
            found.machines[scope] = await stack.enter_async_context(Browser(api, token=token))
        yield found


def _filled(path: str) -> str:
    for name, value in {
        "{id}": "999999999",
        "{username}": "nobody.here",
        "{name}": "nothing",
        "{prefix}": "77",
        "{token}": "x",
        "{channel}": "chat",
    }.items():
        path = path.replace(name, value)
    return path


def stopped_at_the_gate(status: int, body: Any) -> bool:
    return status == 403 and str(body["detail"]).startswith("operation:")


def asked_for() -> list[Operation]:
    return [operation for operation in OPERATIONS.values() if operation.name not in STREAMS | {ENDS_THE_SESSION}]


async def test_the_document_and_the_table_have_the_same_operations(everybody: Everybody) -> None:
    assert set(everybody.addresses) | {"events.socket"} == set(OPERATIONS)


async def test_everybody_gets_in_where_the_table_says_and_nowhere_else(everybody: Everybody) -> None:
    wrong = []
    for operation in asked_for():
        for name, roles in PEOPLE.items():
            status, body = await everybody.ask(everybody.people[name], operation.name)
            allowed = operation.allows(frozenset(roles), frozenset())
            if (status >= 500 and status != 503) or status == 401 or stopped_at_the_gate(status, body) == allowed:
                if operation.public and status == 401:
                    continue  # wrong credentials
                wrong.append((operation.name, name, status, body))
        for scope, browser in everybody.machines.items():
            status, body = await everybody.ask(browser, operation.name)
            allowed = operation.allows(frozenset({"machine"}), frozenset({scope}))
            if (
                (status >= 500 and status != 503)
                or (status == 401 and not operation.public)
                or (not operation.public and stopped_at_the_gate(status, body) == allowed)
            ):
                wrong.append((operation.name, scope, status, body))
    assert wrong == []


async def test_without_a_session_or_with_one_that_is_over_nothing_is_told(everybody: Everybody) -> None:
    over = everybody.people["boss"]
    expired = await everybody.scene.token("admin", expired=True)
    wrong = []
    async with Browser(everybody.api, token=expired) as machine:
        await everybody.scene.sql.execute("update agentbridge.web_sessions set expires_at = now() - interval '1 s'")
        await asyncio.sleep(5.5)  # for so long it is remembered who a token is; the SQL layer never does
        for operation in asked_for():
            if operation.public:
                continue
            for browser in (everybody.people["nobody"], over, machine):
                status, body = await everybody.ask(browser, operation.name)
                if status != 401:
                    wrong.append((operation.name, status, body))
    assert wrong == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "", "Sec-Fetch-Site": ""},
    ],
)
async def test_another_site_changes_nothing(everybody: Everybody, headers: dict[str, str]) -> None:
    boss = everybody.people["boss"]
    for operation in asked_for():
        method, path = everybody.addresses[operation.name]
        if method in CHANGES:
            sent = {name: value for name, value in {**boss.headers(), **headers}.items() if value}
            async with boss.session.request(method, boss.api.origin + path, json={}, headers=sent) as answer:
                assert answer.status == 403, (operation.name, headers)


async def test_a_form_changes_nothing(everybody: Everybody) -> None:
    for operation in asked_for():
        boss = everybody.people["ana" if operation.name.startswith("me.") else "boss"]
        method, path = everybody.addresses[operation.name]
        if method not in CHANGES:
            continue
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            sent = boss.headers() | {"Content-Type": kind}
            async with boss.session.request(method, boss.api.origin + path, data=b"{}", headers=sent) as answer:
                assert answer.status == 415, (operation.name, kind)


async def test_the_sql_layer_decides_the_same(everybody: Everybody) -> None:
    connection = await asyncpg.connect(everybody.scene.api_dsn)
    try:
        for operation in OPERATIONS.values():
            if operation.public:
                continue
            stated = set(await everybody.scene.sql.fetchval("select agentbridge.api_allowed($1)", operation.rule))
            table = {*operation.roles, *(f"scope:{scope}" for scope in operation.scopes)}
            assert stated - {"anybody"} == table, operation
            for name, roles in PEOPLE.items():
                proof = hashlib.sha256(everybody.people[name].cookie.encode()).digest()
                allowed = operation.allows(frozenset(roles), frozenset())
                assert await _sql_allows(everybody.scene, proof, operation.rule) == (allowed or "anybody" in stated)
    finally:
        await connection.close()


async def _sql_allows(scene: Scene, proof: bytes, rule: str) -> bool:
    try:
        await scene.sql.fetchval("select agentbridge.api_allow($1, $2)", proof, rule)
    except asyncpg.PostgresError as refused:
        if refused.sqlstate != "AB004":
            raise
        return False
    return True


async def test_a_stream_is_for_those_who_may_see(everybody: Everybody) -> None:
    for name, roles in {**PEOPLE, "nobody": set()}.items():
        browser = everybody.people[name]
        timeout = aiohttp.ClientTimeout(total=10)
        async with browser.session.get(
            f"{browser.api.origin}/v1/events/stream", headers=browser.headers(), timeout=timeout
        ) as answer:
            expected = 401 if name == "nobody" else 200 if roles else 403
            assert answer.status == expected, name
