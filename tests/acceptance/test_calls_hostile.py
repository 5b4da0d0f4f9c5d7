"""What is dialled, said or stored can't make the dialplan do anything but refuse."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from lab.asterisk import Asterisk
from lab.manager import Manager
from lab.phones import Phone
from lab.processes import run
from tests.acceptance.calls import FILES, Calls, calls_on, hear_each_other

INJECTIONS = (
    "1001,1",
    "1001,9",
    "1001)",
    "1001$",
    "${EXTEN}",
    "${SHELL(touch /tmp/pwned)}",
    "$[1+1]",
    '1001"',
    '" = "x" | "1" = "1',
    "1001&PJSIP/1002",
    "1001|1",
    "1001\r\nX-Evil: 1",
    "1001\n",
    "1001;",
    "1001/../1002",
    "1001^1",
    "1001?a:b",
    "1001]",
    "1001\\",
    "x" * 200,
    "1" * 200,
    "١٠٠١",
)
READ = ("id", "device", "forward", "record", "mask", "autoanswer", "queues", "callerid", "paused", "voicemail")
"""keys whose text the dialplan carries on, or compares"""
NAME = '"quote) ${SHELL(touch /tmp/pwned)},b;c|d&e:f?g]$[1]'

CONTROL = r"""
[lab](+)
exten => control,1,Set(RAN=${SHELL(touch /tmp/pwned)})
"""


@pytest_asyncio.fixture(scope="module")
async def pbx() -> AsyncIterator[Asterisk]:
    async with Asterisk(queues={"sales": {}}, extra={**FILES, "extensions.conf": CONTROL}) as server:
        yield server


@pytest_asyncio.fixture
async def calls(pbx: Asterisk) -> AsyncIterator[Calls]:
    async with calls_on(pbx) as calls:
        yield calls


async def in_tmp(calls: Calls, *command: str) -> str:
    """A command in Asterisk's own /tmp."""
    inside = ("nsenter", f"--target={calls.pbx.pid}", "--mount", "--root", "--wd")
    return await run(*inside, "/bin/sh", "-c", "cd /tmp && " + " ".join(command))


async def file_of_shell(calls: Calls) -> list[str]:
    return [name for name in (await in_tmp(calls, "ls")).split() if "pwned" in name]


async def dial(phone: Phone, number: str) -> int | None:
    """As a SIP user may write it: escaped in the URI, and out again in Asterisk's EXTEN."""
    return (await phone.call(quote(number, safe=""), timeout=5)).status


async def test_a_command_that_did_run_would_be_seen(calls: Calls) -> None:
    await (await calls.customer()).call("control", timeout=5)
    assert await file_of_shell(calls) == ["pwned"]
    await in_tmp(calls, "rm pwned")


@pytest.mark.parametrize("prefix", ["", "*51", "*53", "9"])
@pytest.mark.parametrize("number", INJECTIONS)
async def test_no_number_that_an_agent_dials_breaks_out(calls: Calls, prefix: str, number: str) -> None:
    await calls.agent("1001", chanspy="1", spy="1")
    await calls.agent("1002")
    caller, bystander = await calls.phone("1001"), await calls.phone("1002")
    status = await dial(caller, prefix + number)
    assert status in {403, 404, 484}
    assert bystander.invites == []
    assert [event for event in calls.named("AgentbridgeSpy") if event.get("Allowed") != "0"] == []
    assert await file_of_shell(calls) == []


@pytest.mark.parametrize("number", INJECTIONS)
async def test_no_number_that_a_customer_dials_breaks_out(calls: Calls, number: str) -> None:
    await calls.agent("1001")
    await calls.agent("1002")
    phones = [await calls.phone("1001"), await calls.phone("1002")]
    assert await dial(await calls.customer(), number) in {404, 484}
    assert [phone.invites for phone in phones] == [[], []]
    assert await file_of_shell(calls) == []


@pytest.mark.parametrize("options", [{"record": "wav"}, {"mask": "4"}, {"autoanswer": "1"}, {"chanspy": "1"}])
async def test_a_callers_name_and_number_of_any_kind_are_only_shown(calls: Calls, options: dict[str, str]) -> None:
    await calls.agent("1001", **options)
    agent, customer = await calls.phone("1001"), await calls.customer()
    await calls.member("1001")
    quoted = NAME.replace('"', '\\"')
    headers = (("P-Asserted-Identity", f'"{quoted}" <sip:{quote("0,b)${X}", safe="")}@127.0.0.1>'),)
    outgoing = await customer.call("sales", timeout=5, headers=headers)
    await hear_each_other(outgoing, await agent.rings(timeout=5), (customer, agent))
    assert await file_of_shell(calls) == []


@pytest.mark.parametrize("key", READ)
@pytest.mark.parametrize("value", ["${SHELL(touch /tmp/pwned)}", '" = "x" | 1 = "1', "1002,1&PJSIP/1002)b:c?d"])
async def test_no_value_in_the_astdb_breaks_out(calls: Calls, key: str, value: str) -> None:
    await calls.agent("1001", voicemail="1")
    await calls.agent("1002")
    agent, bystander, customer = await calls.phone("1001"), await calls.phone("1002"), await calls.customer()
    await calls.member("1001")
    async with Manager(calls.pbx) as manager:
        await manager.ask("DBPut", {"Family": "agentbridge", "Key": f"agent/1001/{key}", "Val": value})
    for dialled in ("1001", "sales"):
        call = customer.dial(dialled)
        await call.answered(timeout=8)
        await call.hangup()
    await (await agent.call("0551234", timeout=5)).hangup()
    await calls.put("agent/1001/device", "")
    assert (await customer.call("1001", timeout=8)).status in {200, 480, 403}  # the box, or no box
    assert bystander.invites == []
    assert await file_of_shell(calls) == []
