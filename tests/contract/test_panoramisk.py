"""What keeps panoramisk out of the daemon, one defect at a time: docs/decisions/0012-panoramisk-in-check.md.

Each is what a client of the AMI must do, and is expected to fail. A release that mends one fails its test here.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import panoramisk
import pytest
import pytest_asyncio

from agentbridge.cli.check.session import Session
from agentbridge.errors import InvalidValue, Refused, Unavailable
from tests.contract.ami_server import ScriptedAmi

SOON = 0.5
"""seconds in which a server on this machine has long answered"""
defect = pytest.mark.xfail(strict=True, reason="panoramisk 1.4")


@pytest_asyncio.fixture
async def ami() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


@pytest_asyncio.fixture
async def manager(ami: ScriptedAmi) -> AsyncIterator[Any]:
    manager = panoramisk.Manager(
        host="127.0.0.1", port=ami.ami_port, username=ami.ami_user, secret=ami.ami_secret, reconnect_timeout=0
    )
    await manager.connect()
    await ami.until(lambda: ami.count("Login") == 1)
    yield manager
    # it would connect for ever
    manager.connect = lambda *_: None
    manager.close()


async def test_what_check_asks_is_answered(manager: Any) -> None:
    async with asyncio.timeout(5):
        pong = str((await manager.send_action({"Action": "Ping"}))["Ping"])
        items = await manager.send_action({"Action": "QueueStatus", "Queue": "sales"})
    # plain text: pytest's own words for one of panoramisk's messages would never end
    assert pong == "Pong"
    assert [str(item.get("Event")) for item in items][-1] == "QueueStatusComplete"


@defect
@pytest.mark.usefixtures("manager")
async def test_the_secret_stays_off_the_wire(ami: ScriptedAmi) -> None:
    assert ami.ami_secret not in str(ami.received)


@defect
async def test_a_member_that_is_added_is_answered(manager: Any) -> None:
    async with asyncio.timeout(SOON):
        await manager.send_action({"Action": "QueueAdd", "Queue": "sales", "Interface": "PJSIP/1001"})


@defect
async def test_a_list_that_is_refused_ends(ami: ScriptedAmi, manager: Any) -> None:
    ami.refused.add("QueueStatus")
    async with asyncio.timeout(SOON):
        await manager.send_action({"Action": "QueueStatus"}, as_list=True)


@defect
async def test_a_value_with_a_line_break_is_no_second_action(ami: ScriptedAmi, manager: Any) -> None:
    manager.send_action({"Action": "Ping", "Note": "x\r\n\r\nAction: Command\r\nCommand: core stop now"})
    with pytest.raises(TimeoutError):
        await ami.until(lambda: ami.count("Command") == 1, within=SOON)


@defect
async def test_a_character_that_two_reads_share_is_kept(manager: Any) -> None:
    heard = asyncio.get_running_loop().create_future()
    manager.register_event("Said", lambda _manager, event: heard.set_result(str(event.words)))
    first, second = "Event: Said\r\nWords: Ännä\r\n\r\n".encode().split(b"\x84")
    manager.protocol.data_received(first)
    manager.protocol.data_received(b"\x84" + second)
    async with asyncio.timeout(5):
        words = await heard
    assert words == "Ännä"


@defect
async def test_what_waits_for_an_answer_fails_when_the_connection_ends(ami: ScriptedAmi, manager: Any) -> None:
    ami.raw["QueueStatus"] = "Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n"
    waiting = manager.send_action({"Action": "QueueStatus"})
    await ami.until(lambda: ami.count("QueueStatus") == 1)
    ami.drop()
    done, _ = await asyncio.wait({waiting}, timeout=SOON)
    assert done


@defect
async def test_nothing_is_sent_twice(ami: ScriptedAmi, manager: Any) -> None:
    ami.silent_on.add("QueueRemove")
    manager.send_action({"Action": "QueueRemove", "Queue": "sales", "Interface": "PJSIP/1001"})
    await ami.until(lambda: ami.count("QueueRemove") == 1)
    ami.drop()
    with pytest.raises(TimeoutError):
        await ami.until(lambda: ami.count("QueueRemove") == 2, within=SOON)


@defect
async def test_a_bug_in_a_callback_ends_nothing_else(ami: ScriptedAmi, manager: Any) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    manager.register_event("Said", lambda *_: {}["a bug"])
    try:
        ami.send(b"Event: Said\r\nWords: no\r\n\r\n")
        async with asyncio.timeout(SOON):
            await manager.send_action({"Action": "Ping"})
    finally:
        loop.set_exception_handler(None)


@defect
async def test_an_action_without_an_answer_is_forgotten_when_its_waiter_gives_up(
    ami: ScriptedAmi, manager: Any
) -> None:
    ami.silent_on.add("QueueRemove")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await manager.send_action({"Action": "QueueRemove", "Queue": "sales", "Interface": "PJSIP/1001"})
    assert len(manager.protocol.responses) == 0


# ---------------------------------------------------------------- and what check makes of it


async def test_checks_session_logs_in_by_challenge_and_sends_no_second_action(ami: ScriptedAmi) -> None:
    session = await Session.connect("127.0.0.1", ami.ami_port, ami.ami_user, ami.ami_secret)
    try:
        with pytest.raises(InvalidValue, match="one line"):
            await session.ask("Ping", {"Note": "x\r\n\r\nAction: Command"})
        assert ami.ami_secret not in str(ami.received)
        assert ami.count("Command") == 0
    finally:
        session.close()


async def test_checks_session_ends_what_waits_when_asterisk_goes(ami: ScriptedAmi) -> None:
    session = await Session.connect("127.0.0.1", ami.ami_port, ami.ami_user, ami.ami_secret)
    ami.silent_on.add("Ping")
    waiting = asyncio.create_task(session.ask("Ping"))
    await ami.until(lambda: ami.count("Ping") == 1)
    ami.drop()
    with pytest.raises(Unavailable, match="closed the connection"):
        await waiting
    connections = ami.connections
    await asyncio.sleep(0)
    assert ami.connections == connections
    session.close()


async def test_checks_session_says_of_a_list_that_it_is_refused(ami: ScriptedAmi) -> None:
    ami.refused.add("QueueStatus")
    session = await Session.connect("127.0.0.1", ami.ami_port, ami.ami_user, ami.ami_secret)
    try:
        with pytest.raises(Refused):
            await session.items("QueueStatus")
    finally:
        session.close()


async def test_checks_session_says_when_nobody_answers_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(Unavailable, match=str(port)):
        await Session.connect("127.0.0.1", port, "agentbridge", "secret")
