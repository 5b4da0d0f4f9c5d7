"""PJSIP objects pushed into a real Asterisk, and what comes of an ARI that is away, hung or wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from agentbridge.asterisk.ari.client import BODY_BYTES, Ari
from agentbridge.errors import InvalidValue, Refused, Unavailable
from lab.asterisk import Asterisk, version_of
from tests.contract.ami_links import connected

ENDPOINT = {"context": "from-sip", "allow": "!all,ulaw,alaw", "callerid": "Zoë Ünal <1001>"}
OBJECTS = "/asterisk/config/dynamic/res_pjsip"


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/ari"


@pytest_asyncio.fixture
async def ari(asterisk: Asterisk) -> AsyncIterator[Ari]:
    async with Ari(url(asterisk.ari_port), asterisk.ari_user, asterisk.ari_secret) as ari:
        yield ari


async def test_asterisk_tells_its_version_and_when_it_started(asterisk: Asterisk, ari: Ari) -> None:
    info = await ari.info()
    assert info["system"]["version"].startswith(version_of(asterisk.root))
    assert info["status"]["startup_time"]


async def test_an_endpoint_is_made_read_changed_and_deleted(ari: Ari) -> None:
    await ari.put_object("aor", "ari-1001", {"max_contacts": "1"})
    await ari.put_object("endpoint", "ari-1001", {**ENDPOINT, "aors": "ari-1001"})
    made = await ari.get_object("endpoint", "ari-1001")
    assert made is not None
    assert (made["context"], made["allow"], made["aors"]) == ("from-sip", "(ulaw|alaw)", "ari-1001")
    assert made["callerid"] == '"Zoë Ünal" <1001>'

    await ari.put_object("endpoint", "ari-1001", {"context": "elsewhere"})
    changed = await ari.get_object("endpoint", "ari-1001")
    assert changed == {**made, "context": "elsewhere"}

    for kind in ("endpoint", "aor"):
        await ari.delete_object(kind, "ari-1001")
        await ari.delete_object(kind, "ari-1001")  # not there is as good as deleted
        assert await ari.get_object(kind, "ari-1001") is None


async def test_a_pushed_endpoint_is_whole_in_the_astdb_tree(ari: Ari, asterisk: Asterisk) -> None:
    await ari.put_object("endpoint", "ari-tree", {**ENDPOINT, "message_context": "c" * 70})
    async with connected(asterisk) as session:
        tree = await session.action_list("DBGetTree", {"Family": "ps_endpoints"}, timeout=5)
    [item] = [item for item in tree if item.get("Key") == "/ps_endpoints/endpoint/ari-tree"]
    stored = json.loads(item.get("Val"))
    seen = await ari.get_object("endpoint", "ari-tree")
    assert seen is not None
    assert stored == {key: value for key, value in seen.items() if key in stored}
    assert (stored["message_context"], stored["callerid"]) == ("c" * 70, '"Zoë Ünal" <1001>')
    await ari.delete_object("endpoint", "ari-tree")


@pytest.mark.parametrize("fields", [{"bogus": "1"}, {"allow": "no-such-codec"}, {"dtmf_mode": "no-such"}])
async def test_a_field_asterisk_does_not_take_is_refused(ari: Ari, fields: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"400 .*failed field value validation"):
        await ari.put_object("endpoint", "ari-refused", {**ENDPOINT, **fields})
    assert await ari.get_object("endpoint", "ari-refused") is None


@pytest.mark.parametrize(
    "fields", [{"context": None}, {"max_contacts": 1}, {"a": True}, {1: "x"}, {None: "x"}, {"a": ["x"]}, {"a": "\0"}]
)
async def test_what_would_crash_asterisk_is_never_sent(ari: Ari, fields: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        await ari.put_object("endpoint", "ari-crash", fields)
    assert await ari.info()


@pytest.mark.parametrize(
    "wrong", ["", ".", "..", "a/b", "../aor/x", "a b", "a?b", "a#b", "%2e%2e", "a\r\nX: y", "x" * 81, "é", None]
)
async def test_an_id_cannot_lead_elsewhere(ari: Ari, wrong: str) -> None:
    for asked in (ari.get_object, ari.delete_object):
        with pytest.raises(InvalidValue, match="id: "):
            await asked("aor", wrong)
    with pytest.raises(InvalidValue, match="id: "):
        await ari.put_object("aor", wrong, {})
    with pytest.raises(InvalidValue, match="kind: "):
        await ari.get_object("../endpoint", "1001")  # type: ignore[arg-type]


async def test_the_longest_body_is_asterisks_own_limit(ari: Ari) -> None:
    room = BODY_BYTES - len(json.dumps({"fields": [{"attribute": "bogus", "value": ""}]}))
    with pytest.raises(Refused, match=r"400 .*validation"):  # read whole, and then judged
        await ari.put_object("endpoint", "ari-long", {"bogus": "x" * room})
    with pytest.raises(InvalidValue, match=r"fields: 40961 bytes"):
        await ari.put_object("endpoint", "ari-long", {"bogus": "x" * (room + 1)})
    with pytest.raises(Refused, match="413"):
        await ari.request("PUT", f"{OBJECTS}/endpoint/ari-long", b" " * (BODY_BYTES + 1))


async def test_a_wrong_secret_is_refused_and_not_told(asterisk: Asterisk) -> None:
    async with Ari(url(asterisk.ari_port), asterisk.ari_user, "not-the-secret") as ari:
        with pytest.raises(Refused, match="401") as refused:
            await ari.info()
    assert "not-the-secret" not in str(refused.value)


async def test_a_hundred_pushes_at_once_all_arrive(ari: Ari) -> None:
    names = [f"ari-many-{number}" for number in range(100)]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(ari.put_object("aor", name, {"max_contacts": "1"}))
    for name in names:
        assert await ari.get_object("aor", name) is not None
        await ari.delete_object("aor", name)


async def test_a_stopped_asterisk_is_unavailable_within_the_deadline(fresh_asterisk: Asterisk) -> None:
    secret = fresh_asterisk.ari_secret
    async with Ari(url(fresh_asterisk.ari_port), fresh_asterisk.ari_user, secret, deadline=0.3) as ari:
        await ari.info()
        fresh_asterisk.pause()
        try:
            with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
                await ask_until_it_fails(ari)
        finally:
            fresh_asterisk.resume()
        await fresh_asterisk.kill()
        with pytest.raises(Unavailable, match="/asterisk/info"):
            await ari.info()


async def ask_until_it_fails(ari: Ari) -> None:
    while True:  # the threads of a process stop one by one: an answer may still come after the signal
        await ari.info()


@asynccontextmanager
async def web_server(raw: bytes) -> AsyncIterator[Ari]:
    """An ARI whose only answer is `raw`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Ari(url(server.sockets[0].getsockname()[1]), "user", "secret", deadline=2) as ari:
        yield ari


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", id="503"),
        pytest.param(b'HTTP/1.1 500 X\r\nContent-Length: 22\r\n\r\n{"message": "Failed"} ', id="500"),
        pytest.param(b"", id="closed without an answer"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="another service"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="cut in the middle"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ok>", id="not JSON"),
    ],
)
async def test_an_ari_that_fails_is_unavailable(raw: bytes) -> None:
    async with web_server(raw) as ari:
        with pytest.raises(Unavailable, match="ARI GET /asterisk/info"):
            await ari.info()


async def test_a_redirect_is_not_followed_with_our_credentials() -> None:
    async with web_server(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as ari:
        with pytest.raises(Refused, match="302"):
            await ari.info()
