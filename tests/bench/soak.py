"""Changes and calls for as long as is asked: does the daemon grow?

`python -m tests.bench.soak [MINUTES] [FILE.json]`. Five changes a second among 1,000 agents, 200 of them logged
in: pauses, logins and logouts, new penalties, other names. Two customers a second. The daemon's memory and
descriptors are noted every ten seconds; the first tenth is warming up.
"""

import asyncio
import itertools
import json
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from lab.sipp import Customers
from tests.bench.stand import WITHIN_S, Stand

AGENTS, LOGGED_IN = 1000, 200
CHANGES_A_SECOND = 5.0
SAMPLE_S = 10.0
MINUTES = 60.0
PRESENT = "FROM agentbridge.agents a JOIN agentbridge.sessions s ON s.agent_id = a.id WHERE username = $1"
ABSENT = """
SELECT a.username FROM agentbridge.agents a LEFT JOIN agentbridge.sessions s ON s.agent_id = a.id
WHERE s.agent_id IS NULL AND a.username = $1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """Megabytes and descriptors: the medians of the first and the last fifth after warming up."""

    minutes: float
    changes: int
    calls: int
    lost: int
    rss_mb_first: float
    rss_mb_last: float
    growth_percent: float
    descriptors_first: float
    descriptors_last: float
    failed: int


async def measure(minutes: float = MINUTES) -> Soak:
    """Runs changes and calls for so many minutes, and judges whether the daemon grew."""
    async with Stand(numbers=AGENTS + 100) as stand:
        await stand.people(AGENTS)
        await stand.login_at_once(0, LOGGED_IN)
        await stand.bridge.start(within=WITHIN_S)
        await stand.settled()
        async with Customers(stand.asterisk) as customers:
            changes, samples = await _soaked(stand, minutes * 60)
            heard = await customers.heard()
        await stand.settled()
        return _judged(minutes, changes, samples, heard.answered, heard.lost, await _failed(stand))


async def _soaked(stand: Stand, seconds: float) -> tuple[int, list[tuple[float, int]]]:
    """Makes changes for so many seconds; returns how many, and the samples of memory and descriptors."""
    process = psutil.Process(stand.bridge.pid)
    chance = random.Random(1)
    samples: list[tuple[float, int]] = []
    started = time.perf_counter()
    for number in itertools.count(1):
        await _change(stand, chance)
        now = time.perf_counter() - started
        if now >= SAMPLE_S * (len(samples) + 1):
            samples.append((process.memory_info().rss / 1e6, process.num_fds()))
        if now >= seconds:
            return number, samples
        await asyncio.sleep(max(0.0, number / CHANGES_A_SECOND - now))
    raise AssertionError("itertools.count ended")


async def _change(stand: Stand, chance: random.Random) -> None:
    agent = f"agent{chance.randrange(LOGGED_IN)}"
    match chance.randrange(5):
        case 0:
            pause = f"SELECT agentbridge.pause(username, $2, source => 'admin') {PRESENT}"
            await stand.db.execute(pause, agent, chance.choice("abc"))
        case 1:
            await stand.db.execute(f"SELECT agentbridge.unpause(username, source => 'admin') {PRESENT}", agent)
        case 2:
            await stand.db.execute("SELECT agentbridge.logout($1, source => 'admin')", agent)
        case 3:
            await stand.db.execute(
                "UPDATE agentbridge.queue_members m SET penalty = $2 FROM agentbridge.agents a"
                " WHERE a.id = m.agent_id AND a.username = $1",
                agent,
                chance.randrange(9),
            )
        case _:
            await stand.db.execute(
                "UPDATE agentbridge.agents SET alias = $2 WHERE username = $1", agent, f"Alias {chance.random():.6f}"
            )
    # most are at work: whoever was logged out comes back sooner or later
    back = await stand.db.fetchval(ABSENT, f"agent{chance.randrange(LOGGED_IN)}")
    if back is not None:
        await stand.db.execute("SELECT agentbridge.login($1, source => 'admin')", back)


async def _failed(stand: Stand) -> int:
    count: int = await stand.db.fetchval("SELECT count(*) FROM agentbridge.agent_status WHERE error IS NOT NULL")
    return count


def _judged(minutes: float, changes: int, samples: list[tuple[float, int]], calls: int, lost: int, failed: int) -> Soak:
    warm = samples[len(samples) // 10 :]
    fifth = max(1, len(warm) // 5)
    first, last = warm[:fifth], warm[-fifth:]
    rss = [statistics.median(rss for rss, _ in part) for part in (first, last)]
    return Soak(
        minutes=minutes,
        changes=changes,
        calls=calls,
        lost=lost,
        rss_mb_first=round(rss[0], 1),
        rss_mb_last=round(rss[1], 1),
        growth_percent=round(100 * (rss[1] / rss[0] - 1), 2),
        descriptors_first=statistics.median(count for _, count in first),
        descriptors_last=statistics.median(count for _, count in last),
        failed=failed,
    )


def main() -> None:
    found = asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES))
    text = json.dumps(asdict(found), indent=2)
    print(text)
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text + "\n")


if __name__ == "__main__":
    main()
