"""Many new agents at once: all of them, or what is wrong with which.

One statement for many rows costs the server a seventh of one for each, so the rows go in parts. A part that the
database refuses is halved until the row that it refused is alone, so that each error still has its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from agentbridge.directory import admin, cells
from agentbridge.directory.connecting import Connection, translated
from agentbridge.directory.kinds import AGENT, QUEUE, TEAM, Kind
from agentbridge.directory.values import Value, column_type, parsed
from agentbridge.errors import Refused

ROWS_AT_ONCE = 500
HEADER = 1
"""the line that names the fields"""
ALL_QUEUES = "*"
MEMBERSHIPS = ("queues", "teams")
Texts: TypeAlias = Mapping[str, str]
"""field → value as in a file; `queues` and `teams` are names with commas between them, and a name with a comma in it
stands in quotes; a queue's penalty follows its name, as in `sales:2`"""
Lines: TypeAlias = Sequence[tuple[int, Texts]]
Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of an import, with the names of queues and teams resolved to row ids."""

    line: int
    values: Mapping[str, Value]
    queues: tuple[tuple[int, int], ...]
    """id and penalty"""
    teams: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Names:
    """The fields, queues and teams that exist and that a line of an import can name."""

    fields: Mapping[str, str]
    """name → type"""
    queues: Mapping[str, int]
    teams: Mapping[str, int]

    def row(self, line: int, texts: Texts) -> _Row:
        """Checks a line and resolves its names. Raises Refused for an unknown name, field, or wrong value."""
        if "username" not in texts:
            raise Refused("username: is missing")
        own = {name: text for name, text in texts.items() if name not in MEMBERSHIPS}
        queues, teams = (cells.names_in(name, texts.get(name, "")) for name in MEMBERSHIPS)
        penalties = dict(map(_with_penalty, queues))
        if ALL_QUEUES in penalties:
            penalties = {name: penalties.get(name, penalties[ALL_QUEUES]) for name in self.queues}
        return _Row(
            line,
            parsed(self.fields, AGENT, own),
            tuple(zip(_ids("queues", QUEUE, self.queues, penalties), penalties.values(), strict=True)),
            _ids("teams", TEAM, self.teams, teams),
        )


async def create_agents(
    connection: Connection, lines: Lines, *, at_most: int, progress: Progress
) -> list[tuple[int, str]]:
    """Creates the agents of an import; returns line and reason of those that can't be created, at most `at_most` of
    them.

    When it returns any, the caller must roll back. progress: called with the number of rows tried.
    """
    names = await _known_names(connection)
    rows, errors = _check_lines(names, lines)
    done = 0
    # who brings its number first: a generated one must not take it
    for part in _parts(sorted(rows, key=lambda row: "internal" not in row.values)):
        if len(errors) >= at_most:
            break
        await _insert(connection, names, part, errors)
        done += len(part)
        progress(done)
    return sorted(errors)[:at_most]


async def _known_names(connection: Connection) -> _Names:
    """Returns the fields, queues and teams that an import can name."""
    return _Names(
        await admin.fields(connection, AGENT),
        await admin.ids_by_key(connection, QUEUE),
        await admin.ids_by_key(connection, TEAM),
    )


def _check_lines(names: _Names, lines: Lines) -> tuple[list[_Row], list[tuple[int, str]]]:
    """Checks all lines; returns the rows that can be imported, and number and reason of the lines that can't.

    A field that can't be imported is an error of the first line, which names it, and is told once.
    """
    wrong = _wrong_fields(names, lines)
    rows, errors = [], [(HEADER, reason) for reason in wrong.values()]
    for line, texts in lines:
        try:
            rows.append(names.row(line, {name: text for name, text in texts.items() if name not in wrong}))
        except Refused as refused:
            errors.append((line, str(refused)))
    return rows, errors


def _wrong_fields(names: _Names, lines: Lines) -> dict[str, str]:
    """Returns the fields of the lines that can't be imported, with the reason of each."""
    wrong = {}
    for name in dict.fromkeys(name for _, texts in lines for name in texts if name not in MEMBERSHIPS):
        try:
            column_type(names.fields, AGENT, name)
        except Refused as refused:
            wrong[name] = str(refused)
    return wrong


def _with_penalty(text: str) -> tuple[str, int]:
    """Splits `sales:2` into the queue's name and its penalty; no queue's name has a colon. Raises Refused for a wrong
    penalty."""
    name, colon, penalty = text.partition(":")
    if colon and not (penalty.isdecimal() and len(penalty) < 6):
        raise Refused(f"queues: the penalty behind {name}: must be a whole number (got {penalty})")
    return name, int(penalty or 0)


def _ids(field: str, kind: Kind, known: Mapping[str, int], names: Iterable[str]) -> tuple[int, ...]:
    """Returns the row ids of the names. Raises Refused for unknown ones."""
    wanted = dict.fromkeys(names)
    if missing := [name for name in wanted if name not in known]:
        raise Refused(f"{field}: there is no {kind.name} {', '.join(missing)}")
    return tuple(known[name] for name in wanted)


def _parts(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


# ---------------------------------------------------------------- in the database


async def _insert(connection: Connection, names: _Names, rows: Sequence[_Row], errors: list[tuple[int, str]]) -> None:
    """Inserts the rows together; where some are refused, it tries by halves, so that only these are left out. Adds
    their errors."""
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
    """Inserts all of these rows, or none of them and raises Refused."""
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
    """Groups rows that name the same fields, so that the database's defaults apply to the fields left out."""
    groups: dict[frozenset[str], list[_Row]] = {}
    for row in rows:
        groups.setdefault(frozenset(row.values), []).append(row)
    return groups.values()


async def _insert_agents(connection: Connection, names: _Names, rows: Sequence[_Row]) -> None:
    """Inserts agents that name the same fields, in the order of the rows."""
    columns = list(rows[0].values)
    listed = ", ".join(f'"{name}"' for name in columns)
    cast = ", ".join(_cast(name, names.fields[name]) for name in columns)
    arrays = ", ".join(f"${number}::text[]" for number in range(1, len(columns) + 1))
    await connection.execute(
        f"insert into agentbridge.agents ({listed}) select {cast}"  # noqa: S608 - checked by `parsed`
        f" from unnest({arrays}) with ordinality r ({listed}, place) order by r.place",
        *([_text(row.values[name]) for row in rows] for name in columns),
    )


def _cast(name: str, type_: str) -> str:
    # an array of arrays must be as long in every row, and rows of codecs are not
    return f"string_to_array(r.\"{name}\", ',')" if type_ == "text[]" else f'r."{name}"::{type_}'


def _text(value: Value) -> str | None:
    """Returns the value as text that PostgreSQL takes in a text array; None for NULL."""
    match value:
        case None:
            return None
        case list():
            return ",".join(value)
        case _:
            return str(value)


async def _join(connection: Connection, rows: Sequence[_Row]) -> None:
    """Puts the imported agents into their queues and teams."""
    queues = [(row.values["username"], *queue) for row in rows for queue in row.queues]
    if queues:
        await connection.execute(
            "insert into agentbridge.queue_members (agent_id, queue_id, penalty)"
            " select a.id, m.queue, m.penalty"
            " from unnest($1::text[], $2::bigint[], $3::int[]) m (username, queue, penalty)"
            " join agentbridge.agents a using (username)",
            *map(list, zip(*queues, strict=True)),
        )
    teams = [(row.values["username"], team) for row in rows for team in row.teams]
    if teams:
        await connection.execute(
            "insert into agentbridge.team_members (agent_id, team_id)"
            " select a.id, m.team from unnest($1::text[], $2::bigint[]) m (username, team)"
            " join agentbridge.agents a using (username)",
            *map(list, zip(*teams, strict=True)),
        )
