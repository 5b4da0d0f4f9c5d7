"""`python -m tests.bench [FIGURES.json] [--against FILE.json] [--agents N]`: one table, and the figures as JSON.

What is done is in the JSON at once, so that a run that is stopped leaves what it has. `--against` puts the figures of
an earlier run, such as one of another commit on the same machine, beside those of this one: with their ratio, and
whether that lies within the band in which two runs of the same code differ.
"""

import argparse
import asyncio
import json
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.asterisk import cache_folder, installed_root, version_of
from lab.postgres import server_programs
from lab.processes import run
from tests.bench import latency, mass, wrong
from tests.bench.peers.running import AGENTBRIDGE, BARE, ORDINARY, REALTIME

PEERS = (AGENTBRIDGE, ORDINARY, BARE, REALTIME)
BAND = 0.15
"""by which two runs of the same code differ at least; where the turns of one run scatter more, that counts"""
IDLE_SECONDS = 125.0
TITLE = "less is better; the mass figures of scripts compare nothing, the bare one's keeps the limit"
Figures = dict[str, dict[str, float]]
"""row → column → figure; less is better in each"""
Part = tuple[str, Callable[[], Awaitable[object]]]


class Notes:
    """The JSON, written anew after each part."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path = path
        self.parts: dict[str, Any] = dict(about)

    def add(self, name: str, figures: object, seconds: float) -> None:
        self.parts[name] = plain(figures)
        self.parts[f"{name}: seconds, load average"] = [round(seconds), *os.getloadavg()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.parts, indent=2) + "\n")


def plain(value: object) -> Any:
    """Returns what JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


async def about() -> dict[str, Any]:
    """Machine, load and versions."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": (await run("git", "describe", "--always", "--dirty")).strip(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "kernel": platform.release()},
        "load": os.getloadavg(),
        "versions": {
            "python": platform.python_version(),
            "asterisk": version_of(installed_root()),
            "postgresql": (await run(str(server_programs() / "postgres"), "--version")).split()[-1],
            **{name: version(name) for name in ("asyncpg", "panoramisk")},
        },
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def rows(parts: Mapping[str, Any]) -> Figures:
    """The rows of the table, from the JSON of a run."""
    return dict((*_latencies(parts), *_masses(parts), *_wrongs(parts)))


def _latencies(parts: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    for row in parts.get("latency", []):
        for cut in ("p50", "p99"):
            columns = {peer: figures[cut] for peer, figures in row["figures"].items()}
            yield f"one change, {row['condition']['name']}, {cut} (ms)", columns


def _masses(parts: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    if not (day := parts.get("mass")):
        return
    agents, shift = f"{day['agents']:,}", f"{day['logged_in']:,}"
    yield f"cold start of {agents} (s)", {AGENTBRIDGE: day["cold_start"]["settled_s"], ORDINARY: day["pushed_s"]}
    yield (
        f"import of {agents} beside as many (s)",
        {
            AGENTBRIDGE: day["imported"]["load"]["settled_s"],
            ORDINARY: day["pushed_import_s"],
        },
    )
    for when in ("start", "end"):
        ours, blast, paced = (day[f"{how}_{when}"] for how in ("shift", "unpaced", "paced"))
        for figure, name in (("settled_s", "s"), ("deepest", "deepest task processor"), ("lost", "calls lost")):
            yield (
                f"shift {when} of {shift} ({name})",
                {
                    AGENTBRIDGE: ours[figure],
                    ORDINARY: blast[figure],
                    BARE: paced[figure],
                },
            )
    yield "idle (% of a core more than without)", {AGENTBRIDGE: day["idle"]["more_percent"]}
    yield "memory after the cold start (MB)", {AGENTBRIDGE: day["rss_mb"]}
    yield "a full comparison without a difference (s)", {AGENTBRIDGE: day["resync"]["seconds"]}


WRONG = {
    "lost_changes": f"wrong: agents after {wrong.WRITERS} writers",
    "ringing_on_pause": f"wrong: of {wrong.RINGING} phones that ring on after a pause",
    "after_asterisk": "wrong: members after Asterisk crashed",
    "while_postgresql_away": "wrong: members while PostgreSQL is away",
    "after_postgresql": f"wrong: of {wrong.RINGING} pauses after PostgreSQL was away",
}


def _wrongs(parts: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    if found := parts.get("wrong"):
        for field, name in WRONG.items():
            yield name, {peer: counts[field] for peer, counts in found.items() if counts[field] is not None}


def table(parts: Mapping[str, Any]) -> Table:
    shown = Table(title=TITLE)
    shown.add_column("")
    for peer in (*PEERS, "of ordinary", "of bare"):
        shown.add_column(peer, justify="right")
    for name, columns in rows(parts).items():
        figures = [f"{columns[peer]:g}" if peer in columns else "" for peer in PEERS]
        shown.add_row(name, *figures, _ratio(columns, ORDINARY), _ratio(columns, BARE))
    return shown


def _ratio(columns: Mapping[str, float], peer: str) -> str:
    return f"{columns[AGENTBRIDGE] / columns[peer]:.2f}" if columns.get(peer) else ""


def compared(parts: Mapping[str, Any], earlier: Mapping[str, Any]) -> Table:
    """Of each row: then, now, the ratio, and whether that is more than noise.

    Of a latency the ratio to the ordinary script is compared, then and now: the machine may have been busier.
    """
    shown = Table(title=f"against {earlier.get('commit', '?')} of {earlier.get('at', '?')}")
    for column in ("", "then", "now", "ratio", "band", ""):
        shown.add_column(column, justify="right" if column else "left")
    before = rows(earlier)
    for name, columns in rows(parts).items():
        then, now = _relative(before.get(name, {})), _relative(columns)
        if then is None or now is None:
            continue
        ratio, band = (now / then if then else float(now > 0)), max(band_of(name, parts), band_of(name, earlier))
        verdict = "" if not then or abs(ratio - 1) <= band else "better" if ratio < 1 else "worse"
        shown.add_row(name, f"{then:.3g}", f"{now:.3g}", f"{ratio:.2f}", f"±{band:.2f}", verdict)
    return shown


def _relative(columns: Mapping[str, float]) -> float | None:
    """Returns the daemon's figure of a row, as a multiple of the ordinary script's where there is one."""
    if AGENTBRIDGE not in columns:
        return None
    return columns[AGENTBRIDGE] / columns[ORDINARY] if columns.get(ORDINARY) else columns[AGENTBRIDGE]


def band_of(name: str, parts: Mapping[str, Any]) -> float:
    """How much the row may differ without a reason: by how much its turns differed from one another."""
    for row in parts.get("latency", []):
        if row["condition"]["name"] in name and (turns := row["turns"].get(AGENTBRIDGE)):
            turns = sorted(turns)
            quarter = len(turns) // 4
            return max(BAND, (turns[-1 - quarter] - turns[quarter]) / (2 * turns[len(turns) // 2]))
    return BAND


async def main(path: Path, agents: int, only: list[str]) -> dict[str, Any]:
    notes = Notes(path, await about())
    parts: tuple[Part, ...] = (
        ("latency", lambda: latency.measure(tell=lambda rows: notes.add("latency", rows, 0.0))),
        ("wrong", wrong.measure),
        ("mass", lambda: mass.measure(agents, IDLE_SECONDS)),
    )
    for name, measure in parts:
        if not only or name in only:
            started = time.perf_counter()
            found = await measure()
            notes.add(name, found, time.perf_counter() - started)
    return notes.parts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "json", nargs="?", type=Path, default=cache_folder() / "bench.json", help="where the figures go"
    )
    parser.add_argument("--against", type=Path, help="the figures of an earlier run")
    parser.add_argument("--agents", type=int, default=mass.AGENTS, help="how large the centre of the mass figures is")
    parser.add_argument("--only", action="append", default=[], choices=("latency", "wrong", "mass"))
    given = parser.parse_args()
    console = Console(width=160)
    figures = asyncio.run(main(given.json, given.agents, given.only))
    console.print(table(figures))
    if given.against:
        console.print(compared(figures, json.loads(given.against.read_text())))
    console.print(f"the figures are in {given.json}")
