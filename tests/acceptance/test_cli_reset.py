"""`agentbridge agent reset`: a forgotten password, by a link that a real mail server gets (A15)."""

import asyncio
import re
import shlex
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory.passwords import verify_password
from tests.acceptance.shell import WITHIN_S, Ran, Shell, execute
from tests.integration.smtp_sink import Sink, smtp_sink

GOOD, WEAK = "Horse-Staple7", "horse"
STATED = "if an agent has the address {}, the link is on its way\n"


@pytest_asyncio.fixture
async def mail_server() -> AsyncIterator[Sink]:
    async with smtp_sink() as sink:
        yield sink


@pytest_asyncio.fixture
async def desk(shell: Shell, mail_server: Sink) -> Shell:
    """Anna has an address; passwords must be good ones."""
    configure(shell, port=mail_server.port)
    await execute(shell, "insert into agentbridge.agents (username, email) values ('anna', 'anna@example.com')")
    await execute(shell, "update agentbridge.settings set security_suite = true")
    return shell


def configure(shell: Shell, **more: str | int) -> None:
    mail = {
        "host": "127.0.0.1", "encryption": "none", "sender": "desk@example.com",
        "link": "https://desk.example.com/reset?token={token}", **more,
    }  # fmt: skip
    lines = [f"{key} = {content!r}" for key, content in mail.items()]
    shell.config.write_text("\n".join([shell.config.read_text().partition("[mail]")[0], "[mail]", *lines, ""]))


def token_of(message: Message) -> str:
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    found = re.search(r"https://desk\.example\.com/reset\?token=(\S+)", text.decode())
    assert found
    return found[1]


async def mailed(desk: Shell, mail_server: Sink) -> str:
    await desk("agent", "reset", "anna@example.com")
    return token_of(mail_server.messages[-1])


async def stored(desk: Shell) -> str | None:
    connection = await asyncpg.connect(desk.config.read_text().split('dsn = "')[1].split('"')[0])
    try:
        found: str | None = await connection.fetchval("select password_hash from agentbridge.agents")
        return found
    finally:
        await connection.close()


async def has_password(desk: Shell, password: str) -> bool:
    return verify_password(await stored(desk), password)


async def typed_on_a_terminal(shell: Shell, *words: str, answers: dict[str, str]) -> str:
    """What is seen there; each answer is typed when its question has been asked."""
    command = shlex.join((sys.executable, "-m", "agentbridge", *words, "--config", str(shell.config)))
    process = await asyncio.create_subprocess_exec(
        "script", "-qec", command, "/dev/null", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "xterm"},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    seen = b""
    async with asyncio.timeout(WITHIN_S):
        for question, answer in answers.items():
            seen += await process.stdout.readuntil(question.encode())
            process.stdin.write(answer.encode() + b"\n")
        seen += await process.stdout.read()
        await process.wait()
    return seen.decode()


async def test_an_agent_gets_a_link_by_e_mail_and_a_new_password_by_its_token(desk: Shell, mail_server: Sink) -> None:
    ran = await desk("agent", "reset", "Anna@Example.com")
    (message,) = mail_server.messages
    assert (message["From"], message["To"]) == ("desk@example.com", "anna@example.com")
    token = token_of(message)
    assert token not in ran.out + ran.err
    done = await desk("agent", "reset", "--token", token, stdin=f"{GOOD}\n")
    assert done == Ran(0, "", "the password of anna is set\n")
    assert await has_password(desk, GOOD)


async def test_a_token_need_not_be_on_the_command_line(desk: Shell, mail_server: Sink) -> None:
    token = await mailed(desk, mail_server)
    done = await desk("agent", "reset", "--token", "-", stdin=f"{token}\n{GOOD}\n")
    assert done == Ran(0, "", "the password of anna is set\n")
    assert await has_password(desk, GOOD)


async def test_on_a_terminal_the_new_password_is_asked_for_twice_and_not_shown(desk: Shell, mail_server: Sink) -> None:
    token = await mailed(desk, mail_server)
    # the space after the colon is written when nothing more is echoed
    questions = {"New password: ": GOOD, "Repeat for confirmation: ": GOOD}
    seen = await typed_on_a_terminal(desk, "agent", "reset", "--token", token, answers=questions)
    assert "the password of anna is set" in seen
    assert GOOD not in seen
    assert await has_password(desk, GOOD)


@pytest.mark.parametrize("refuses", [False, True], ids=["a server that takes it", "a server that refuses it"])
async def test_the_answer_does_not_tell_whether_an_address_is_known(
    desk: Shell, mail_server: Sink, refuses: bool
) -> None:
    mail_server.refuses_recipients = refuses
    for address in ("anna@example.com", "nobody@example.com"):
        assert await desk("agent", "reset", address) == Ran(0, "", STATED.format(address))
    assert [message["To"] for message in mail_server.messages] == ([] if refuses else ["anna@example.com"])


async def test_a_token_works_once(desk: Shell, mail_server: Sink) -> None:
    token = await mailed(desk, mail_server)
    await desk("agent", "reset", "--token", token, stdin=GOOD)
    ran = await desk("agent", "reset", "--token", token, stdin=f"{GOOD}x", status=1)
    assert "the link was used already or is older than an hour" in ran.err
    assert token not in ran.err
    assert await has_password(desk, GOOD)


async def test_a_token_is_void_after_an_hour(desk: Shell, mail_server: Sink) -> None:
    token = await mailed(desk, mail_server)
    await execute(desk, "update agentbridge.password_resets set expires_at = expires_at - interval '1 hour'")
    assert "older than an hour" in (await desk("agent", "reset", "--token", token, stdin=GOOD, status=1)).err
    assert await stored(desk) is None


async def test_a_weak_password_is_refused_and_the_token_stays_good(desk: Shell, mail_server: Sink) -> None:
    token = await mailed(desk, mail_server)
    ran = await desk("agent", "reset", "--token", token, stdin=WEAK, status=1)
    assert "password: needs 8 characters, an upper-case letter, a digit, one of" in ran.err
    assert WEAK not in ran.err
    await desk("agent", "reset", "--token", token, stdin=GOOD)
    assert await has_password(desk, GOOD)


async def test_without_a_mail_server_it_is_said_whichever_address_is_given(shell: Shell) -> None:
    await execute(shell, "insert into agentbridge.agents (username, email) values ('anna', 'anna@example.com')")
    for address in ("anna@example.com", "nobody@example.com"):
        ran = await shell("agent", "reset", address, status=1)
        assert ran.err.startswith("agentbridge: mail.host: is not set, so a password can't be reset by e-mail")


async def test_a_mail_server_that_is_away_is_named(desk: Shell) -> None:
    async with smtp_sink() as gone:
        configure(desk, port=gone.port)
    for address in ("anna@example.com", "nobody@example.com"):
        ran = await desk("agent", "reset", address, status=1)
        assert f"the mail server 127.0.0.1:{gone.port} can't be used" in ran.err


async def test_a_mail_server_that_repeats_the_password_does_not_get_it_into_the_error(desk: Shell) -> None:
    async with asyncio.timeout(30), await asyncio.start_server(parrot, "127.0.0.1", 0) as server:
        configure(desk, port=server.sockets[0].getsockname()[1], username="desk", password="hunter2")
        ran = await desk("agent", "reset", "anna@example.com", status=1)
    assert "refuses the user desk or the password (status 535)" in ran.err
    assert not re.search("hunter2|AGRlc2sAaHVudGVyMg==", ran.err)


async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 parrot\r\n")
    while line := await reader.readline():
        match line.split()[0].lower():
            case b"ehlo":
                writer.write(b"250-parrot\r\n250 AUTH PLAIN\r\n")
            case b"quit":
                writer.write(b"221 bye\r\n")
                break
            case _:
                writer.write(b"535 no: " + line)
    writer.close()
    await writer.wait_closed()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key in the same file."""
    file = tmp_path / "mail.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=mail",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", tmp_path / "certificate"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    file.write_text(file.read_text() + (tmp_path / "certificate").read_text())
    return file


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_an_encrypted_mail_server_is_used_only_when_its_certificate_is_trusted(
    desk: Shell, certificate: Path, encryption: str
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with smtp_sink(**{encryption: context}) as sink:
        configure(desk, port=sink.port, encryption=encryption)
        ran = await desk("agent", "reset", "anna@example.com", status=1)
        assert "certificate verify failed" in ran.err
        assert sink.messages == []
        await desk("agent", "reset", "anna@example.com", SSL_CERT_FILE=str(certificate))
        assert [message["To"] for message in sink.messages] == ["anna@example.com"]


async def test_a_mail_server_without_encryption_is_refused_when_it_is_wanted(desk: Shell, mail_server: Sink) -> None:
    for encryption in ("starttls", "tls"):
        configure(desk, port=mail_server.port, encryption=encryption)
        assert "can't be used" in (await desk("agent", "reset", "anna@example.com", status=1)).err
    assert mail_server.messages == []


@pytest.mark.parametrize("words", [(), ("anna@example.com", "--token", "x")], ids=["neither", "both"])
async def test_an_address_and_a_token_are_two_things(shell: Shell, words: tuple[str, ...]) -> None:
    assert "give the agent's e-mail address, or --token" in (await shell("agent", "reset", *words, status=2)).err
