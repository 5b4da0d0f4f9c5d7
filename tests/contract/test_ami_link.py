"""What an AMI answers and how the link takes it: the same for the scripted server and a real Asterisk."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from agentbridge.asterisk.ami.link import Account, AmiConnection, AmiLink
from agentbridge.asterisk.ami.wire import LINE_BYTES, Message
from agentbridge.errors import InvalidValue, Refused, Unavailable
from lab.asterisk import Asterisk
from tests.contract.ami_links import AmiServer, Watched, account, connected, running, up
from tests.contract.ami_server import ScriptedAmi

MANAGER_CONF = Path(__file__).parents[2] / "config/asterisk/manager.conf"
_numbers = itertools.count(1)


@pytest_asyncio.fixture
async def scripted() -> AsyncIterator[ScriptedAmi]:
    async with ScriptedAmi() as server:
        yield server


@pytest.fixture(params=["scripted", "asterisk"])
def ami(request: pytest.FixtureRequest) -> AmiServer:
    return cast(AmiServer, request.getfixturevalue(request.param))


@pytest.fixture
def interface() -> str:
    """An interface that no other test adds."""
    return f"Local/{next(_numbers)}@contract"


async def test_a_session_logs_in_sees_that_asterisk_is_up_and_is_answered(ami: AmiServer) -> None:
    async with connected(ami) as session:
        assert (await session.wait_booted(5)).event == "FullyBooted"
        assert (await session.action("Ping", timeout=5)).get("Ping") == "Pong"
        assert await session.ping(5)
        assert session.in_flight == 0


async def test_a_wrong_secret_is_refused_and_not_told(ami: AmiServer) -> None:
    may_be = r"^Login: Authentication failed: .* another secret, or its deny and permit lines leave 127\.0\.0\.1 out$"
    with pytest.raises(Refused, match=may_be) as refused:
        await AmiConnection.connect(account(ami, "not-the-secret"))
    assert "not-the-secret" not in str(refused.value) + repr(account(ami, "not-the-secret"))


async def test_the_account_that_is_shipped_lets_this_machine_in_and_no_other_over_ipv4_and_ipv6() -> None:
    shipped = re.findall(r"^(?:deny|permit) = .*$", MANAGER_CONF.read_text(), re.MULTILINE)
    without_permit = [line for line in shipped if line.startswith("deny")]
    accounts = {"shipped": shipped, "elsewhere": without_permit}
    text = "".join(
        f"[{name}]\n" + "\n".join((*lines, "secret = of-all", "read = system\n")) for name, lines in accounts.items()
    )
    async with Asterisk(extra={"manager.conf": f"[general](+)\nbindaddr = ::\n{text}"}) as server:
        for address in ("127.0.0.1", "::1"):
            own = Account(address, server.ami_port, "shipped", "of-all")
            await (await AmiConnection.connect(own)).close()
            with pytest.raises(Refused, match=f"permit lines leave .*{address} out"):
                await AmiConnection.connect(Account(address, server.ami_port, "elsewhere", "of-all"))


async def test_a_member_is_added_paused_listed_unpaused_and_removed(ami: AmiServer, interface: str) -> None:
    member = {"Queue": "sales", "Interface": interface}
    async with connected(ami) as session:
        added = await session.action("QueueAdd", {**member, "MemberName": "Zoë Ünal 张", "Paused": "true"}, timeout=5)
        assert added.get("Message") == "Added interface to queue"
        with pytest.raises(Refused, match="QueueAdd: Unable to add interface: Already there"):
            await session.action("QueueAdd", member, timeout=5)

        [listed] = [m for m in await status(session) if m.get("Location") == interface]
        assert (listed.event, listed.get("Name"), listed.get("Paused")) == ("QueueMember", "Zoë Ünal 张", "1")

        await session.action("QueuePause", {**member, "Paused": "false"}, timeout=5)
        [listed] = [m for m in await status(session) if m.get("Location") == interface]
        assert listed.get("Paused") == "0"

        await session.action("QueueRemove", member, timeout=5)
        with pytest.raises(Refused, match="QueueRemove: Unable to remove interface: Not there"):
            await session.action("QueueRemove", member, timeout=5)
        with pytest.raises(Refused, match="QueuePause: Interface not found"):
            await session.action("QueuePause", {**member, "Paused": "true"}, timeout=5)
        assert not [m for m in await status(session) if m.get("Location") == interface]


async def status(session: AmiConnection) -> list[Message]:
    return await session.action_list("QueueStatus", {"Queue": "sales"}, timeout=5)


async def test_an_unknown_queue_has_no_members(ami: AmiServer) -> None:
    async with connected(ami) as session:
        assert await session.action_list("QueueStatus", {"Queue": "no-such"}, timeout=5) == []


async def test_what_a_cli_command_prints_comes_back(ami: AmiServer) -> None:
    async with up(ami) as watched:
        assert (await watched.link.command("core show version", timeout=5)).startswith("Asterisk ")
        with pytest.raises(Refused, match="No such command 'no such thing'"):
            await watched.link.command("no such thing", timeout=5)


async def test_astdb_is_written_and_read_one_by_one_and_as_a_tree(ami: AmiServer) -> None:
    async with connected(ami) as session:
        for key in ("agent/1001/spy", "agent/1001/record"):
            await session.action("DBPut", {"Family": "contract", "Key": key, "Val": "yes"}, timeout=5)
        [item] = await session.action_list("DBGet", {"Family": "contract", "Key": "agent/1001/spy"}, timeout=5)
        assert (item.event, item.get("Val")) == ("DBGetResponse", "yes")

        tree = await session.action_list("DBGetTree", {"Family": "contract"}, timeout=5)
        assert {item.get("Key"): item.get("Val") for item in tree} == {
            "/contract/agent/1001/record": "yes",
            "/contract/agent/1001/spy": "yes",
        }
        assert await session.action_list("DBGetTree", {"Family": "no-such"}, timeout=5) == []
        with pytest.raises(Refused, match="DBGet: Database entry not found"):
            await session.action_list("DBGet", {"Family": "contract", "Key": "no-such"}, timeout=5)


async def test_the_longest_line_arrives_whole(ami: AmiServer) -> None:
    value = "é" + "x" * (LINE_BYTES - len("Val: é\r\n".encode()))
    async with connected(ami) as session:
        await session.action("DBPut", {"Family": "long", "Key": "line", "Val": value}, timeout=5)
        # not by DBGet, which cuts at 256 bytes on 16
        [item] = await session.action_list("DBGetTree", {"Family": "long"}, timeout=5)
        assert (item.get("Key"), item.get("Val")) == ("/long/line", value)
        with pytest.raises(InvalidValue):
            await session.action("DBPut", {"Family": "long", "Key": "line", "Val": value + "x"}, timeout=5)
        assert session.in_flight == 0


async def test_an_unknown_action_is_refused_by_its_name(ami: AmiServer) -> None:
    async with connected(ami) as session:
        with pytest.raises(Refused, match="NoSuchAction: Invalid/unknown command: NoSuchAction"):
            await session.action("NoSuchAction", timeout=5)


async def test_asking_for_a_list_where_there_is_none_does_not_wait(ami: AmiServer) -> None:
    async with connected(ami) as session:
        with pytest.raises(Refused, match="Ping: answered without a list"):
            await session.action_list("Ping", timeout=5)


async def test_a_thousand_actions_at_once_each_get_their_own_answer(ami: AmiServer) -> None:
    async with connected(ami) as session, asyncio.TaskGroup() as group:
        pings = [group.create_task(session.action("Ping", timeout=20)) for _ in range(1000)]
    assert len({ping.result().action_id for ping in pings}) == 1000
    assert session.in_flight == 0


async def test_a_link_with_events_sees_a_member_added_by_another(ami: AmiServer, interface: str) -> None:
    async with up(ami, events="agent", filters=["!Event: VarSet"]) as watched, up(ami) as actions:
        await actions.link.action("QueueAdd", {"Queue": "sales", "Interface": interface}, timeout=5)
        seen = await watched.next_event("QueueMemberAdded")
        assert seen.get("Interface") == interface
        await actions.link.action("QueueRemove", {"Queue": "sales", "Interface": interface}, timeout=5)
        assert actions.events.empty()


async def test_a_link_that_is_down_says_so_at_once(ami: AmiServer) -> None:
    link = Watched(ami).link
    with pytest.raises(Unavailable, match="test: not connected to Asterisk"):
        await link.action("Ping", timeout=5)
    with pytest.raises(Unavailable, match=r"within 0\.01 s"):
        await link.wait_up(0.01)
    async with running(link):
        await link.wait_up(5)
        assert link.up
        assert (await link.action("Ping", timeout=5)).get("Ping") == "Pong"
    assert not link.up


async def test_a_stopped_asterisk_is_noticed_and_found_again(fresh_asterisk: Asterisk) -> None:
    async with up(fresh_asterisk) as watched:
        fresh_asterisk.pause()
        try:
            with pytest.raises(Unavailable, match="did not answer a Ping within"):
                await ping_until_it_fails(watched.link)
            assert "did not answer a Ping" in await watched.next_down()
        finally:
            fresh_asterisk.resume()
        await watched.next_up(20)
        assert (await watched.link.action("Ping", timeout=5)).get("Ping") == "Pong"


async def test_a_killed_asterisk_fails_what_waits_and_is_up_again_only_when_booted(
    fresh_asterisk: Asterisk,
) -> None:
    async with up(fresh_asterisk) as watched:
        fresh_asterisk.pause()  # so that the action is surely unanswered
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(expect_unavailable(watched))
            await fresh_asterisk.kill()
        assert waiting.result() is True
        await watched.next_down()
        await fresh_asterisk.start()
        assert (await watched.next_up(20)).get("Status") == "Fully Booted"
        assert await watched.link.action_list("QueueStatus", {"Queue": "sales"}, timeout=5)


async def expect_unavailable(watched: Watched) -> bool:
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await ping_until_it_fails(watched.link)
    return True


async def ping_until_it_fails(link: AmiLink) -> None:
    while True:  # the threads of a process stop one by one: an answer may still come after the signal
        await link.action("Ping", timeout=30)
