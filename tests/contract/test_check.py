"""`agentbridge check` against real servers, each misconfigured in one way: it finds it and says what to do."""

import os
import re
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.cli.check.ami import Manager
from agentbridge.cli.check.asterisk_conf import read
from agentbridge.cli.check.everything import findings
from agentbridge.directory import migrate
from agentbridge.directory.passwords import hash_password
from agentbridge.settings import load
from lab import versions
from lab.asterisk import Asterisk, version_of
from lab.ports import free_port
from lab.postgres import DAEMON, Postgres, as_role
from lab.processes import Process, run, until
from tests.contract.installation import Installation, execute

POOLER = shutil.which("pgbouncer", path="/usr/bin:/usr/sbin")
SNIPPETS = Path(__file__).parents[2] / "config/asterisk"
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


async def test_nothing_is_found_where_all_is_as_our_own_snippets_say(installation: Installation) -> None:
    assert await installation.check() == {}
    assert "agentbridge-check" not in await installation.asterisk.cli("database show")


async def test_the_command_ends_with_0_or_with_1_and_the_findings(installation: Installation) -> None:
    file = str(installation.write())
    words = (sys.executable, "-m", "agentbridge", "check", "--daemon-user", "root", "--config", file)
    told = versions.says_whether_digits_drop(version_of(installation.asterisk.root))
    last = "all is well" if told else "0 findings; 1 thing was not looked at"
    assert last in await run(*words, within=60.0)
    await execute(installation.dsn, "insert into agentbridge.queues (name) values ('nowhere')")
    process = Process("check", installation.folder / "check.out")
    await process.start(*words)
    assert await process.gone(30.0)
    assert "queue.unknown: queue nowhere" in (installation.folder / "check.out").read_text()


async def test_what_this_version_lacks_is_said_by_name_and_is_no_fault(installation: Installation) -> None:
    assert await installation.check() == {}
    version = version_of(installation.asterisk.root)
    lacks = {
        "lacks.password_digest": versions.DIGEST,
        "lacks.outgoing_call_offer_pref": versions.CODEC_ORDER,
        "lacks.Reason": versions.ADD_REASON,
        "lacks.muting": versions.MUTES_ONE,
    }
    # missing on 20.6, there on 20.20: in between nothing tells
    is_told = versions.says_whether_digits_drop(version)
    assert installation.unseen == (set() if is_told else {"not_seen.dropped"})
    if is_told:
        lacks["lacks.dropped"] = versions.DROPS_DIGITS
    assert installation.lacking == {name for name, feature in lacks.items() if not versions.has(version, feature)}


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


async def test_an_address_where_no_ari_is_is_told_with_the_right_one(installation: Installation) -> None:
    installation.ari = {"url": f"http://127.0.0.1:{free_port()}/ari"}
    assert list(await installation.check()) == ["ari.url"]


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
    found = await Installation(tmp_path, asterisk, as_role(dsn, f"{DAEMON}:wrong-one")).check()
    assert "ALTER ROLE" in found["database.password"].to_do
    assert "wrong-one" not in str(found)


async def test_a_file_with_a_secret_that_others_may_read_is_told(installation: Installation) -> None:
    file = installation.write()
    file.chmod(file.stat().st_mode | stat.S_IROTH)
    found = [finding async for finding in findings(file, load(file), daemon=installation.daemon)]
    # what an old Asterisk lacks is said beside it, and is no fault
    [fault] = [finding for finding in found if finding.is_fault]
    assert fault.name == "config.readable"
    assert f"chmod 640 {file}" in fault.to_do
