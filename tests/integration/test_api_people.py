"""People and machines over HTTP: logging in, what a session is good for, and how it ends."""

import asyncio

import pytest

from lab.api import Api, Browser
from tests.integration.api_scene import PASSWORD, Scene

ANOTHER = "$argon2id$v=19$m=65536,t=3,p=4$YWJjZGVmZ2g$YWJjZGVmZ2g"


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(api: Api, scene: Scene) -> None:
    async with Browser(api) as browser:
        status, body = await browser.ask("POST", "/v1/session", {"username": "boss", "password": PASSWORD})
        assert (status, body["roles"]) == (201, ["admin"])
        cookie = browser.last["Set-Cookie"]
        assert cookie.startswith("__Host-agentbridge=")
        for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert word.lower() in cookie.lower(), word
        assert browser.last["Cache-Control"] == "no-store"
        stored = await scene.sql.fetchval("select encode(proof, 'hex') from agentbridge.web_sessions order by id desc")
        assert browser.cookie not in stored


async def test_logging_in_again_makes_another_session_and_ends_the_old_one(api: Api) -> None:
    async with Browser(api) as browser:
        await browser.log_in("boss", PASSWORD)
        first = browser.cookie
        await browser.log_in("boss", PASSWORD)
        assert browser.cookie != first
        browser.cookie = first
        assert (await browser.ask("GET", "/v1/session"))[0] == 401


async def test_a_made_up_session_is_not_taken_over(api: Api) -> None:
    async with Browser(api) as browser:
        browser.cookie = "fixed-by-an-attacker"
        await browser.log_in("boss", PASSWORD)
        assert browser.cookie != "fixed-by-an-attacker"


@pytest.mark.parametrize(
    "end",
    [
        "update agentbridge.agents set deactivated = true where username = 'ana'",
        "update agentbridge.agents set locked_at = now() where username = 'ana'",
        f"update agentbridge.agents set password_hash = '{ANOTHER}' where username = 'ana'",
        "delete from agentbridge.agents where username = 'ana'",
        "update agentbridge.web_sessions set seen_at = now() - interval '2 hours'",
        "update agentbridge.web_sessions set expires_at = now() - interval '1 second'",
    ],
)
async def test_a_session_ends_with_what_it_rests_on(api: Api, scene: Scene, end: str) -> None:
    async with Browser(api) as browser:
        await browser.log_in("ana", PASSWORD)
        assert (await browser.ask("GET", "/v1/me"))[0] == 200
        await scene.sql.execute(end)
        assert (await browser.ask("GET", "/v1/me"))[0] == 401


async def test_logout_ends_it(api: Api) -> None:
    async with Browser(api) as browser:
        await browser.log_in("ana", PASSWORD)
        token = browser.cookie
        assert (await browser.ask("DELETE", "/v1/session"))[0] == 204
        browser.cookie = token
        assert (await browser.ask("GET", "/v1/session"))[0] == 401


async def test_wrong_passwords_get_the_same_answer_whoever_it_is(api: Api) -> None:
    async with Browser(api) as browser:
        answers = [
            await browser.ask("POST", "/v1/session", {"username": name, "password": "wrong"})
            for name in ("ana", "boss", "nobody")
        ]
    assert {status for status, _ in answers} == {401}
    assert len({str(body) for _, body in answers}) == 1


async def test_a_passive_agent_can_not_log_in_from_the_web(api: Api, scene: Scene) -> None:
    """M10: one without password and name."""
    await scene.sql.execute("insert into agentbridge.agents (username, typology) values ('bare', 'external')")
    async with Browser(api) as browser:
        for password in (" ", "bare", "None", "null"):
            asked = {"username": "bare", "password": password}
            assert (await browser.ask("POST", "/v1/session", asked))[0] == 401
        assert (await browser.ask("POST", "/v1/session", {"username": "bare", "password": ""}))[0] in (401, 422)
        assert (await browser.ask("PUT", "/v1/me/session", {}))[0] == 401
    assert not await scene.sql.fetchval("select logged_in from agentbridge.agent_status where username = 'bare'")


async def test_guessing_is_slowed_down_and_logs_no_working_agent_off(api: Api, scene: Scene) -> None:
    await scene.sql.execute("update agentbridge.settings set lock_after = 3")
    # nobody whom another test logs in: the name has no tries left afterwards, for minutes
    await scene.sql.execute("insert into agentbridge.agents (username, typology) values ('guessed', 'external')")
    await scene.sql.execute("select agentbridge.login('guessed')")
    async with Browser(api) as browser:
        statuses = [
            (await browser.ask("POST", "/v1/session", {"username": "guessed", "password": f"guess {number}"}))[0]
            for number in range(40)
        ]
        assert set(statuses) == {401, 429}
        assert statuses.count(401) <= 12
        assert int(browser.last["Retry-After"]) > 0
    assert await scene.sql.fetchval("select logged_in from agentbridge.agent_status where username = 'guessed'"), (
        "a stranger logged a working agent off"
    )


async def test_a_storm_of_log_ins_does_not_stall_the_others(api: Api) -> None:
    async with Browser(api) as working, Browser(api) as stranger:
        await working.log_in("boss", PASSWORD)
        storm = [
            asyncio.create_task(stranger.ask("POST", "/v1/session", {"username": f"u{n}", "password": "x"}))
            for n in range(12)
        ]
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(5):
            assert (await working.ask("GET", "/v1/session"))[0] == 200
        assert loop.time() - began < 3.0
        await asyncio.gather(*storm)


async def test_a_token_does_what_its_scope_says_and_never_goes_with_a_cookie(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        given = {"name": "crm", "scopes": ["read"], "expires_at": "2999-01-01T00:00:00Z"}
        assert (await boss.ask("POST", "/v1/tokens", given))[0] == 422, "ten years at most"
        token = await scene.token("read")
        async with Browser(api, token=token) as machine:
            assert (await machine.ask("GET", "/v1/agents"))[0] == 200
            status, body = await machine.ask("POST", "/v1/queues", {"name": "q"})
            assert (status, body["code"]) == (403, "AB004")
            both = {"Cookie": f"__Host-agentbridge={boss.cookie}"}
            assert (await machine.ask("GET", "/v1/agents", headers=both))[0] == 401
            in_address = await machine.ask("GET", f"/v1/agents?access_token={token}", headers={"Authorization": ""})
            assert in_address[0] == 401
            token_id = token.split("_")[1]
            assert (await boss.ask("DELETE", f"/v1/tokens/{token_id}"))[0] == 204
            assert (await machine.ask("GET", "/v1/agents"))[0] == 401


@pytest.mark.parametrize("moment", ["-54569", "1772442000", "1e9", "tomorrow"])
async def test_a_number_is_no_moment(api: Api, moment: str) -> None:
    """Read as seconds since 1970 it would be one that nobody meant."""
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        status, body = await boss.ask("GET", f"/v1/recordings?since={moment}")
        assert (status, body["errors"][0]["field"]) == (422, "since"), body
        given = {"name": "crm", "scopes": ["read"]}
        for value in (moment, 1772442000):
            status, body = await boss.ask("POST", "/v1/tokens", {**given, "expires_at": value})
            assert (status, body["errors"][0]["field"]) == (422, "expires_at"), body
        assert (await boss.ask("GET", "/v1/recordings?since=2026-03-02T09:00:00Z&until=2026-03-02"))[0] == 200


async def test_without_the_database_it_starts_and_says_so() -> None:
    async with Api("postgresql://agentbridge_api@127.0.0.1:1/nothing") as api, Browser(api) as browser:
        status, body = await browser.ask("POST", "/v1/session", {"username": "boss", "password": PASSWORD})
        assert (status, body["title"]) == (503, "Not available now")
        assert int(browser.last["Retry-After"]) > 0
