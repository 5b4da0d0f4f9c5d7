"""The busy lamps of many agents at once: how often Asterisk is asked how much waits."""

import asyncio
import re
from collections.abc import Mapping

from agentbridge.asterisk.ami.pending import OnEvent
from agentbridge.asterisk.ami.wire import Fields, Message
from agentbridge.asterisk.calls.lamps import AT_ONCE, DEEP, Lamp, Lamps
from agentbridge.model import EndpointId

AGENTS = [EndpointId(str(number)) for number in range(1000, 1300)]


class Link:
    """A link to an Asterisk in which no telephone was ever in use."""

    def __init__(self) -> None:
        self.lit: dict[str, str] = {}

    async def action(self, action: str, fields: Fields = (), *, timeout: float) -> Message:
        del timeout
        await asyncio.sleep(0)
        told = dict(fields.items() if isinstance(fields, Mapping) else fields)
        if action == "Setvar":
            agent = re.fullmatch(r"DEVICE_STATE\(Custom:agent(\d+)\)", told["Variable"])
            assert agent is not None
            self.lit[agent[1]] = told["Value"]
        return Message((("Response", "Success"), ("Value", "UNAVAILABLE")))

    async def action_list(
        self, action: str, fields: Fields = (), *, timeout: float, on_item: OnEvent | None = None
    ) -> list[Message]:
        raise NotImplementedError

    async def command(self, line: str, *, timeout: float) -> str:
        raise NotImplementedError


async def test_many_lamps_are_lit_and_one_asks_for_all_how_much_waits() -> None:
    """Else fifty would ask at a time, and Asterisk would do nothing but answer."""
    link, depths = Link(), [DEEP + 1, 0]
    asked = 0

    async def depth() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return depths.pop(0) if depths else 0

    policy = {f"agent/{agent}/{what}": agent for agent in AGENTS for what in ("id", "device")}
    lamps = Lamps(link, lambda path: policy.get(path, ""), lambda: AGENTS, depth, lambda: 0)
    for agent in AGENTS:
        lamps.on_policy(f"agent/{agent}/id", agent)
    running = asyncio.create_task(lamps.run())
    async with asyncio.timeout(10):
        while len(link.lit) < len(AGENTS):  # noqa: ASYNC110 - nothing tells when all are lit
            await asyncio.sleep(0.01)
    running.cancel()
    assert set(link.lit.values()) == {Lamp.AWAY}
    assert asked <= len(AGENTS) // AT_ONCE + 1
