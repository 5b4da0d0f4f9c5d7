"""`agentbridge check` against real servers, each misconfigured in one way: it finds it and says what to do."""

import os
import re
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.cli.check.ami import Manager
from agentbridge.cli.check.asterisk_conf import read
from agentbridge.cli.check.everything import findings
from agentbridge.cli.check.findings import Finding
from agentbridge.directory import migrate
from agentbridge.directory.passwords import hash_password
from agentbridge.settings import load
from lab.asterisk import Asterisk
from lab.ports import free_port
from lab.postgres import DAEMON, Postgres, as_role
from lab.processes import Process, run, until

POOLER = shutil.which("pgbouncer", path="/usr/bin:/usr/sbin")
SNIPPETS = Path(__file__).parents[2] / "config/asterisk"
CUSTOMERS = """
[from-customers]
exten => _2XXX,1,Goto(agentbridge-agents,${EXTEN},1)
exten => 500,1,Queue(sales,b(agentbridge-before-ring^s^1(sales)))
"""
ACCOUNTS = """
[{name}]
secret = secret-of-{name}
permit = 127.0.0.1/255.255.255.255
read = {read}
write = {write}
"""
READ, WRITE = "system,agent,call,user", "agent,call,system,command"
WEAK = {
    "reads-no-system": ("agent,call,user", WRITE, "ami.permission", "read permission system"),
    "reads-no-agent": ("system,call,user", WRITE, "ami.permission", "read permission agent"),
    "reads-no-call": ("system,agent,user", WRITE, "ami.permission", "read permission call"),
    "reads-no-user": ("system,agent,call", WRITE, "ami.permission", "read permission user"),
    "writes-no-agent": (READ, "call,system,command", "ami.permission", "write permission agent"),
    "writes-no-call": (READ, "agent,system,command", "ami.permission", "write permission call"),
    "writes-no-system": (READ, "agent,call,command", "ami.permission", "write permission system"),
    "writes-no-command": (READ, "agent,call,system", "ami.permission", "write permission command"),
    "writes-too-much": (READ, WRITE + ",originate,config", "ami.too_much", "originate, config"),
}


@dataclass
class Installation:
    """A configuration for check, on the servers that a test gives it."""

    folder: Path
    asterisk: Asterisk
    dsn: str
    ami: dict[str, object] = field(default_factory=dict)
    ari: dict[str, object] = field(default_factory=dict)

    def write(self) -> Path:
        ami = {"port": self.asterisk.ami_port, "secret": self.asterisk.ami_secret} | self.ami
        ari = {
            "url": f"http://127.0.0.1:{self.asterisk.ari_port}/ari",
            "secret": self.asterisk.ari_secret,
        } | self.ari
        database = {"dsn": as_role(self.dsn, DAEMON), "owner_dsn": self.dsn, "connect_seconds": 3}
        sections = {"database": database, "ami": ami, "ari": ari}
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {value!r}" for key, value in values.items())]
        file = self.folder / "agentbridge.toml"
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o640)
        return file

    async def check(self) -> dict[str, Finding]:
        file = self.write()
        found = [finding async for finding in findings(file, load(file))]
        assert all(finding.to_do for finding in found)
        return {finding.name: finding for finding in found}


@pytest_asyncio.fixture(scope="module")
async def asterisk() -> AsyncIterator[Asterisk]:
    """Wired as it should be; besides the account that is right there are some that are not."""
    async with Asterisk(
        queues={
            "sales": {"membergosub": "agentbridge-member-answer"},
            "support": {"membergosub": "another-one"},
            "wrapped": {"membergosub": "administrators-own,s,1"},
        },
        extra={
            "manager.conf": "".join(
                ACCOUNTS.format(name=name, read=reads, write=writes) for name, (reads, writes, *_) in WEAK.items()
            ),
            "extensions.conf": "[administrators-own]\nexten => s,1,Gosub(agentbridge-member-answer,s,1)\n",
            "ari.conf": "[reader]\ntype = user\nread_only = yes\npassword = secret-of-reader\n",
        },
    ) as server:
        server.write_config("sorcery.conf", (SNIPPETS / "sorcery.conf").read_text())
        await server.restart()
        yield server


@pytest_asyncio.fixture
async def migrated(database: str) -> str:
    connection = await asyncpg.connect(database)
    try:
        await migrate.migrate(connection, lambda _: None)
        await connection.execute("insert into agentbridge.queues (name) values ('sales')")
    finally:
        await connection.close()
    return database


@pytest.fixture
def installation(asterisk: Asterisk, migrated: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, asterisk, migrated)


async def execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_nothing_is_found_where_all_is_as_our_own_snippets_say(installation: Installation) -> None:
    assert await installation.check() == {}
    assert "agentbridge-check" not in await installation.asterisk.cli("database show")


async def test_the_command_ends_with_0_or_with_1_and_the_findings(installation: Installation) -> None:
    words = (sys.executable, "-m", "agentbridge", "check", "--config", str(installation.write()))
    assert "all is well" in await run(*words, within=30.0)
    await execute(installation.dsn, "insert into agentbridge.queues (name) values ('nowhere')")
    process = Process("check", installation.folder / "check.out")
    await process.start(*words)
    assert await process.gone(30.0)
    assert "queue.unknown: queue nowhere" in (installation.folder / "check.out").read_text()


# ---------------------------------------------------------------- AMI and ARI


@pytest.mark.parametrize("account", WEAK)
async def test_an_account_that_lacks_a_permission_or_has_too_many_is_told_which(
    installation: Installation, account: str
) -> None:
    *_, name, what = WEAK[account]
    installation.ami = {"username": account, "secret": f"secret-of-{account}"}
    found = (await installation.check())[name]
    assert what in found.what
    assert f"[{account}]" in found.to_do


async def test_a_wrong_secret_of_ami_is_told_without_showing_it(installation: Installation) -> None:
    installation.ami = {"secret": "wrong-one"}
    found = await installation.check()
    assert list(found) == ["ami.password"]
    assert "wrong-one" not in str(found)


async def test_an_asterisk_that_is_away_is_told_and_the_rest_is_looked_at(installation: Installation) -> None:
    installation.ami = {"port": free_port()}
    installation.dsn = f"postgresql://agentbridge@127.0.0.1:{free_port()}/none"
    assert list(await installation.check()) == ["database.unreachable", "ami.unreachable"]


async def test_a_wrong_password_of_ari_is_told(installation: Installation) -> None:
    installation.ari = {"secret": "wrong-one"}
    assert list(await installation.check()) == ["ari.password"]


async def test_an_ari_that_is_away_is_told(installation: Installation) -> None:
    installation.ari = {"url": f"http://127.0.0.1:{free_port()}/ari"}
    assert list(await installation.check()) == ["ari.unreachable"]


async def test_a_read_only_user_of_ari_is_told(installation: Installation) -> None:
    installation.ari = {"username": "reader", "secret": "secret-of-reader"}
    assert list(await installation.check()) == ["ari.read_only"]


@pytest.mark.parametrize(("command", "name"), [("manager show settings", "ami"), ("http show status", "ari")])
async def test_a_server_on_all_addresses_is_told(
    installation: Installation, command: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Asterisk prints, with another address: no test of ours listens beyond this machine."""
    printed = Manager.console

    async def elsewhere(manager: Manager, line: str) -> str:
        text = await printed(manager, line)
        return text.replace("127.0.0.1:", "0.0.0.0:") if line == command else text

    monkeypatch.setattr(Manager, "console", elsewhere)
    assert list(await installation.check()) == [f"{name}.exposed"]


# ---------------------------------------------------------------- queues, dialplan, sorcery


async def test_a_queue_that_asterisk_lacks_is_told(installation: Installation) -> None:
    await execute(installation.dsn, "insert into agentbridge.queues (name) values ('nowhere')")
    assert "queue nowhere" in (await installation.check())["queue.unknown"].what


async def test_a_queue_without_our_subroutine_is_told(installation: Installation) -> None:
    await execute(installation.dsn, "insert into agentbridge.queues (name) values ('support')")
    found = await installation.check()
    assert "queue support" in found["queue.membergosub"].what
    assert list(found) == ["queue.membergosub"]


async def test_a_subroutine_of_the_administrators_that_goes_on_to_ours_is_right(installation: Installation) -> None:
    await execute(installation.dsn, "insert into agentbridge.queues (name) values ('wrapped')")
    assert await installation.check() == {}


async def test_an_asterisk_that_was_never_wired_is_told_all_that_is_missing(migrated: str, tmp_path: Path) -> None:
    async with Asterisk() as bare:
        bare.write_config("sorcery.conf", "")
        options = (bare.etc / "asterisk.conf").read_text()
        bare.write_config("asterisk.conf", re.sub("(live_dangerously).*", r"\1 = yes", options))
        (bare.etc / "queues.conf").unlink()
        (bare.etc / "extensions.conf").write_text("[general]\n")
        await bare.restart()
        found = await Installation(tmp_path, bare, migrated).check()
    assert {"sorcery.not_writable", "sorcery.uncached", "queues.not_loaded", "dialplan.missing"} <= found.keys()
    assert "asterisk.live_dangerously" in found
    assert "agentbridge-agents" in found["dialplan.missing"].what


# What an administrator wired: all of it, and then one thing of it wrong.
WIRED = {
    "extensions.conf": """
        [globals]
        AGENTBRIDGE_OUTBOUND = outside
        AGENTBRIDGE_PREFIX = 9
        #include "agentbridge.conf"
        [from-sip]
        include => agentbridge-features
        include => agentbridge-outbound
        [customers]
        exten => 100,1,Queue(sales,tb(agentbridge-before-ring^s^1(sales)),,,60)
        exten => 200,1,Dial(PJSIP/1001,20,tb(agentbridge-before-ring^s^1)U(agentbridge-member-answer))
         same => n,Dial(PJSIP/1001@provider&PJSIP/reception,20)
        exten => _1XXX,1,Goto(agentbridge-agents,${EXTEN},1)
        [outside]
        exten => _9X.,1,Dial(PJSIP/${EXTEN:1}@provider)
        """,
    "features.conf": "[general]\npickupexten = *8\n",
    "extconfig.conf": "[settings]\nvoicemail => sqlite3,agentbridge,voicemail\n",
}
WRONG = {
    "no agents' context": (
        "extensions.conf", "[from-sip]", "[internal]", "dialplan.no_context", "context from-sip",
    ),
    "no feature codes": (
        "extensions.conf", "include => agentbridge-features", "", "dialplan.not_led", "agentbridge-features",
    ),
    "feature codes behind what takes every number": (
        "extensions.conf", "include => agentbridge-features",
        "include => agentbridge-outbound\ninclude => agentbridge-features", "dialplan.order", "no code works",
    ),
    "past our outbound context": (
        "extensions.conf", "include => agentbridge-outbound", "include => outside", "dialplan.not_led",
        "agentbridge-outbound",
    ),
    "no way to an agent's number": (
        "extensions.conf", "Goto(agentbridge-agents,${EXTEN},1)", "Hangup()", "dialplan.no_numbers", "",
    ),
    "no look before the phone rings": (
        "extensions.conf", "b(agentbridge-before-ring^s^1(sales))", "", "dialplan.queue", "Queue(sales)",
    ),
    "a look at another queue's pause": (
        "extensions.conf", "s^1(sales)", "s^1(support)", "dialplan.queue", "Queue(sales)",
    ),
    "a look that names no queue": (
        "extensions.conf", "^s^1(sales))", "^s^1)", "dialplan.queue", "Queue(sales)",
    ),
    "a call past the agent's options": (
        "extensions.conf", "U(agentbridge-member-answer)", "", "dialplan.dial", "Dial(PJSIP/1001)",
    ),
    "no such context outside": (
        "extensions.conf", "AGENTBRIDGE_OUTBOUND = outside", "AGENTBRIDGE_OUTBOUND = outsied", "dialplan.no_outside",
        "outsied",
    ),
    "no prefix": ("extensions.conf", "AGENTBRIDGE_PREFIX = 9", "", "dialplan.prefix", "not set"),
    "a prefix that can't be dialled": (
        "extensions.conf", "AGENTBRIDGE_PREFIX = 9", "AGENTBRIDGE_PREFIX = nine", "dialplan.prefix", "is nine",
    ),
    "no code to pick up": ("features.conf", "*8", "", "features.pickup", "switched off"),
    "our own code to pick up": ("features.conf", "*8", "*54", "features.pickup", "*54"),
    "boxes that can't be written": (
        "extconfig.conf", "voicemail => sqlite3,agentbridge,voicemail", "", "voicemail.not_writable", "no boxes",
    ),
    "boxes without their table": (
        "extconfig.conf", "agentbridge,voicemail", "agentbridge,nowhere", "voicemail.not_writable", "could not write",
    ),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def wired() -> AsyncIterator[Asterisk]:
    async with Asterisk(queues={"sales": {}, "support": {}}) as server:
        server.write_config("sorcery.conf", (SNIPPETS / "sorcery.conf").read_text())
        yield server


@pytest_asyncio.fixture
async def exacting(wired: Asterisk, migrated: str, tmp_path: Path) -> Installation:
    """Its directory asks for everything that an administrator may have forgotten."""
    await execute(
        migrated,
        "insert into agentbridge.agents (username, full_name, internal, prefix_required, voicemail, pickup_group)"
        " values ('ana', 'Ana', '1001', true, true, '1')",
    )
    return Installation(tmp_path, wired, migrated)


async def rewired(asterisk: Asterisk, **changed: str) -> None:
    for name, text in {**WIRED, **changed}.items():
        asterisk.write_config(name, "\n".join(line.strip() for line in text.splitlines()))
    await asterisk.restart()


async def test_nothing_is_found_where_everything_is_wired_as_the_directory_asks(exacting: Installation) -> None:
    await rewired(exacting.asterisk)
    assert await exacting.check() == {}
    assert "No rows" in await exacting.asterisk.cli("realtime load voicemail internal agentbridge-check")


async def test_nothing_is_found_where_dialplan_and_queues_are_our_own_snippets(
    wired: Asterisk, migrated: str, tmp_path: Path
) -> None:
    await execute(migrated, "insert into agentbridge.agents (username, full_name, voicemail) values ('a', 'A', true)")
    queues = (SNIPPETS / "queues.conf").read_text() + "[sales](agentbridge)\n"
    snippets = {
        "extensions.conf": (SNIPPETS / "extensions.conf").read_text() + CUSTOMERS,
        "extconfig.conf": "[settings]\n" + (SNIPPETS / "extconfig.conf").read_text(),
    }
    before = (wired.etc / "queues.conf").read_text()
    await rewired(wired, **snippets, **{"queues.conf": queues})
    try:
        assert await Installation(tmp_path, wired, migrated).check() == {}
    finally:
        wired.write_config("queues.conf", before)


@pytest.mark.parametrize("wrong", WRONG)
async def test_one_thing_that_is_wired_wrongly_is_told(exacting: Installation, wrong: str) -> None:
    file, right, instead, name, what = WRONG[wrong]
    assert right in WIRED[file]
    await rewired(exacting.asterisk, **{file: WIRED[file].replace(right, instead)})
    found = await exacting.check()
    assert list(found) == [name]
    assert what in found[name].what


async def test_an_agents_call_that_is_led_to_us_by_a_roundabout_way_is_right(exacting: Installation) -> None:
    direct = "include => agentbridge-outbound"
    roundabout = "include => office\n[office]\nexten => _X.,1,Goto(agentbridge-outbound,${EXTEN},1)"
    await rewired(exacting.asterisk, **{"extensions.conf": WIRED["extensions.conf"].replace(direct, roundabout)})
    assert await exacting.check() == {}


async def test_objects_kept_elsewhere_than_in_our_family_are_told(migrated: str, tmp_path: Path) -> None:
    text = (SNIPPETS / "sorcery.conf").read_text()
    async with Asterisk(queues={"sales": {"membergosub": "agentbridge-member-answer"}}) as server:
        server.write_config("sorcery.conf", text.replace("astdb,ps_aors", "memory"))
        await server.restart()
        found = await Installation(tmp_path, server, migrated).check()
    assert "type aor is not kept in AstDB family ps_aors" in found["sorcery.elsewhere"].what


def test_asterisks_files_are_read_with_templates_includes_and_comments(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("[billing](ours)\nweight = 3\n")
    file = tmp_path / "queues.conf"
    file.write_text(
        ";-- a block\n[no]\nx=1\n--;\n[general]\n[ours](!)\nmembergosub = agentbridge-member-answer ; why\n"
        "[sales](ours)\nannounce => a\\;b\n[support](ours)\nmembergosub = mine\n#include more.conf\n"
    )
    assert read(file) == {
        "general": {},
        "sales": {"membergosub": "agentbridge-member-answer", "announce": "a;b"},
        "support": {"membergosub": "mine"},
        "billing": {"membergosub": "agentbridge-member-answer", "weight": "3"},
    }


# ---------------------------------------------------------------- PostgreSQL and the file


@pytest.mark.parametrize(
    ("sql", "name", "to_do"),
    [
        ("drop schema agentbridge cascade", "schema.too_old", "agentbridge db migrate"),
        ("insert into agentbridge.migrations values (9999, 'later', '')", "schema.too_new", "install"),
        ("update agentbridge.migrations set checksum = 'x' where version = 1", "schema.altered", "install"),
    ],
)
async def test_a_schema_that_does_not_fit_is_told(installation: Installation, sql: str, name: str, to_do: str) -> None:
    await execute(installation.dsn, sql)
    assert to_do in (await installation.check())[name].to_do


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """PgBouncer refuses to run as root, and the account that it runs as can't reach pytest's folder."""
    with tempfile.TemporaryDirectory(prefix="agentbridge-pooler-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_a_log_of_the_digits_that_are_typed_is_told(installation: Installation) -> None:
    await installation.asterisk.cli("logger add channel typed dtmf")
    try:
        assert "logger.conf" in (await installation.check())["logger.dtmf"].to_do
    finally:
        await installation.asterisk.cli("logger remove channel typed")
    assert await installation.check() == {}


async def test_pins_that_may_be_guessed_for_ever_are_told(installation: Installation) -> None:
    pin = hash_password("48215")
    await execute(installation.dsn, f"insert into agentbridge.agents (username, pin_hash) values ('ana', '{pin}')")
    assert "lock_after" in (await installation.check())["phone.guessing"].to_do
    await execute(installation.dsn, "update agentbridge.settings set lock_after = 10")
    assert await installation.check() == {}


async def test_a_pooler_that_loses_notifications_is_told(
    installation: Installation, postgres: Postgres, open_folder: Path
) -> None:
    assert POOLER, "pgbouncer is missing: run lab/setup"
    port = free_port()
    config = open_folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port} user={DAEMON}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
        "ignore_startup_parameters = extra_float_digits,application_name\n"
    )
    pooler = Process("PgBouncer", open_folder / "pgbouncer.log")
    direct = installation.dsn
    installation.dsn = as_role(direct, DAEMON).replace(f":{postgres.port}/", f":{port}/")
    try:
        account = ("setpriv", "--reuid=nobody", "--clear-groups") if os.geteuid() == 0 else ()
        await pooler.start(*account, POOLER, "-q", str(config))

        async def answers() -> bool:
            try:
                await (await asyncpg.connect(installation.dsn, statement_cache_size=0)).close()
            except (OSError, asyncpg.PostgresError):
                return False
            return True

        await until(answers, within=10.0, what="PgBouncer")
        assert list(await installation.check()) == ["database.notifications"]
    finally:
        await pooler.end(signal.SIGKILL)


async def test_a_wrong_password_of_the_database_is_told(
    fresh_postgres: Postgres, asterisk: Asterisk, tmp_path: Path
) -> None:
    dsn = await fresh_postgres.create_database("guarded")
    await execute(fresh_postgres.dsn("postgres", "postgres"), "alter role agentbridge_daemon password 'right-one'")
    [rules] = fresh_postgres.dir.rglob("pg_hba.conf")
    rules.write_text("host all agentbridge_daemon 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n")
    await fresh_postgres.restart()
    found = await Installation(
        tmp_path, asterisk, as_role(dsn, f"{DAEMON}:wrong-one")
    ).check()
    assert "ALTER ROLE" in found["database.password"].to_do
    assert "wrong-one" not in str(found)


async def test_a_file_with_a_secret_that_others_may_read_is_told(installation: Installation) -> None:
    file = installation.write()
    file.chmod(file.stat().st_mode | stat.S_IROTH)
    found = [finding async for finding in findings(file, load(file))]
    assert [finding.name for finding in found] == ["config.readable"]
    assert f"chmod 640 {file}" in found[0].to_do
