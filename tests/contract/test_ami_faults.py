"""An AMI that goes away, hangs, lies or talks rubbish, and what the link makes of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import pytest
import pytest_asyncio
import structlog

from agentbridge.asterisk.ami import connection
from agentbridge.asterisk.ami.connection import IN_FLIGHT
from agentbridge.asterisk.ami.link import AmiConnection
from agentbridge.asterisk.ami.wire import Message
from agentbridge.errors import InvalidValue, Unavailable
from lab.processes import until
from tests.contract.ami_links import LIMIT, QUICK, Watched, account, connected, running, up
from tests.contract.ami_server import ScriptedAmi, answer, event, listing

MEMBER = {"Queue": "sales", "Interface": "Local/1@x"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


async def test_whatever_waits_fails_at_once_when_the_connection_ends(server: ScriptedAmi) -> None:
    server.silent_on = {"QueueAdd", "QueueStatus"}
    async with connected(server) as session, asyncio.TaskGroup() as group:
        group.create_task(expect_lost(session.action("QueueAdd", MEMBER, timeout=60)))
        group.create_task(expect_lost(session.action_list("QueueStatus", {"Queue": "sales"}, timeout=60)))
        await server.until(lambda: server.count("QueueStatus") == 1)
        async with asyncio.timeout(1):
            server.drop()
            assert await session.ended_within(1)
    assert session.in_flight == 0


async def expect_lost(asked: Awaitable[object]) -> None:
    """Within a limit that is far below the action's own deadline."""
    async with asyncio.timeout(LIMIT):
        with pytest.raises(Unavailable):
            await asked


async def test_an_asterisk_that_shuts_down_is_away_and_refuses_nothing(server: ScriptedAmi) -> None:
    server.raw["QueueAdd"] = "Response: Error\r\nActionID: {id}\r\nMessage: Asterisk is shutting down\r\n\r\n"
    async with up(server) as watched:
        for _ in range(2):
            with pytest.raises(Unavailable, match="shutting down"):
                await watched.link.action("QueueAdd", MEMBER, timeout=LIMIT)
        assert server.count("QueueAdd") == 1, "the second was sent though the first told that it would be refused"
        # a Ping that is answered tells that it was taken back
        del server.raw["QueueAdd"]

        async def taken() -> bool:
            try:
                await watched.link.action("QueueAdd", MEMBER, timeout=LIMIT)
            except Unavailable:
                return False
            return True

        await until(taken, within=10, what="an action being taken again")


async def test_nothing_is_sent_again_after_a_reconnect(server: ScriptedAmi) -> None:
    server.silent_on = {"QueueAdd", "Command"}
    async with up(server) as watched:
        async with asyncio.TaskGroup() as group:
            group.create_task(expect_lost(watched.link.action("QueueAdd", MEMBER, timeout=60)))
            group.create_task(expect_lost(watched.link.command("core show version", timeout=60)))
            await server.until(lambda: server.count("Command") == 1)
            server.drop()
        server.silent_on = set()
        await watched.next_up()
        await watched.link.action("Ping", timeout=5)
        assert (server.count("QueueAdd"), server.count("Command")) == (1, 1)


async def test_an_unanswered_ping_ends_the_session_and_what_waits_on_it(server: ScriptedAmi) -> None:
    async with up(server) as watched:
        server.silent_on = {"Ping", "QueueAdd"}
        with pytest.raises(Unavailable, match=r"QueueAdd: Asterisk did not answer a Ping within 0\.5 s"):
            await watched.link.action("QueueAdd", MEMBER, timeout=LIMIT)
        assert "Ping" in await watched.next_down()


async def test_events_are_no_sign_of_life(server: ScriptedAmi) -> None:
    async with up(server, events="agent") as watched:
        server.raw["Ping"] = "Event: Newchannel\r\n\r\n"
        await watched.next_event("Newchannel")
        assert "Ping" in await watched.next_down()


async def test_an_event_that_asterisk_holds_back_comes_within_seconds(server: ScriptedAmi) -> None:
    async with up(server, events="agent", timing=replace(QUICK, ping_every=60.0)) as watched:
        server.raw["Ping"] = (
            "Response: Success\r\nActionID: {id}\r\nPing: Pong\r\n\r\nEvent: QueueMemberPause\r\nQueue: sales\r\n\r\n"
        )
        await watched.next_event("QueueMemberPause")
        assert watched.link.up
        assert watched.downs.empty()


async def test_a_slow_action_before_the_ping_is_life(server: ScriptedAmi) -> None:
    async with connected(server) as session, asyncio.TaskGroup() as group:
        server.silent_on = {"Ping", "QueuePause"}
        group.create_task(session.action("QueuePause", MEMBER, timeout=5))
        ping = group.create_task(session.ping(0.3))
        await server.until(lambda: server.count("Ping") == 1)
        [slow] = [action for action in server.received if action["Action"] == "QueuePause"]
        server.send(answer(slow, Message="Interface paused successfully"))
        assert await ping is True
        assert await session.ping(0.05) is False


@pytest.mark.parametrize("lives", [True, False])
async def test_a_long_list_keeps_the_ping_waiting_where_asterisk_is_known_to_live(
    server: ScriptedAmi, *, lives: bool
) -> None:
    server.silent_on = {"Ping", "PJSIPShowAuths"}
    async with up(server, lives=lambda: lives) as watched:
        asked = asyncio.create_task(watched.link.action_list("PJSIPShowAuths", timeout=LIMIT))
        if not lives:
            assert "Ping" in await watched.next_down()
            with pytest.raises(Unavailable):
                await asked
            return
        await server.until(lambda: server.count("Ping") == 3)
        [long] = [action for action in server.received if action["Action"] == "PJSIPShowAuths"]
        server.send(listing(long, "Following are Events", [("AuthList", {"ObjectName": "1001"})], "AuthListComplete"))
        assert [item.get("ObjectName") for item in await asked] == ["1001"]
        # and then it has no reason any more
        assert "Ping" in await watched.next_down()


async def test_pings_keep_an_idle_session_up(server: ScriptedAmi) -> None:
    async with up(server) as watched:
        await server.until(lambda: server.count("Ping") >= 4)
        assert server.connections == 1
        assert watched.downs.empty()


async def test_a_late_answer_is_dropped_and_leaves_nothing_behind(server: ScriptedAmi) -> None:
    server.silent_on = {"QueueAdd"}
    async with connected(server) as session:
        with pytest.raises(Unavailable, match=r"QueueAdd: no answer from Asterisk within 0\.05 s"):
            await session.action("QueueAdd", MEMBER, timeout=0.05)
        assert session.in_flight == 0
        late = server.received[-1]["ActionID"]
        server.send(f"Response: Success\r\nActionID: {late}\r\nMessage: late\r\n\r\n".encode())
        assert (await session.action("Ping", timeout=5)).get("Ping") == "Pong"
        assert session.in_flight == 0


async def test_a_list_that_comes_late_is_not_taken_for_events(server: ScriptedAmi) -> None:
    server.silent_on = {"QueueStatus"}
    events: list[Message] = []
    async with connected(server, events.append) as session:
        with pytest.raises(Unavailable):
            await session.action_list("QueueStatus", {"Queue": "sales"}, timeout=0.05)
        late = server.received[-1]["ActionID"]
        server.send(event("QueueMember", {"ActionID": late}) + event("Hangup", {"Channel": "PJSIP/1-1"}))
        await session.action("Ping", timeout=5)
    assert [seen.event for seen in events] == ["Hangup"]


async def test_a_list_that_never_ends_is_given_up_at_its_deadline(server: ScriptedAmi) -> None:
    server.raw["QueueStatus"] = (
        "Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\nEvent: QueueMember\r\nActionID: {id}\r\n\r\n"
    )
    async with connected(server) as session:
        with pytest.raises(Unavailable, match=r"no answer from Asterisk within 0\.05 s"):
            await session.action_list("QueueStatus", {"Queue": "sales"}, timeout=0.05)
        assert session.in_flight == 0


async def test_a_cancelled_action_leaves_nothing_behind(server: ScriptedAmi) -> None:
    server.silent_on = {"QueueAdd"}
    async with connected(server) as session, asyncio.TaskGroup() as group:
        task = group.create_task(session.action("QueueAdd", MEMBER, timeout=60))
        await server.until(lambda: server.count("QueueAdd") == 1)
        task.cancel()
        await asyncio.wait([task], timeout=LIMIT)
        assert task.cancelled()
        assert session.in_flight == 0


async def test_an_injected_action_never_reaches_the_socket(server: ScriptedAmi) -> None:
    async with connected(server) as session:
        for name in ("Eve\r\n\r\nAction: Command\r\nCommand: core stop now", "Eve\nInterface: x", "Eve\r"):
            with pytest.raises(InvalidValue, match="MemberName"):
                await session.action("QueueAdd", {**MEMBER, "MemberName": name}, timeout=5)
        await session.action("Ping", timeout=5)
    assert [received["Action"] for received in server.received] == ["Challenge", "Login", "Ping"]
    assert server.ami_secret not in str(server.received)


async def test_characters_split_over_reads_arrive_whole(server: ScriptedAmi) -> None:
    events: list[Message] = []
    async with connected(server, events.append) as session:
        await server.send_bytewise(event("QueueMemberAdded", {"MemberName": "Zoë 张 🎧"}))
        await session.action("Ping", timeout=5)
    assert [seen.get("MemberName") for seen in events] == ["Zoë 张 🎧"]


async def test_an_answer_of_megabytes_is_read_whole(server: ScriptedAmi) -> None:
    lines = "".join(f"Output: line {number} {'x' * 90}\r\n" for number in range(30_000))
    server.raw["Command"] = f"Response: Success\r\nActionID: {{id}}\r\n{lines}\r\n"
    async with up(server) as watched:
        assert len((await watched.link.command("core show taskprocessors", timeout=10)).splitlines()) == 30_000


async def test_a_list_that_comes_faster_than_it_is_handled_stops_the_reading_and_is_read_whole(
    server: ScriptedAmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BACKLOG", 2**17)
    items = [("AuthList", {"ObjectName": str(number), "Realm": "x" * 90}) for number in range(20_000)]
    server.silent_on = {"PJSIPShowAuths"}
    unread: list[int] = []
    reading: set[bool] = set()
    async with connected(server) as session:

        def take(_: Message) -> None:
            unread.append(session._wire.unread_bytes)
            reading.add(session._transport.is_reading())

        asked = asyncio.create_task(session.action_list("PJSIPShowAuths", timeout=LIMIT, on_item=take))
        await server.until(lambda: server.count("PJSIPShowAuths") == 1)
        server.send(listing(server.received[-1], "Following are Events", items, "AuthListComplete"))
        await asked
        assert (await session.action("Ping", timeout=5)).get("Ping") == "Pong"
    assert len(unread) == len(items)
    assert reading == {True, False}
    assert max(unread) < 2**17 + 2 * connection.RECEIVED_AT_ONCE


async def test_a_message_without_end_ends_the_session(server: ScriptedAmi) -> None:
    async with up(server) as watched:
        server.send(b"Event: Endless\r\n" + b"Output: " + b"x" * 9_000_000)
        assert "more than 8388608 bytes" in await watched.next_down()
        await watched.next_up()


async def test_a_bug_in_a_hook_ends_the_link_instead_of_being_swallowed(server: ScriptedAmi) -> None:
    def hook(event: Message) -> None:
        raise Unavailable(f"not a lost connection: {event.event}")

    link = Watched(server, on_event=hook).link
    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 the link ends the block from within
        async with running(link):
            await link.wait_up(5)
            server.send(event("Hangup", {}))
            await asyncio.wait_for(asyncio.Event().wait(), LIMIT)
    [bug] = raised.value.exceptions
    assert "a bug in the handling of an event" in str(bug)
    assert isinstance(bug.__cause__, Unavailable)
    assert not link.up


@pytest.mark.parametrize("hook", ["on_up", "on_down"])
async def test_a_bug_in_the_other_hooks_ends_the_link_too(server: ScriptedAmi, hook: str) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    link = Watched(server, **{hook: broken}).link
    with pytest.raises(ExceptionGroup) as raised:  # noqa: PT012 the link ends the block from within
        async with running(link):
            await server.until(lambda: server.count("Ping") >= 1)
            server.drop()
            await asyncio.wait_for(asyncio.Event().wait(), LIMIT)
    assert raised.group_contains(ZeroDivisionError)


async def test_malformed_events_do_no_harm(server: ScriptedAmi) -> None:
    async with up(server, events="agent") as watched:
        server.send(b"rubbish\r\n\r\n: \r\n\r\nEvent\r\n\r\n\xff\xfe: \x00\r\n\r\nResponse: Success\r\n\r\n")
        server.send(b"Event: \r\n\r\nResponse: Error\r\nActionID: nobody's\r\n\r\n" + event("Last", {}))
        await watched.next_event("Last")
        assert watched.link.up


async def test_a_half_message_before_the_end_is_no_answer(server: ScriptedAmi) -> None:
    server.silent_on = {"QueueAdd"}
    async with connected(server) as session, asyncio.TaskGroup() as group:
        group.create_task(expect_lost(session.action("QueueAdd", MEMBER, timeout=60)))
        await server.until(lambda: server.count("QueueAdd") == 1)
        server.send(f"Response: Success\r\nActionID: {server.received[-1]['ActionID']}\r\nMess".encode())
        for client in server.sessions:
            client.writer.close()


async def test_a_port_that_accepts_and_says_nothing_is_given_up(server: ScriptedAmi) -> None:
    server.greets = False
    with pytest.raises(Unavailable, match=r"did not let us in within 0\.1 s"):
        await AmiConnection.connect(account(server), within=0.1)
    await server.until(lambda: not server.sessions)


async def test_another_service_on_the_port_is_named(server: ScriptedAmi) -> None:
    server.banner = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with pytest.raises(Unavailable, match="not an AMI port"):
        await AmiConnection.connect(account(server), within=LIMIT)


async def test_a_closed_port_is_unavailable(server: ScriptedAmi) -> None:
    port = account(server)
    await server.__aexit__(None, None, None)
    with pytest.raises(Unavailable, match=str(port.port)):
        await AmiConnection.connect(port, within=LIMIT)


async def test_the_link_is_up_only_when_asterisk_is_fully_booted(server: ScriptedAmi) -> None:
    server.booted = False
    watched = Watched(server)
    async with running(watched.link):
        await server.until(lambda: server.count("Login") == 1)
        with pytest.raises(TimeoutError):
            await server.until(lambda: len(server.received) > 2, within=0.3)  # nothing after the login
        with pytest.raises(Unavailable):
            await watched.link.action("QueueAdd", MEMBER, timeout=5)
        assert not watched.link.up
        server.boot()
        await watched.next_up()
    assert server.count("QueueAdd") == 0


async def test_an_account_that_never_sees_fully_booted_is_told_why(server: ScriptedAmi) -> None:
    server.booted = False
    async with connected(server) as session:
        with pytest.raises(Unavailable, match="class system"):
            await session.wait_booted(0.05)


async def test_filters_that_are_not_allowed_leave_the_link_up(server: ScriptedAmi) -> None:
    server.refused = {"Filter"}
    async with up(server, events="agent,call", filters=["!Event: VarSet"]) as watched:
        assert watched.link.up
        assert server.sessions[0].events == "agent,call"


async def test_only_so_many_actions_are_in_flight_and_the_rest_waits(server: ScriptedAmi) -> None:
    server.silent_on = {"QueuePause"}
    async with connected(server) as session:
        async with asyncio.TaskGroup() as group:
            for _ in range(2 * IN_FLIGHT):
                group.create_task(expect_lost(session.action("QueuePause", MEMBER, timeout=60)))
            await server.until(lambda: server.count("QueuePause") == IN_FLIGHT)
            assert await session.ping(5)  # overtakes those that wait
            assert session.in_flight == server.count("QueuePause") == IN_FLIGHT
            server.drop()
        assert session.in_flight == 0


async def test_the_link_comes_back_after_every_loss_and_stops_when_cancelled(server: ScriptedAmi) -> None:
    async with up(server) as watched:
        for _ in range(3):
            server.drop()
            await watched.next_down()
            await watched.next_up()
        assert server.connections == 4
    await server.until(lambda: not server.sessions)
    with pytest.raises(TimeoutError):
        await server.until(lambda: server.connections > 4, within=5 * QUICK.longest_wait)


async def test_a_peer_that_no_longer_reads_costs_neither_memory_nor_time(server: ScriptedAmi) -> None:
    big = [("Variable", "x" * 1000)] * 120
    async with connected(server) as session:
        server.sessions[0].writer.transport.pause_reading()
        async with asyncio.TaskGroup() as group:
            for _ in range(200):  # 24 MB
                group.create_task(expect_lost(session.action("Originate", big, timeout=0.5)))
        assert session.unsent_bytes < 1_000_000
        assert not await session.ping(0.05)
        async with asyncio.timeout(3):
            await session.close()
        assert session.unsent_bytes == 0
        with pytest.raises(Unavailable, match="test: closed"):
            await session.action("Ping", timeout=5)


async def test_a_refused_login_is_logged_once_and_without_the_secret(server: ScriptedAmi) -> None:
    server.refused = {"Login"}
    with structlog.testing.capture_logs() as lines:
        async with running(Watched(server).link):
            await server.until(lambda: server.count("Login") >= 3)
    assert [(line["event"], line["link"], line["reason"]) for line in lines] == [
        ("ami.refused", "test", "Login: Permission denied")
    ]
    assert server.ami_secret not in str(lines)


async def test_connected_and_lost_are_logged_with_the_link_and_the_reason(server: ScriptedAmi) -> None:
    with structlog.testing.capture_logs() as lines:
        async with up(server) as watched:
            server.drop()
            await watched.next_down()
    assert [(line["event"], line["link"]) for line in lines[:2]] == [("ami.connected", "test"), ("ami.lost", "test")]
    assert lines[1]["reason"]
    assert server.ami_secret not in str(lines)
