"""From 'log out' or 'pause' to a silent phone, while it rings for a queue.

`python -m tests.bench.silence [ROUNDS]`. The clock runs from the moment the statement is sent until the phone gets its
CANCEL. fsync is on.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from agentbridge.reconcile.work_queue import REST_SECONDS
from lab.phones import Call, Ring
from lab.postgres import Postgres
from tests.acceptance.centre import Centre

ROUNDS = 100
WITHIN_S = 10.0
Act = Callable[[Centre], Awaitable[object]]
ACTS: dict[str, Act] = {
    "log out": lambda centre: centre.logout("ana"),
    "pause": lambda centre: centre.pause("ana", "lunch"),
}


async def measure(rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Returns p50, p99 and the worst, in milliseconds, for each way to stop a ringing phone."""
    async with Postgres(fsync=True) as postgres, Centre(postgres, queues={"sales": {"timeout": "60"}}) as centre:
        await centre.agent("ana", "sales")
        await centre.login("ana")
        await centre.settled()
        [phone] = await centre.phones(["ana"])
        phone.behaviour = Ring()
        customer = await centre.caller()
        figures = {}
        for name, act in ACTS.items():
            taken = []
            for _ in range(rounds):
                call = await customer.call("sales", WITHIN_S)
                ringing = await phone.rings(WITHIN_S)
                began = time.perf_counter()
                await act(centre)
                await ringing.ended(WITHIN_S)
                taken.append(time.perf_counter() - began)
                await _begin_again(centre, call)
            cuts = statistics.quantiles(taken, n=100, method="inclusive")
            figures[name] = {
                "p50": round(cuts[49] * 1000, 1),
                "p99": round(cuts[98] * 1000, 1),
                "worst": round(max(taken) * 1000, 1),
            }
        return figures


async def _begin_again(centre: Centre, call: Call) -> None:
    """Ends the customer's call; the agent works again, for so long that its key does not rest at the next change."""
    await call.hangup()
    await centre.login("ana")
    await centre.unpause("ana")
    await centre.settled()
    await asyncio.sleep(REST_SECONDS)


def main() -> None:
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)), indent=2))


if __name__ == "__main__":
    main()
