"""What `agentbridge watch` shows: agents and queues as they are now, read from the directory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from agentbridge.cli.options import acting_user, connected
from agentbridge.cli.output import line, printable
from agentbridge.directory.connecting import Connection, translated
from agentbridge.settings import DirectorySettings

CHANNEL = "agentbridge_live"
TICK_SECONDS = 1.0
"""the durations go on without any news"""
NOT_MORE_OFTEN_SECONDS = 0.1
STYLES = {
    "ready": "green",
    "ringing": "yellow",
    "talking": "cyan",
    "held": "magenta",
    "wrapup": "blue",
    "paused": "red",
    "unreachable": "bold red",
    "unknown": "dim",
}
# An agent has a row for each node; the one with a contact counts. An empty user may see everybody.
_AGENTS = """
select distinct on (l.username) l.username, case when l.stale then 'unknown' else l.state end as state, l.since,
    (select string_agg(distinct p.value, ', ') from jsonb_each_text(l.pauses) p) as pauses, l.device, l.node,
    (select string_agg(case when c.number = '' then c.direction else c.direction || ' ' || c.number end
            || case c.recording when 'none' then '' else ' (recording ' || c.recording || ')' end, ', ')
        from agentbridge.live_running_calls c where c.node = l.node and c.internal = l.internal) as calls
from agentbridge.live_agent_states l
where l.username <> '' and (l.state <> 'offline' or $3) and ($1 = '' or agentbridge.may_manage($1, l.username)
        or agentbridge.may_listen($1, l.username))
    and ($2 = '' or exists (select from agentbridge.agents a
        join agentbridge.effective_members m on m.agent_id = a.id join agentbridge.queues q on q.id = m.queue_id
        where a.username = l.username and q.address = $2))
order by l.username, l.contact desc, l.node
"""
_QUEUES = """
select l.queue, sum(l.waiting)::int as waiting, min(l.longest_since) as longest_since, sum(l.ready)::int as ready,
    sum(l.paused)::int as paused, sum(l.talking)::int as talking, sum(l.answered)::int as answered,
    sum(l.abandoned)::int as abandoned, sum(l.in_level)::int as in_level, bool_or(l.stale) as stale,
    max(l.level_seconds) as level_seconds
from agentbridge.live_queue_states l
where ($2 = '' or l.queue = lower($2)) and ($1 = '' or exists (select from agentbridge.user_queues u
    join agentbridge.queues q on q.id = u.queue_id
    where u.username = $1 and lower(q.name) = l.queue and q.channel = 'voice')
    or exists (select from agentbridge.users u where u.username = $1 and u.role = 'admin'))
group by l.queue order by l.queue
"""

# Those that are not well.
_NODES = "select node, state, trouble from agentbridge.node_status where state in ('ill', 'lost') order by node"


async def show(settings: DirectorySettings, queue: str, *, offline: bool, once: bool) -> None:
    """Prints agents and queues in the terminal until it is interrupted; with `once` a single time."""
    console = Console()
    async with connected(settings) as connection:
        if once:
            frame = await _frame(connection, queue, offline=offline, rows=None)
            if console.is_terminal:
                console.print(frame)
            else:
                _print_columns(frame)
            return
        news = asyncio.Event()
        with translated():
            await connection.add_listener(CHANNEL, lambda *_: news.set())
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                news.clear()
                rows = max(5, console.size.height - 10)
                live.update(await _frame(connection, queue, offline=offline, rows=rows), refresh=True)
                await asyncio.sleep(NOT_MORE_OFTEN_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await news.wait()


async def _frame(connection: Connection, queue: str, *, offline: bool, rows: int | None) -> Group:
    """Returns what the screen shows now. rows: how many fit on the screen; None for all."""
    user = acting_user() or ""
    with translated():
        now: datetime = await connection.fetchval("select clock_timestamp()")
        queues = [dict(row) for row in await connection.fetch(_QUEUES, user, queue)]
        agents = [dict(row) for row in await connection.fetch(_AGENTS, user, queue, offline)]
        ill = [
            Text(f"node {row['node']} is {row['state']}: {row['trouble']}", style="bold red")
            for row in await connection.fetch(_NODES)
        ]
    room = None if rows is None else max(1, rows - min(len(queues), rows // 2))
    return Group(*ill, _queues(queues if rows is None else queues[: rows // 2], now), *_agents(agents, now, room))


def _print_columns(frame: Group) -> None:
    """Prints the frame for other programs: each table's fields separated by tabs, an empty line between the tables."""
    for number, part in enumerate(frame.renderables):
        if not isinstance(part, Table):
            line(str(part))
            continue
        if number:
            line("")
        line("\t".join(str(column.header) for column in part.columns))
        for cells in zip(*(column.cells for column in part.columns), strict=True):
            line("\t".join(map(str, cells)))


def _queues(rows: Sequence[Mapping[str, Any]], now: datetime) -> Table:
    """Makes the table of the queues."""
    names = ("queue", "waiting", "longest", "ready", "talking", "paused", "answered", "abandoned", "service level")
    table = Table(*(Column(name, no_wrap=True) for name in names), box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        style = "dim" if row["stale"] else "yellow" if row["waiting"] else ""
        longest = _lasted(row["longest_since"], now) if row["longest_since"] else ""
        level = f"{100 * row['in_level'] // row['answered']} %" if row["answered"] and row["level_seconds"] else ""
        counts = (row[name] for name in ("ready", "talking", "paused", "answered", "abandoned"))
        cells = (printable(row["queue"]), str(row["waiting"]), longest, *map(str, counts), level)
        table.add_row(*map(Text, cells), style=style)
    return table


def _agents(rows: Sequence[Mapping[str, Any]], now: datetime, room: int | None) -> list[Table | Text]:
    """Makes the table of the agents, with as many as there is room for."""
    names = ("agent", "state", "for", "at", "call or pause")
    table = Table(*(Column(name, no_wrap=True) for name in names), box=SIMPLE_HEAD, pad_edge=False)
    shown = rows if room is None else rows[:room]
    for row in shown:
        reason = row["calls"] or row["pauses"] or ""
        cells = (row["username"], row["state"], _lasted(row["since"], now), row["device"], reason)
        table.add_row(*(Text(printable(cell)) for cell in cells), style=STYLES.get(row["state"], ""))
    more = len(rows) - len(shown)
    return [table, Text(f"and {more} more agents; --queue shows fewer", style="dim")] if more else [table]


def _lasted(since: datetime, now: datetime) -> str:
    """Returns the time since then as minutes and seconds."""
    seconds = max(0, int((now - since).total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours}:{minutes % 60:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
