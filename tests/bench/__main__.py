"""`python -m tests.bench [results.json]`: a table on standard output, and the figures as JSON when asked."""

import asyncio
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import latency, policy, resync

GOALS = {"p50": 1.3, "p99": 2.0}


def latency_table(found: dict[str, latency.Figures]) -> Table:
    table = Table(title="COMMIT of a pause → Asterisk has it (ms)")
    for column in ("", "count", "p50", "p90", "p99", "worst"):
        table.add_column(column, justify="right" if column else "left")
    for name, figures in found.items():
        table.add_row(name, *(str(value) for value in asdict(figures).values()))
    table.add_row("ratio", "", *(f"{value:.2f}" if value else "" for value in _ratios(found).values()), "")
    return table


def _ratios(found: dict[str, latency.Figures]) -> dict[str, float]:
    ours, bare = found["agentbridge"], found["bare script"]
    return {name: getattr(ours, name) / getattr(bare, name) for name in ("p50", "p90", "p99")}


def resync_table(found: resync.Resync) -> Table:
    table = Table(title="Resync without differences")
    for column in ("what", "figure"):
        table.add_column(column)
    for name, value in asdict(found).items():
        table.add_row(name, str(value))
    return table


def policy_table(found: dict[str, policy.Cost]) -> Table:
    table = Table(title=f"A turn of the dialplan at {policy.CALLS_PER_SECOND:g} calls a second (µs)")
    for column in ("", "median", "worst"):
        table.add_column(column, justify="right" if column else "left")
    for name, cost in found.items():
        table.add_row(name, str(cost.median), str(cost.worst))
    return table


async def main() -> dict[str, Any]:
    console = Console()
    pauses = await latency.measure()
    console.print(latency_table(pauses))
    console.print(f"goals: ratio p50 at most {GOALS['p50']}, p99 at most {GOALS['p99']}")
    resynced = await resync.measure()
    console.print(resync_table(resynced))
    turns = await policy.measure()
    console.print(policy_table(turns))
    return _document(pauses, resynced, turns)


def _document(
    pauses: dict[str, latency.Figures], resynced: resync.Resync, turns: dict[str, policy.Cost]
) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "pause": {name: asdict(figures) for name, figures in pauses.items()},
        "ratio": _ratios(pauses),
        "resync": asdict(resynced),
        "policy": {name: asdict(cost) for name, cost in turns.items()},
    }


if __name__ == "__main__":
    figures = asyncio.run(main())
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(figures, indent=2) + "\n")
