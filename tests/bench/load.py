"""The long part of the bench, as tables and JSON: rates, days of three sizes, an import, triggers, a soak.

`python -m tests.bench.load [JSON] [SOAK_MINUTES]`. What is done is in the JSON at once, so that a run that is
stopped leaves what it has; `python -m tests.bench.curve JSON SVG` draws the growth. Without a path it is
`bench.json` in the project's cache folder.
"""

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

from lab.asterisk import cache_folder
from tests.bench import importing, rates, shift, soak, triggers

SIZES = (1000, 3000, 10_000)
SOAK_MINUTES = 10.0
console = Console()


class Notes:
    """The JSON file of results, written anew after each part."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.parts: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        }

    def add(self, name: str, figures: Any) -> None:
        self.parts[name] = figures
        self.parts[f"{name}: load average after it"] = os.getloadavg()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.parts, indent=2) + "\n")


def _print(title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)


def print_rates(found: list[rates.Row]) -> None:
    _print(
        "COMMIT → Asterisk has it (ms), and how many times the bare script's",
        ("members", "changes/s", "p50", "p99", "bare p50", "bare p99", "ratio p50", "ratio p99"),
        [
            (r.members, r.rate, r.ours.p50, r.ours.p99, r.bare.p50, r.bare.p99, *r.ratios)
            for r in found
        ],
    )  # fmt: skip


def print_days(found: list[shift.Day]) -> None:
    _print(
        "Until it is in Asterisk (s), deepest task processor, calls lost",
        ("agents", "what", "applied", "settled", "deepest", "calls", "lost"),
        [
            (day.agents, name, load.applied_s, load.settled_s, load.deepest, load.calls, load.lost)
            for day in found
            for name, load in (
                ("cold start", day.cold_start),
                (f"{day.logged_in} log in within {shift.LOGIN_WITHIN_S:g} s", day.shift),
                ("the same, unpaced", day.unpaced),
            )
        ],
    )
    _print(
        "A resync without a difference",
        ("agents", "writes", "seconds", "longest stall (ms)", "RSS (MB)", "RSS of the daemon (MB)"),
        [
            (day.agents, r.writes, r.seconds, r.longest_stall_ms, r.rss_mb, day.rss_mb)
            for day in found
            for r in (day.resync,)
        ],
    )


def print_triggers(found: dict[str, triggers.Cost]) -> None:
    columns = ("what", "with triggers", "without", "ratio")
    rows = [(name, cost.with_triggers, cost.without, cost.ratio) for name, cost in found.items()]
    _print("What the hints cost the writer", columns, [tuple(row) for row in rows])


async def main(path: Path, soak_minutes: float) -> None:
    notes = Notes(path)
    costs = await triggers.measure()
    notes.add("triggers", {name: asdict(cost) for name, cost in costs.items()})
    print_triggers(costs)
    changes = await rates.measure()
    notes.add("rates", [{**asdict(row), "ratios": row.ratios} for row in changes])
    print_rates(changes)
    days: list[shift.Day] = []
    for size in SIZES:
        days.append(await shift.measure(size))
        notes.add("days", [asdict(day) for day in days])
    print_days(days)
    imported = await importing.measure()
    notes.add("import", asdict(imported))
    console.print(imported)
    soaked = await soak.measure(soak_minutes)
    notes.add("soak", asdict(soaked))
    console.print(soaked)
    console.print(f"the figures are in {path}")


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(
        main(
            Path(given[0]) if given else cache_folder() / "bench.json",
            float(given[1]) if len(given) > 1 else SOAK_MINUTES,
        )
    )
