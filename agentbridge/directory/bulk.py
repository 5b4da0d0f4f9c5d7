"""Many new agents at once: all of them, or what is wrong with which.

One statement for many rows costs the server a seventh of one for each, so the rows go in parts. A part that the
database refuses is halved until the row that it refused is alone, so that each error still has its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agentbridge.directory import admin
from agentbridge.directory.connecting import Connection, translated
from agentbridge.directory.kinds import AGENT, QUEUE, TEAM, Kind
from agentbridge.errors import Refused

ROWS_AT_ONCE = 500
ALL_QUEUES = "*"
MEMBERSHIPS = ("queues", "teams")
_PLACES = (("queue_members", "queue_id"), ("team_members", "team_id"))
Texts: TypeAlias = Mapping[str, str]
"""field → value as in a file; `queues` and `teams` are names with commas between them"""
Lines: TypeAlias = Sequence[tuple[int, Texts]]
Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    values: Mapping[str, admin.Value]
    queues: tuple[int, ...]
    teams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Names:
    """What a row may name."""

    fields: Mapping[str, str]
    """name → type"""
    queues: Mapping[str, int]
    teams: Mapping[str, int]

    def row(self, line: int, texts: Texts) -> _Row:
        if "username" not in texts:
            raise Refused("username: is missing")
        own = {name: text for name, text in texts.items() if name not in MEMBERSHIPS}
        queues, teams = (_split(texts.get(name, "")) for name in MEMBERSHIPS)
        return _Row(
            line,
            admin.parsed(self.fields, AGENT, own),
            _ids("queues", QUEUE, self.queues, self.queues if ALL_QUEUES in queues else queues),
            _ids("teams", TEAM, self.teams, teams),
        )


async def create_agents(
    connection: Connection, lines: Lines, *, at_most: int, progress: Progress
) -> list[tuple[int, str]]:
    """Line and reason of what can't be made, up to `at_most` of them; when there are any, roll back.

    progress: told how many rows were tried.
    """
    names = await _known(connection)
    rows, errors = _checked(names, lines)
    done = 0
    # who brings its number first: a generated one must not take it
    for part in _parts(sorted(rows, key=lambda row: "internal" not in row.values)):
        if len(errors) >= at_most:
            break
        await _insert(connection, names, part, errors)
        done += len(part)
        progress(done)
    return sorted(errors)[:at_most]


async def _known(connection: Connection) -> _Names:
    return _Names(
        await admin.fields(connection, AGENT),
        await admin.ids_by_key(connection, QUEUE),
        await admin.ids_by_key(connection, TEAM),
    )


def _checked(names: _Names, lines: Lines) -> tuple[list[_Row], list[tuple[int, str]]]:
    rows, errors = [], []
    for line, texts in lines:
        try:
            rows.append(names.row(line, texts))
        except Refused as refused:
            errors.append((line, str(refused)))
    return rows, errors


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _ids(field: str, kind: Kind, known: Mapping[str, int], names: Iterable[str]) -> tuple[int, ...]:
    wanted = dict.fromkeys(names)
    if missing := [name for name in wanted if name not in known]:
        raise Refused(f"{field}: there is no {kind.name} {', '.join(missing)}")
    return tuple(known[name] for name in wanted)


def _parts(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


# ---------------------------------------------------------------- in the database


async def _insert(connection: Connection, names: _Names, rows: Sequence[_Row], errors: list[tuple[int, str]]) -> None:
    try:
        await _insert_or_nothing(connection, names, rows)
    except Refused as refused:
        if len(rows) == 1:
            errors.append((rows[0].line, str(refused)))
            return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            await _insert(connection, names, part, errors)


async def _insert_or_nothing(connection: Connection, names: _Names, rows: Sequence[_Row]) -> None:
    await connection.execute("savepoint part")
    try:
        with translated():
            for alike in _alike(rows):
                await _insert_agents(connection, names, alike)
            await _join(connection, rows)
    except Refused:
        await connection.execute("rollback to part; release part")
        raise
    await connection.execute("release part")


def _alike(rows: Iterable[_Row]) -> Iterable[list[_Row]]:
    """Rows that name the same fields: those left out get the database's defaults."""
    groups: dict[frozenset[str], list[_Row]] = {}
    for row in rows:
        groups.setdefault(frozenset(row.values), []).append(row)
    return groups.values()


async def _insert_agents(connection: Connection, names: _Names, rows: Sequence[_Row]) -> None:
    """In the order of the rows."""
    columns = list(rows[0].values)
    listed = ", ".join(f'"{name}"' for name in columns)
    cast = ", ".join(_cast(name, names.fields[name]) for name in columns)
    arrays = ", ".join(f"${number}::text[]" for number in range(1, len(columns) + 1))
    await connection.execute(
        f"insert into agentbridge.agents ({listed}) select {cast}"  # noqa: S608 - checked by `admin.parsed`
        f" from unnest({arrays}) with ordinality r ({listed}, place) order by r.place",
        *([_text(row.values[name]) for row in rows] for name in columns),
    )


def _cast(name: str, type_: str) -> str:
    # an array of arrays must be as long in every row, and rows of codecs are not
    return f"string_to_array(r.\"{name}\", ',')" if type_ == "text[]" else f'r."{name}"::{type_}'


def _text(value: admin.Value) -> str | None:
    match value:
        case None:
            return None
        case list():
            return ",".join(value)
        case _:
            return str(value)


async def _join(connection: Connection, rows: Sequence[_Row]) -> None:
    for (table, column), members in zip(
        _PLACES,
        (
            [(str(row.values["username"]), queue) for row in rows for queue in row.queues],
            [(str(row.values["username"]), team) for row in rows for team in row.teams],
        ),
        strict=True,
    ):
        if members:
            await connection.execute(
                f"insert into agentbridge.{table} (agent_id, {column})"  # noqa: S608 - names of this module
                " select a.id, m.place from unnest($1::text[], $2::bigint[]) m (username, place)"
                " join agentbridge.agents a using (username)",
                [username for username, _ in members],
                [place for _, place in members],
            )
