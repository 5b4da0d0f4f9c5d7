"""What an administrator does with the directory: list, show, create, change, delete, by field names.

The fields are the tables' columns, read from the database, and their rules are the database's: nothing of
them is repeated here. Every function works in the transaction of the connection that it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentbridge.directory.connecting import Connection
from agentbridge.directory.kinds import AGENT, Kind
from agentbridge.directory.values import Value, must_be_known
from agentbridge.errors import Refused

Record = dict[str, Any]
HIDDEN = "[not shown]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list to return, and in which order: `sort` is a field, with `-` before it for descending."""

    search: str = ""
    sort: str = ""
    limit: int = 100
    offset: int = 0
    manager: str | None = None
    """of agents, only those that this user may manage"""
    channel: str | None = None
    """of queues, only those of this channel"""


@dataclass(frozen=True, slots=True)
class Change:
    """A field of a record that was changed, with its old and new value."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Avatar:
    """An agent's picture, checked by `avatars`."""

    content: bytes
    type: str
    """`image/png` or `image/jpeg`"""


# ---------------------------------------------------------------- looking


async def listed(connection: Connection, kind: Kind, page: Page) -> list[Record]:
    """Returns one page of a kind's records, filtered and sorted as `page` says. Raises Refused for an unknown field in
    `sort`."""
    statement = await connection.prepare(f"select * from ({kind.listing}) l limit 0")  # noqa: S608 - SQL of kinds.py
    names = [attribute.name for attribute in statement.get_attributes()]
    field = page.sort.removeprefix("-") or kind.field
    must_be_known(field, names)
    direction = "desc nulls last" if page.sort.startswith("-") else "asc nulls first"
    matches = " or ".join(f"l.{name} ilike $1" for name in kind.searched)
    rows = await connection.fetch(
        f"select * from ({kind.listing}) l where ($1 = '%%' or {matches})"  # noqa: S608 - names of this module
        f" and ($4::text is null or agentbridge.{kind.whose}($4, l.{kind.field}))"
        + (" and l.channel = $5" if page.channel is not None else "")
        + f' order by l."{field}" {direction}, l."{kind.field}" limit $2 offset $3',
        f"%{_literally(page.search)}%",
        page.limit,
        page.offset,
        page.manager,
        *([page.channel] if page.channel is not None else []),
    )
    return [dict(row) for row in rows]


def _literally(text: str) -> str:
    """Returns a text as it stands for itself in LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def shown(connection: Connection, kind: Kind, key: str) -> Record:
    """Returns a record with all fields that may be shown and what belongs to it. Raises Refused where it does not
    exist."""
    record = await _record(connection, kind, key)
    details: Record = json.loads(await connection.fetchval(kind.details, key))
    hidden = kind.secret | kind.derived
    if kind.of_the_suite and not await connection.fetchval("select security_suite from agentbridge.settings"):
        hidden |= kind.of_the_suite
    names = [name for name in await _columns(connection, kind) if name not in hidden]
    return {name: record[name] for name in names} | details


async def _record(connection: Connection, kind: Kind, key: str, *, lock: bool = False) -> Record:
    """Returns a record with all its columns, locked for this transaction if so asked.

    Raises Refused where it is absent.
    """
    text = await connection.fetchval(
        f"select to_jsonb(r) - '{{avatar}}'::text[] from {kind.table} r where r.{kind.key} = $1"  # noqa: S608 - names of this program, never of a user
        + (" for update" if lock else ""),
        key,
    )
    if text is None:
        raise absent(kind, key)
    found: Record = json.loads(text)
    return found


async def agents_with_memberships(connection: Connection, usernames: Sequence[str]) -> list[Record]:
    """Returns all fields of these agents with their queues, as `sales:2` for penalty 2, and teams. Raises Refused for
    an unknown one."""
    await identifiers(connection, AGENT, usernames)
    rows = await connection.fetch(
        """
        select (to_jsonb(a) - $2::text[] || jsonb_build_object(
            'queues', array(select q.address || case when m.penalty = 0 then '' else ':' || m.penalty end
                from agentbridge.queue_members m join agentbridge.queues q on q.id = m.queue_id
                where m.agent_id = a.id order by q.address),
            'teams', array(select t.name from agentbridge.team_members m join agentbridge.teams t on t.id = m.team_id
                where m.agent_id = a.id order by t.name)))
        from unnest($1::text[]) with ordinality as wanted (username, place)
            join agentbridge.agents a using (username) order by place""",
        list(usernames),
        list(AGENT.secret),
    )
    return [json.loads(row[0]) for row in rows]


async def fields(connection: Connection, kind: Kind) -> dict[str, str]:
    """The fields that may be set, in the table's order, with PostgreSQL's name of their type."""
    return {name: type_ for name, type_ in (await _columns(connection, kind)).items() if name not in kind.elsewhere}


async def _columns(connection: Connection, kind: Kind) -> dict[str, str]:
    """Returns the columns of the kind's table with their types, as PostgreSQL names them."""
    rows = await connection.fetch(
        "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
        " where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum",
        kind.table,
    )
    return {row["attname"]: row["type"] for row in rows}


# ---------------------------------------------------------------- changing


async def create(connection: Connection, kind: Kind, values: Mapping[str, Value]) -> str:
    """Creates a record and returns its key; fields left out get the database's defaults. Raises Refused."""
    names = ", ".join(f'"{name}"' for name in values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    return str(
        await connection.fetchval(
            f"insert into {kind.table} ({names}) values ({places}) returning {kind.key}",  # noqa: S608 - checked by `values.parsed`
            *values.values(),
        )
    )


async def change(connection: Connection, kind: Kind, key: str, values: Mapping[str, Value]) -> list[Change]:
    """Changes fields of a record; returns those that differ afterwards, without the values of secrets. Raises
    Refused."""
    before = await _record(connection, kind, key, lock=True)
    assignments = ", ".join(f'"{name}" = ${number}' for number, name in enumerate(values, 2))
    key = await connection.fetchval(
        f"update {kind.table} set {assignments} where {kind.key} = $1 returning {kind.key}",  # noqa: S608 - names of this program, never of a user
        key,
        *values.values(),
    )
    after = await _record(connection, kind, key)
    return [
        Change(name, *(_shown_value(kind, name, record[name]) for record in (before, after)))
        for name in after
        if before[name] != after[name] and name not in kind.derived
    ]


def _shown_value(kind: Kind, name: str, value: Any) -> Any:
    return HIDDEN if name in kind.secret else value


async def delete(connection: Connection, kind: Kind, keys: Sequence[str]) -> None:
    """Deletes all of these records or none. Raises Refused for one that is absent."""
    rows = [
        row
        for some in (keys[:-1], keys[-1:])
        for row in await connection.fetch(
            f"delete from {kind.table} where {kind.key} = any($1::text[]) returning {kind.key}",  # noqa: S608 - names of this program, never of a user
            list(some),
        )
    ]
    if missing := sorted(set(keys) - {row[0] for row in rows}):
        raise absent(kind, ", ".join(missing))


async def set_avatar(connection: Connection, username: str, avatar: Avatar | None) -> None:
    """Sets an agent's picture, or takes it away with None. Raises Refused for an unknown agent."""
    found = await connection.fetchval(
        "update agentbridge.agents set avatar = $2, avatar_type = $3 where username = $1 returning true",
        username,
        avatar.content if avatar else None,
        avatar.type if avatar else None,
    )
    if not found:
        raise absent(AGENT, username)


async def secret(connection: Connection, kind: Kind, key: str) -> str:
    """The SIP secret, for whoever sets up the phone."""
    return str((await _record(connection, kind, key))["sip_secret"])


def absent(kind: Kind, key: str) -> Refused:
    """Returns the refusal for a record that there is none of."""
    return Refused(f"{kind.field}: there is no {kind.name} {key}")


# ---------------------------------------------------------------- memberships


async def identifiers(connection: Connection, kind: Kind, keys: Sequence[str]) -> list[int]:
    """Returns the row ids of these records, in the order of the keys. Raises Refused, naming those that don't exist."""
    rows = await connection.fetch(
        f"select {kind.key} as key, id from {kind.table} where {kind.key} = any($1::text[])",  # noqa: S608 - names of this program, never of a user
        list(keys),
    )
    found = {row["key"]: row["id"] for row in rows}
    if missing := [key for key in keys if key not in found]:
        raise absent(kind, ", ".join(missing))
    return [found[key] for key in keys]


async def ids_by_key(connection: Connection, kind: Kind) -> dict[str, int]:
    rows = await connection.fetch(f"select {kind.key} as key, id from {kind.table} order by 1")  # noqa: S608 - names of this program, never of a user
    return {row["key"]: row["id"] for row in rows}


async def all_keys(connection: Connection, kind: Kind) -> list[str]:
    rows = await connection.fetch(f"select {kind.key} from {kind.table} order by 1")  # noqa: S608 - names of this program, never of a user
    return [row[0] for row in rows]


async def queues_of(connection: Connection, channel: str | None) -> list[str]:
    """Returns the names of all queues, or of those of one channel."""
    rows = await connection.fetch(
        "select address as name from agentbridge.queues where $1::text is null or channel = $1 order by 1", channel
    )
    return [row["name"] for row in rows]


async def join_queues(
    connection: Connection, queues: Sequence[int], agents: Sequence[int], teams: Sequence[int], penalty: int
) -> None:
    """Puts each of these agents and teams into each of these queues; one that is there already gets this penalty."""
    for table, column, members in (("queue_members", "agent_id", agents), ("team_queues", "team_id", teams)):
        await connection.execute(
            f"insert into agentbridge.{table} as m ({column}, queue_id, penalty)"  # noqa: S608 - names of this program, never of a user
            " select a, q, $3 from unnest($1::bigint[]) a cross join unnest($2::bigint[]) q"
            f" on conflict ({column}, queue_id) do update set penalty = excluded.penalty"
            " where m.penalty <> excluded.penalty",
            list(members),
            list(queues),
            penalty,
        )


async def leave_queues(
    connection: Connection, queues: Sequence[int], agents: Sequence[int], teams: Sequence[int]
) -> None:
    """Takes these agents and teams out of these queues; one that is not there is no error."""
    for table, column, members in (("queue_members", "agent_id", agents), ("team_queues", "team_id", teams)):
        await connection.execute(
            f"delete from agentbridge.{table} where {column} = any($1::bigint[]) and queue_id = any($2::bigint[])",  # noqa: S608 - names of this program, never of a user
            list(members),
            list(queues),
        )


async def join_team(connection: Connection, team: int, agents: Sequence[int]) -> None:
    """Puts agents into a team; those who are in it already stay."""
    await connection.execute(
        "insert into agentbridge.team_members (team_id, agent_id) select $1, a from unnest($2::bigint[]) a"
        " on conflict do nothing",
        team,
        list(agents),
    )


async def leave_team(connection: Connection, team: int, agents: Sequence[int]) -> None:
    """Takes agents out of a team."""
    await connection.execute(
        "delete from agentbridge.team_members where team_id = $1 and agent_id = any($2::bigint[])", team, list(agents)
    )


async def enable_queues(connection: Connection, user: str, queues: Sequence[int]) -> None:
    """Lets a user also manage the agents of these queues."""
    await connection.execute(
        "insert into agentbridge.user_queues (username, queue_id) select $1, q from unnest($2::bigint[]) q"
        " on conflict do nothing",
        user,
        list(queues),
    )


async def disable_queues(connection: Connection, user: str, queues: Sequence[int]) -> None:
    """No longer lets a user manage the agents of these queues."""
    await connection.execute(
        "delete from agentbridge.user_queues where username = $1 and queue_id = any($2::bigint[])", user, list(queues)
    )
