"""Findings about PostgreSQL: reachable, the right schema, notifications that arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import asyncpg

from agentbridge.cli.check.findings import Finding
from agentbridge.cli.options import connected
from agentbridge.directory import migrate
from agentbridge.directory.connecting import Connection, translated
from agentbridge.directory.listening import listen_works
from agentbridge.errors import AgentbridgeError
from agentbridge.model import Node
from agentbridge.settings import Database, Settings

REACH = "look at database.dsn, at whether PostgreSQL runs, and at whether its pg_hba.conf lets this machine in"
CREDENTIAL = (
    "set the role's password with `ALTER ROLE … PASSWORD` and give the same one as credential database_password, "
    "as database.password_file or in AGENTBRIDGE_DATABASE__PASSWORD"
)


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Checks the database: whether it is reached, its rights, settings, schema and notifications."""
    try:
        async with connected(settings, as_daemon=True) as connection:
            for finding in await _server(connection, settings.database):
                yield finding
            rights = await _rights(connection)
            if rights is not None:
                yield rights
            if rights not in (None, AS_OWNER):
                return  # the rest can't be seen
            async for finding in _contents(connection, settings):
                yield finding
        async for finding in _notifications(settings.database):
            yield finding
    except AgentbridgeError as error:
        wrong_password = "password" in str(error)
        yield Finding(
            "database.password" if wrong_password else "database.unreachable",
            " ".join(str(error).split()),
            CREDENTIAL if wrong_password else REACH,
        )


async def _contents(connection: Connection, settings: Settings) -> AsyncIterator[Finding]:
    """Checks what the daemon's role can see: settings of the server and, where the schema fits, who can be guessed."""
    async for finding in _durability(connection):
        yield finding
    problems = [finding async for finding in _schema(connection)]
    for finding in problems:
        yield finding
    if not problems and settings.phone.enabled:
        async for finding in _guessing(connection):
            yield finding


AS_OWNER = Finding(
    "rights.owner",
    "the daemon logs in to the database as the owner of the schema, and so may do everything there",
    "give database.dsn the role agentbridge_daemon, or one that has it by `agentbridge db grant ROLE --as daemon`, and "
    "database.owner_dsn the owner",
)


async def _rights(connection: Connection) -> Finding | None:
    """Returns a finding where the daemon's role has too few rights, or all since it owns the schema; else None."""
    with translated():
        row = await connection.fetchrow(
            "select current_user::text as role, coalesce(pg_has_role(n.nspowner, 'usage'), false) as owner,"
            " n.oid is null or exists (select from pg_roles where rolname = 'agentbridge_daemon'"
            " and pg_has_role(oid, 'usage')) as daemon"
            " from (values (1)) one left join pg_namespace n on n.nspname = 'agentbridge'"
        )
    if row is None or row["owner"]:
        return AS_OWNER
    if row["daemon"]:
        return None
    return Finding(
        "rights.missing",
        f"the daemon's role {row['role']} may not do in the database what a daemon must",
        f"run `agentbridge db grant {row['role']} --as daemon` as the schema's owner",
    )


async def _durability(connection: Connection) -> AsyncIterator[Finding]:
    """Yields a finding where a change that was committed, and so is in Asterisk, may be lost in a crash of the
    server."""
    with translated():
        settings = await connection.fetch(
            "select current_setting('synchronous_commit') as value, 'the server, or the database' as whose"
            " union all select split_part(c, '=', 2), coalesce('the role ' || r.rolname, 'the database')"
            " from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) c"
            " where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))"
            " and c like 'synchronous_commit=%'"
        )
    if found := sorted({row["whose"] for row in settings if row["value"] == "off"}):
        yield Finding(
            "database.commits",
            f"synchronous_commit is off for {', '.join(found)}: after a crash of PostgreSQL the last changes are"
            " missing there and not in Asterisk, and the daemon waits for `agentbridge plan --confirm`",
            "set synchronous_commit = on (or local)",
        )


READ_ONLY = "the database can only be read: nobody can log in, log out or pause, and results can't be written"
SERVER = """
select pg_is_in_recovery() as standby,
    current_setting('default_transaction_read_only') = 'on' as read_only,
    (select setting::bigint from pg_settings where name = 'idle_session_timeout') as idle_ms,
    current_user as role,
    current_database() as database
"""


async def _server(connection: Connection, database: Database) -> list[Finding]:
    """Returns findings about settings of the server that would hurt the daemon."""
    with translated():
        [row] = await connection.fetch(SERVER)
    return list(_check_settings(row, database))


def _check_settings(row: asyncpg.Record, database: Database) -> Iterator[Finding]:
    """Yields findings about these settings of the server that would hurt the daemon."""
    role, name = row["role"], row["database"]
    if row["standby"]:
        yield Finding(
            "database.read_only",
            READ_ONLY,
            "database.dsn must name the primary server (`target_session_attrs=read-write` behind its name)",
        )
    elif row["read_only"]:
        yield Finding(
            "database.read_only",
            READ_ONLY,
            f"`ALTER DATABASE {name} RESET default_transaction_read_only`, and the same for role {role}",
        )
    idle = (row["idle_ms"] or 0) / 1000
    if 0 < idle <= database.probe_seconds:
        yield Finding(
            "database.idle_session_timeout",
            f"idle_session_timeout is {idle:g} s, and database.probe_seconds {database.probe_seconds:g} s: the "
            "connection that listens is ended again and again",
            f"`ALTER ROLE {role} SET idle_session_timeout = 0`, or a smaller database.probe_seconds",
        )


async def _schema(connection: Connection) -> AsyncIterator[Finding]:
    """Yields a finding where the schema is not the one of this program."""
    found = await migrate.status(connection)
    if found.too_new:
        yield Finding("schema.too_new", found.problem, "install the agentbridge that the database was migrated by")
    elif found.too_old:
        yield Finding("schema.too_old", found.problem, "run `agentbridge db migrate` as the database's owner")
    elif "encoding" in found.problem:
        yield Finding("database.encoding", found.problem, 'docs/installing.md, "The secrets and the database"')
    elif found.problem:
        yield Finding("schema.altered", found.problem, "install the agentbridge that the database was migrated by")


async def _guessing(connection: Connection) -> AsyncIterator[Finding]:
    """Yields a finding where agents' short PINs can be guessed at a telephone, because no lock (A10) is set."""
    with translated():
        pins = await connection.fetchval(
            "select count(*) from agentbridge.agents cross join agentbridge.settings "
            "where pin_hash is not null and lock_after = 0"
        )
    if pins:
        yield Finding(
            "phone.guessing",
            f"{pins} agents have a PIN and wrong ones never lock an agent: any telephone may try them all",
            "`UPDATE agentbridge.settings SET lock_after = 10;`, or phone.enabled = false",
        )


async def _notifications(database: Database) -> AsyncIterator[Finding]:
    """Yields a finding where a NOTIFY does not arrive."""
    if not await listen_works(database.url(), deadline=database.connect_seconds):
        yield Finding(
            "database.notifications",
            f"a notification did not arrive: changes wait up to {database.poll_seconds:g} s for the poll",
            "connect to PostgreSQL itself, or to a pooler in session mode: one in transaction mode loses LISTEN",
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the directory needs in the administrator's own files.

    contexts: where calls of agents and telephones start. devices: endpoint ids. agents: from number to username.
    transports: those of all devices. hosts: from device to fixed address. range: the internal numbers that are given to
    new agents. nodes: those that are not retired. The flags: some agent has it.
    """

    queues: frozenset[str] = frozenset()
    contexts: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    agents: Mapping[str, str] = field(default_factory=dict)
    transports: frozenset[str] = frozenset()
    hosts: Mapping[str, str] = field(default_factory=dict)
    range: tuple[int, int] = (1, 0)
    nodes: tuple[Node, ...] = ()
    prefix_missing: bool = False
    pickup: bool = False
    voicemail: bool = False


WANTED = """
select array(select name from agentbridge.queues where channel = 'voice') as queues,
    array(
        select context from agentbridge.agents where sip_type <> 'peer' and not hot_desk
        union select context from agentbridge.telephones where sip_type <> 'peer'
    ) as contexts,
    array(
        select unnest(transport) from agentbridge.agents where not hot_desk
        union select unnest(transport) from agentbridge.telephones
    ) as transports,
    exists (select from agentbridge.agents where prefix_required)
        and not exists (select from agentbridge.prefixes) as prefix_missing,
    exists (select from agentbridge.agents where pickup_group <> '')
        or exists (select from agentbridge.telephones where pickup_group <> '') as pickup,
    exists (select from agentbridge.agents where voicemail) as voicemail,
    internal_from,
    internal_to
from agentbridge.settings
"""
DEVICES = """
select internal as device, username, host from agentbridge.agents
union all select name, null, host from agentbridge.telephones
"""
NODES = "select node, sip_host, sip_port from agentbridge.nodes where retired_at is null order by node"


async def wanted(settings: Settings) -> Wanted:
    """Asks the directory what it needs in the administrator's own files. Raises AgentbridgeError."""
    async with connected(settings, as_daemon=True) as connection:
        if (await migrate.status(connection)).current == 0:
            return Wanted()
        with translated():
            [row] = await connection.fetch(WANTED)
            devices = await connection.fetch(DEVICES)
            nodes = await connection.fetch(NODES)
    return Wanted(
        queues=frozenset(row["queues"]),
        contexts=frozenset(row["contexts"]),
        devices=frozenset(found["device"] for found in devices),
        agents={found["device"]: found["username"] for found in devices if found["username"]},
        transports=frozenset(row["transports"]),
        hosts={found["device"]: found["host"] for found in devices if found["host"] != "dynamic"},
        range=(row["internal_from"], row["internal_to"]),
        nodes=tuple(Node(found["node"], found["sip_host"], found["sip_port"]) for found in nodes),
        prefix_missing=row["prefix_missing"],
        pickup=row["pickup"],
        voicemail=row["voicemail"],
    )
