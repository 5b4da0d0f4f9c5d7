"""What an attacker tries, one test each. Others are where they belong: sessions and guessing in test_api_people, other
sites and forms in test_api_matrix, paths, ranges and mass assignment in test_api_things, websockets in test_api_events.
"""

import asyncio
import gzip
import json
import sys
import time
from email.message import Message
from typing import Any

import aiohttp
import pytest

from lab.api import COOKIE, Api, Browser
from lab.processes import run, until
from tests.integration.api_scene import PASSWORD, Scene
from tests.integration.smtp_sink import smtp_sink
from tests.integration.test_api_events import viewing

WITHIN_S = 40.0


def _text(message: Message) -> str:
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


async def raw(api: Api, data: bytes) -> bytes:
    """What comes back on a connection of its own until the other side closes it, or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    try:
        writer.write(data)
        await writer.drain()
        answer = b""
        try:
            async with asyncio.timeout(5):
                while part := await reader.read(65536):
                    answer += part
        except TimeoutError:
            pass
        return answer
    finally:
        writer.close()


async def test_header_injection_by_what_is_echoed(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        for path in ("/v1/agents/x%0d%0aSet-Cookie:%20a=b", "/v1/agents?sort=%0d%0aX-Bad:%201"):
            status, _ = await boss.ask("GET", path)
            assert status in (404, 422)
            assert "X-Bad" not in boss.last
            assert "Set-Cookie" not in boss.last


async def test_log_injection_by_names_and_paths(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.ask("POST", "/v1/session", {"username": "x\nlevel=critical event=forged", "password": "y"})
        await boss.ask("GET", "/v1/%0alevel=critical%20event=forged")
    lines = api.log.read_text().splitlines() if api.log.exists() else []
    assert not [line for line in lines if line.startswith("level=critical")]


async def test_packed_bodies_are_not_unpacked(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        bomb = gzip.compress(b'{"username":"' + b"x" * 10_000_000 + b'"}')
        sent = boss.headers() | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        async with boss.session.post(f"{api.origin}/v1/agents", data=bomb, headers=sent) as answer:
            assert answer.status == 415


@pytest.mark.parametrize(
    "bomb",
    [
        b"username\r\n" + b"x\r\n" * 30_000,
        b"username," + b",".join(b"c%d" % n for n in range(20_000)) + b"\r\nx\r\n",
        b'username\r\n"' + b"x" * 1_000_000,
        b"\xff\xfeu\x00s\x00",
        b"username,queues\r\nx," + b'"' + b"q," * 200_000 + b'"\r\n',
    ],
    ids=["rows", "columns", "cell", "utf16", "queues"],
)
async def test_csv_bombs(api: Api, bomb: bytes) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        sent = boss.headers() | {"Content-Type": "text/csv"}
        began = time.monotonic()
        async with boss.session.post(f"{api.origin}/v1/agents/import?dry_run=true", data=bomb, headers=sent) as answer:
            body = await answer.json()
            assert answer.status in (200, 413, 422), body
            assert answer.status != 200 or body["errors"]
        assert time.monotonic() - began < WITHIN_S


async def test_a_json_bomb_of_depth(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        sent = boss.headers() | {"Content-Type": "application/json"}
        for data in (b"[" * 100_000, b'{"a":' * 30_000, b'{"username":"\\ud800"}', b'{"username":"\\u0000"}', b"nul"):
            async with boss.session.post(f"{api.origin}/v1/queues", data=data, headers=sent) as answer:
                assert answer.status in (400, 422), data[:20]


async def test_bodies_that_are_too_large_are_refused_before_they_are_read(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        head = "".join(f"{name}: {value}\r\n" for name, value in boss.headers().items())
        for path, length in (("/v1/agents", 300_000), ("/v1/agents/import", 40_000_000)):
            kind = "text/csv" if "import" in path else "application/json"
            answer = await raw(
                api,
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n{head}Content-Type: {kind}\r\n"
                f"Content-Length: {length}\r\n\r\n".encode(),
            )
            assert b" 413 " in answer.split(b"\r\n")[0]
        chunked = await raw(
            api,
            f"POST /v1/agents HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n{head}Content-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
            + b"10000\r\n"
            + b"x" * 65536
            + b"\r\n"
            + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 4,
        )
        assert b" 413 " in chunked.split(b"\r\n")[0]


async def test_who_sends_a_header_a_second_is_cut_off_and_others_are_served(api: Api) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(100)]
    for _, writer in slow:
        writer.write(b"GET /v1/session HTTP/1.1\r\nHost: x\r\n")
    async with Browser(api) as browser:
        assert (await browser.ask("GET", "/v1/session"))[0] == 401
    async with asyncio.timeout(WITHIN_S):
        assert {await reader.read() for reader, _ in slow} <= {b""}
    for _, writer in slow:
        writer.close()


@pytest.mark.parametrize(
    "name", ["ana\u200b", "\uff41na", "ANA", "ana ", "a\u0301na", "an\u0430", "ana\x00", "\u202eana"]
)
async def test_a_name_that_only_looks_like_another_is_nobody(api: Api, name: str) -> None:
    async with Browser(api) as browser:
        status, _ = await browser.ask("POST", "/v1/session", {"username": name, "password": PASSWORD})
        assert status in (401, 422)
        await browser.log_in("boss", PASSWORD)
        made = await browser.ask("POST", "/v1/agents", {"username": name, "typology": "external"})
        if name != "ANA":
            assert made[0] == 422


async def test_a_flood_of_streams_ends_at_a_hundred_of_one_person(api: Api) -> None:
    async with Browser(api) as boss, Browser(api) as lead:
        await boss.log_in("boss", PASSWORD)
        await lead.log_in("lead", PASSWORD)
        sockets = []
        refused = 0
        try:
            for _ in range(105):
                try:
                    socket = await boss.session.ws_connect(f"{api.origin}/v1/events", headers=boss.headers())
                    await socket.send_json({"op": "subscribe", "kinds": ["queue"]})
                    await socket.receive()
                    sockets.append(socket)
                except aiohttp.WSServerHandshakeError as error:
                    refused += error.status == 429
            assert (len(sockets), refused) == (100, 5)
            assert (await boss.ask("GET", "/v1/events/stream"))[0] == 429, "Server-Sent Events count too"
            async with viewing(lead) as viewer:
                await viewer.subscribe(kinds=["queue"])
                assert viewer.first == "snapshot"
        finally:
            for socket in sockets:
                await socket.close()


async def test_a_client_that_talks_without_end_is_closed(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        async with viewing(boss) as viewer:
            await viewer.subscribe(kinds=["queue"])
            for _ in range(50):
                if viewer.socket.closed:
                    break
                await viewer.socket.send_str("x")
            assert await viewer.closed() == 4400
        async with viewing(boss) as viewer:
            await viewer.socket.send_str("x" * 100_000)
            assert await viewer.closed() in (1009, 4400)


async def test_of_many_who_change_the_same_version_one_wins(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        await boss.ask("GET", "/v1/agents/ana")
        etag = boss.last["ETag"]
        answers = await asyncio.gather(
            *(boss.ask("PATCH", "/v1/agents/ana", {"alias": f"a{n}"}, {"If-Match": etag}) for n in range(20))
        )
        assert sorted(status for status, _ in answers) == [200] + [412] * 19
        [winner] = [body["alias"] for status, body in answers if status == 200]
        assert await scene.sql.fetchval("select alias from agentbridge.agents where username = 'ana'") == winner


async def test_nothing_personal_is_kept_by_a_cache(api: Api) -> None:
    async with Browser(api) as ana:
        await ana.log_in("ana", PASSWORD)
        for path in ("/v1/me", "/v1/session", "/v1/me/calls", "/v1/me/telephones", "/v1/agents", "/v1/nothing"):
            await ana.ask("GET", path)
            assert "no-store" in ana.last.get("Cache-Control", "") or ana.last["Content-Type"].endswith("problem+json")
            assert ana.last["X-Content-Type-Options"] == "nosniff"
            assert "unsafe" not in ana.last["Content-Security-Policy"]
            assert "Server" not in ana.last


@pytest.mark.parametrize(
    "request_line",
    [
        "BREW /v1/agents HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "TRACE /v1/agents HTTP/1.1",
        "get /v1/agents HTTP/1.1",
        "PROPFIND / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://evil.example/ HTTP/1.1",
        "GET /v1/agents HTTP/9.9",
    ],
)
async def test_verbs_that_are_not_there(api: Api, request_line: str) -> None:
    answer = await raw(api, f"{request_line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    # a redirect is to the login page of this server
    assert answer.split(b" ")[1][:1] in (b"3", b"4"), answer[:200]
    assert b"evil" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 40\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: -1\r\n",
    ],
)
async def test_two_readings_of_one_request(api: Api, headers: str) -> None:
    """What a proxy might read otherwise is refused, and no second request comes out of it."""
    answer = await raw(
        api,
        f"POST /v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n"
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    )
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b" 2" not in answer[:14]


async def test_masked_numbers_are_in_no_field_that_the_agent_sees(api: Api, scene: Scene) -> None:
    number, name = "0451234567", "Customer Cash"
    await scene.sql.execute("update agentbridge.agents set mask_sensitive = true where username = 'ana'")
    internal = await scene.sql.fetchval("select internal from agentbridge.agents where username = 'ana'")

    async def live(calls: list[dict[str, Any]]) -> None:
        await scene.sql.execute("select agentbridge.live_write('n', '[]', $1, '[]')", json.dumps(calls))

    call = {
        "channel": "1.1",
        "linkedid": "1.1",
        "internal": internal,
        "direction": "in",
        "queue": "sales",
        "number": number,
        "name": name,
        "rang_at": "2026-01-01T00:00:00Z",
        "answered_at": None,
        "held_at": None,
        "recording": "running",
        "parts": [1],
        "spied_by": ["1099"],
    }
    async with Browser(api) as ana, Browser(api) as lead:
        await ana.log_in("ana", PASSWORD)
        await lead.log_in("lead", PASSWORD)
        async with viewing(ana) as own, viewing(lead) as other:
            await own.subscribe()
            await other.subscribe(kinds=["call"])
            await live([call])
            await other.until("call", "1.1", number=number, name=name, spied_by=["1099"])
            seen = await own.until("call", "1.1")
            assert (seen["number"], seen["name"]) == ("045123****", "Customer ****")
            assert "spied_by" not in seen
            told = json.dumps((await ana.ask("GET", "/v1/me/calls"))[1])
            # one that a colleague takes is no missed call; of the next one the notice comes
            await live([call | {"channel": "1.0", "gone": True, "answered_elsewhere": True}])
            await live([{"channel": "1.1", "gone": True}])
            while not own.notices:
                await own.next()
            (notice,) = own.notices
            assert (notice["name"], notice["call"]["channel"]) == ("call.missed", "1.1")
            assert "answered_elsewhere" not in json.dumps([notice, seen])
            # the call is over and was missed: so it is told, and masked too
            missed, taken = (await ana.ask("GET", "/v1/me/calls"))[1]["today"]
            assert (taken["number"], taken["missed"]) == ("045123****", False)
            assert (missed["number"], missed["name"], missed["missed"]) == ("045123****", "Customer ****", True)
            told += json.dumps(missed)
            everything = json.dumps([own.objects and list(own.objects.values()), own.notices, told])
            assert number not in everything
            assert name not in everything
            assert "1099" not in everything


async def test_a_reset_tells_neither_by_content_nor_by_time_who_is_known(scene: Scene) -> None:
    await scene.sql.execute("update agentbridge.agents set email = 'ana@example.com' where username = 'ana'")
    async with smtp_sink() as sink:
        mail = {
            "host": "127.0.0.1",
            "port": sink.port,
            "encryption": "none",
            "sender": "desk@example.com",
            "link": "https://desk.example.com/reset?token={token}",
        }
        async with Api(scene.api_dsn, sections={"mail": mail}) as api, Browser(api) as browser:
            spent: dict[str, list[float]] = {"ana@example.com": [], "nobody@example.com": []}
            answers = set()
            for _ in range(4):
                for address in spent:
                    began = time.monotonic()
                    answers.add(str(await browser.ask("POST", "/v1/password-resets", {"email": address})))
                    spent[address].append(time.monotonic() - began)
            assert len(answers) == 1
            known, unknown = (sorted(times)[1] for times in spent.values())
            assert abs(known - unknown) < 0.25

            async def came() -> bool:
                return bool(sink.messages)

            await until(came, within=WITHIN_S, what="the e-mail")
            link = next(line for line in _text(sink.messages[0]).splitlines() if "token=" in line)
            token = link.split("token=")[1].strip()
            new = {"password": "Another-1"}
            assert (await browser.ask("PUT", f"/v1/password-resets/{token}", new))[0] == 200
            assert (await browser.ask("PUT", f"/v1/password-resets/{token}", new))[0] == 404, "once"
            await browser.log_in("ana", "Another-1")


async def test_no_secret_is_in_any_answer_or_log(api: Api, scene: Scene) -> None:
    secrets = await scene.sql.fetch(
        "select sip_secret, password_hash from agentbridge.agents union all"
        " select 'no-secret-at-all', password_hash from agentbridge.users"
    )
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        told = ""
        for path in (
            "agents",
            "agents/ana",
            "agents/ben",
            "telephones",
            "telephones/desk1",
            "users",
            "tokens",
            "audit",
            "settings",
            "agents/export",
            "agents/ben/profile",
            "plan",
            "nodes",
        ):
            told += str((await boss.ask("GET", f"/v1/{path}"))[1])
        for row in secrets:
            for value in row.values():
                assert value not in told
        assert COOKIE not in told
        assert boss.cookie not in told
    assert PASSWORD not in (api.log.read_text() if api.log.exists() else "")


async def test_the_program_says_what_is_wrong_with_its_configuration(tmp_path: Any) -> None:
    file = tmp_path / "agentbridge.toml"
    file.write_text("[api]\nbnid = 'x'\n")
    with pytest.raises(Exception, match=r"api\.bnid: there is no such setting; did you mean api\.bind"):
        await run(sys.executable, "-m", "agentbridge", "api", "--config", str(file), within=60.0)
