"""What reading an agent's policy costs a call: loops of the dialplan, while 20 customers a second call."""

import asyncio
from dataclasses import dataclass

from lab.asterisk import Asterisk
from lab.manager import Manager
from lab.sipp import Customers

CALLS_PER_SECOND = 20.0
READS = 1000
LOOPS = 7
WITHIN_S = 60.0
# `policy`: what agentbridge-before-ring and agentbridge-member-answer ask of it, without a telephone
DIALPLAN = f"""
[bench]
exten => bare,1,Gosub(loop,s,1(nothing))
exten => read,1,Gosub(loop,s,1(one))
exten => policy,1,Gosub(loop,s,1(all))
[nothing]
exten => s,1,Return()
[one]
exten => s,1,Set(LOCAL(value)=${{DB(agentbridge/agent/1001/record)}})
 same => n,Return()
[all]
exten => s,1,Set(AGENTBRIDGE_POLICY=agentbridge/agent/1001)
 same => n,Gosub(agentbridge-ask-pause,s,1(1001,1001))
 same => n,Gosub(agentbridge-mask-to-agent,s,1)
 same => n,Gosub(agentbridge-allow-listening,s,1)
 same => n,Return()
[loop]
exten => s,1,Set(turn=0)
 same => n,Set(begun=${{STRFTIME(,,%s.%6q)}})
 same => n(again),Gosub(${{ARG1}},s,1)
 same => n,Set(turn=${{INC(turn)}})
 same => n,GotoIf($[${{turn}} < {READS}]?again)
 same => n,UserEvent(BenchEnded,Begun: ${{begun}},Ended: ${{STRFTIME(,,%s.%6q)}})
 same => n,Return()
"""
AGENT = {"id": "1", "device": "1001", "record": "wav", "chanspy": "1", "mask": "4", "queues": "sales"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The microseconds of one look at the policy: the median of the loops, and the worst loop's mean."""

    median: float
    worst: float


async def measure() -> dict[str, Cost]:
    """Measures what reading an agent's policy costs the dialplan."""
    async with Asterisk(queues={"sales": {}}, extra={"extensions.conf": DIALPLAN}) as asterisk:
        for name, value in AGENT.items():
            await asterisk.cli(f"database put agentbridge agent/1001/{name} {value}")
        await asterisk.cli("queue add member PJSIP/1001 to sales")
        async with Customers(asterisk, rate=CALLS_PER_SECOND), Manager(asterisk, events="user") as manager:
            return {name: await _cost(asterisk, manager, name) for name in ("bare", "read", "policy")}


async def _cost(asterisk: Asterisk, manager: Manager, name: str) -> Cost:
    turns = sorted([await _loop(asterisk, manager, name) / READS * 1e6 for _ in range(LOOPS)])
    return Cost(median=round(turns[LOOPS // 2], 1), worst=round(turns[-1], 1))


async def _loop(asterisk: Asterisk, manager: Manager, name: str) -> float:
    """Runs the loop in a call; returns its seconds by Asterisk's own clock."""
    await asterisk.cli(f"channel originate Local/{name}@bench/n application NoOp")
    async with asyncio.timeout(WITHIN_S):
        while (event := await manager.read()).get("UserEvent") != "BenchEnded":
            pass
    return float(event["Ended"]) - float(event["Begun"])


if __name__ == "__main__":
    print(asyncio.run(measure()))
