"""Passwords (A10, A15), resets by e-mail through a real mail server, and avatars (A12)."""

import asyncio
import io
import re
import struct
import time
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from agentbridge.directory.avatars import check_avatar
from agentbridge.directory.passwords import Mail, Passwords
from agentbridge.directory.postgres import Directory
from agentbridge.errors import InvalidValue, Refused, Unavailable
from tests.integration.smtp_sink import Sink, smtp_sink
from tests.integration.words import Connection, add_agent

GOOD = "Horse-Staple7"
ANSWER_SECONDS = 0.3


@pytest_asyncio.fixture
async def mail_server() -> AsyncIterator[Sink]:
    async with smtp_sink() as sink:
        yield sink


@pytest_asyncio.fixture
async def passwords(database: str, mail_server: Sink) -> AsyncIterator[Passwords]:
    mail = Mail(
        host="127.0.0.1", port=mail_server.port, sender="desk@example.com", link="https://desk.example.com/?t={token}"
    )
    async with Directory(database, node="pbx1") as directory:
        yield Passwords(directory.transaction, mail, answer_seconds=ANSWER_SECONDS)


def token_of(sink: Sink, number: int = -1) -> str:
    found = re.search(r"\?t=(\S+)", str(sink.messages[number].get_payload()))
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("password", "missing"),
    [
        ("Ab1~xyz", "8 characters"),
        ("ABCDEF1~", "a lower-case letter"),
        ("abcdef1~", "an upper-case letter"),
        ("Abcdefg~", "a digit"),
        ("Abcdefg1", "one of ~!@#$%^&-_=+[{]}"),
        ("abcdefgh", "an upper-case letter, a digit, one of"),
        ("Abcdefg1*", "one of ~!@"),
    ],
)
async def test_with_the_security_suite_on_a_weak_password_is_refused_with_what_it_lacks(
    sql: Connection, passwords: Passwords, password: str, missing: str
) -> None:
    await add_agent(sql, "anna")
    await passwords.set("anna", password)
    await sql.execute("update agentbridge.settings set security_suite = true")
    with pytest.raises(InvalidValue, match=re.escape(f"password: needs {missing}")):
        await passwords.set("anna", password)
    await passwords.set("anna", GOOD)


async def test_a_password_is_stored_as_argon2id_and_verified(sql: Connection, passwords: Passwords) -> None:
    await add_agent(sql, "anna")
    await passwords.set("anna", GOOD)
    row = await sql.fetchrow("select password_hash, password_changed_at from agentbridge.agents")
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$")
    assert row["password_changed_at"] is not None
    assert await passwords.verify("anna", GOOD) is True
    assert await passwords.verify("anna", GOOD + "x") is False
    assert await passwords.verify("nobody", GOOD) is False
    with pytest.raises(Refused, match="there is no agent nobody"):
        await passwords.set("nobody", GOOD)


async def test_a_locked_or_deactivated_agent_is_not_let_in_with_the_right_password(
    sql: Connection, passwords: Passwords
) -> None:
    await add_agent(sql, "anna")
    await passwords.set("anna", GOOD)
    await sql.execute("update agentbridge.settings set lock_after = 2")
    assert [await passwords.verify("anna", "wrong") for _ in range(2)] == [False, False]
    assert await passwords.verify("anna", GOOD) is False
    await sql.execute("select agentbridge.unlock('anna')")
    assert await passwords.verify("anna", GOOD) is True
    await sql.execute("update agentbridge.agents set deactivated = true")
    assert await passwords.verify("anna", GOOD) is False


async def test_a_forgotten_password_is_reset_by_a_link_that_works_once(
    sql: Connection, passwords: Passwords, mail_server: Sink
) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    await passwords.request_reset("Anna@Example.com")
    (message,) = mail_server.messages
    assert (message["To"], message["From"]) == ("anna@example.com", "desk@example.com")
    token = token_of(mail_server)
    assert token.encode() not in (await sql.fetchval("select token_hash from agentbridge.password_resets"))
    results = await asyncio.gather(*(passwords.reset(token, GOOD) for _ in range(3)), return_exceptions=True)
    assert sorted(str(result) for result in results)[0] == "anna"
    assert sum(isinstance(result, Refused) for result in results) == 2
    assert await passwords.verify("anna", GOOD) is True


async def test_the_answer_does_not_tell_whether_an_address_is_known(
    sql: Connection, passwords: Passwords, mail_server: Sink
) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    await add_agent(sql, "nomail")
    assert await passwords.request_reset("nobody@example.com") is None  # type: ignore[func-returns-value]
    assert await passwords.request_reset("") is None  # type: ignore[func-returns-value]
    assert mail_server.messages == []


async def test_neither_does_the_time_it_takes_nor_a_mail_server_that_refuses_the_address(
    sql: Connection, passwords: Passwords, mail_server: Sink
) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    mail_server.refuses_recipients = True
    for address in ("anna@example.com", "nobody@example.com"):
        started = time.monotonic()
        await passwords.request_reset(address)
        assert time.monotonic() - started >= ANSWER_SECONDS
    assert mail_server.messages == []


@pytest.mark.parametrize("how", ["by another link", "by an administrator", "by SQL"])
async def test_a_new_password_makes_the_links_before_it_void_and_tells_its_time(
    sql: Connection, passwords: Passwords, mail_server: Sink, how: str
) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    await passwords.request_reset("anna@example.com")
    await passwords.request_reset("anna@example.com")
    old = token_of(mail_server, 0)
    match how:
        case "by another link":
            await passwords.reset(token_of(mail_server, 1), GOOD)
        case "by an administrator":
            await passwords.set("anna", GOOD)
        case _:
            await sql.execute("update agentbridge.agents set password_hash = '$argon2id$x'")
    with pytest.raises(Refused, match="the link was used already"):
        await passwords.reset(old, GOOD + "x")
    assert await sql.fetchval("select now() - password_changed_at < '1 minute' from agentbridge.agents")


async def test_two_links_of_one_agent_used_at_once_set_one_password(
    sql: Connection, passwords: Passwords, mail_server: Sink
) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    for _ in range(2):
        await passwords.request_reset("anna@example.com")
    tokens = [token_of(mail_server, number) for number in range(2)]
    results = await asyncio.gather(*(passwords.reset(token, GOOD) for token in tokens), return_exceptions=True)
    assert sorted(isinstance(result, Refused) for result in results) == [False, True]


async def test_a_link_is_void_after_an_hour(sql: Connection, passwords: Passwords, mail_server: Sink) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    await passwords.request_reset("anna@example.com")
    lasts = await sql.fetchval("select expires_at - now() from agentbridge.password_resets")
    assert 3500 < lasts.total_seconds() <= 3600
    await sql.execute("update agentbridge.password_resets set expires_at = now() - interval '1 second'")
    with pytest.raises(Refused, match="older than an hour; ask for a new one"):
        await passwords.reset(token_of(mail_server), GOOD)


async def test_a_mail_server_that_is_away_is_unavailable(sql: Connection, database: str) -> None:
    await add_agent(sql, "anna", email="anna@example.com")
    async with smtp_sink() as sink:
        port = sink.port
    async with Directory(database, node="pbx1") as directory:
        mail = Mail(host="127.0.0.1", port=port, sender="desk@example.com", link="{token}")
        for address in ("anna@example.com", "nobody@example.com"):
            with pytest.raises(Unavailable, match=f"the mail server 127.0.0.1:{port} can't be used"):
                await Passwords(directory.transaction, mail, answer_seconds=0).request_reset(address)
        with pytest.raises(Unavailable, match="no mail server is configured"):
            await Passwords(directory.transaction).request_reset("anna@example.com")


def picture(kind: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(content, kind)
    return content.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 by 60,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_an_avatar_is_known_by_its_content() -> None:
    assert check_avatar(picture("PNG")) == "image/png"
    assert check_avatar(picture("JPEG")) == "image/jpeg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (picture("GIF"), "must be a PNG or JPG"),
        (picture("PNG")[:100], "must be a PNG or JPG image, whole"),
        (b"\x89PNG\r\n\x1a\n", "must be a PNG or JPG"),
        (b"<svg/>", "must be a PNG or JPG"),
        (b"", "must be a PNG or JPG"),
        (b"x" * (8 * 1024 * 1024 + 1), r"at most 8 MB \(got 8.0 MB\)"),
        (bomb(), "at most 25,000,000 pixels|must be a PNG or JPG"),
    ],
    ids=["gif", "cut off", "only a signature", "svg", "empty", "too big", "bomb"],
)
def test_what_is_no_avatar_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        check_avatar(content)
