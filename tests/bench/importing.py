"""As many new agents from a file as there are already, in a call centre at work.

`python -m tests.bench.importing [AGENTS]`
"""

import asyncio
import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.stand import OF_EACH, QUEUES, WITHIN_S, Load, Stand

AGENTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """`command_s`: the command alone; `load`: from its start until all are in Asterisk."""

    agents: int
    command_s: float
    load: Load
    rss_mb_before: float
    rss_mb_after: float


def write_file(path: Path, agents: int) -> None:
    with path.open("w", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(("username", "full_name", "email", "queues"))
        for n in range(agents):
            queues = ",".join(f"queue{(n + k) % len(QUEUES)}" for k in range(OF_EACH))
            rows.writerow((f"new{n}", f"New Agent {n}", f"new{n}@example.com", queues))


async def measure(agents: int = AGENTS) -> Import:
    """Measures an import into a centre at work."""
    async with Stand(numbers=2 * agents + 100) as stand:
        await stand.people(agents)
        await stand.login_at_once(0, agents // 5)
        await stand.bridge.start(within=WITHIN_S)
        await stand.settled()
        await stand.processors.idle(within=WITHIN_S)
        return await imported(stand, agents)


async def imported(stand: Stand, agents: int) -> Import:
    """Imports so many agents by the command and measures it."""
    file = stand.bridge.dir / "new.csv"
    write_file(file, agents)
    before = stand.rss_mb()
    async with stand.measured() as measure:
        started = time.perf_counter()
        await stand.bridge.cli("agent", "import", str(file), within=WITHIN_S)
        command_s = time.perf_counter() - started
        await measure.done()
    return Import(
        agents=agents,
        command_s=round(command_s, 2),
        load=measure.load(),
        rss_mb_before=before,
        rss_mb_after=stand.rss_mb(),
    )


def main() -> None:
    print(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else AGENTS)))


if __name__ == "__main__":
    main()
