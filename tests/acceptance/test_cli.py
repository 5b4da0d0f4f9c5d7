"""The operator's commands as a user runs them: a process, its exit status, what it prints, and where."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from lab.asterisk import Asterisk
from lab.bridge import Bridge
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.shell import WITHIN_S, Shell, execute, on_a_terminal, write_config

# ---------------------------------------------------------------- schema and configuration


async def test_a_new_database_is_brought_up_to_date_once(empty: Shell) -> None:
    assert "run `agentbridge db migrate`" in (await empty("db", "status", status=1)).err
    assert "agentbridge db" in (await empty("agent", "list", status=1)).err
    assert "agentbridge db" in (await empty("status", status=1)).err
    assert "done: 0001 tables" in (await empty("db", "migrate")).out
    again = await empty("db", "migrate")
    assert (again.out, again.err) == ("", "the schema is up to date\n")
    assert (await empty("db", "status", "--json")).json["problem"] == ""


async def test_a_bad_configuration_ends_with_2_and_names_the_key(shell: Shell) -> None:
    shell.config.write_text(shell.config.read_text() + "[pace]\nceling = 5\n")
    for words in (["run"], ["status"], ["agent", "list"], ["plan"], ["check"]):
        ran = await shell(*words, status=2)
        assert "pace.celing: there is no such setting; did you mean pace.ceiling?" in ran.err
        assert ran.out == ""


async def test_config_is_taken_before_the_command_and_after_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agentbridge", "--config", str(tmp_path / "none.toml"), "status",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), WITHIN_S)
    assert process.returncode == 2
    assert "none.toml: there is no such file" in err.decode()


async def test_a_role_that_may_not_write_is_told_so(shell: Shell, postgres: Postgres) -> None:
    await execute(shell, "create role reader login", dsn=postgres.dsn("postgres", "postgres"))
    await execute(shell, "grant usage on schema agentbridge to reader")
    shell.config.write_text(shell.config.read_text().replace("agentbridge@", "reader@"))
    ran = await shell("agent", "list", status=1)
    assert "permission denied" in ran.err
    assert "grant" in ran.err


async def test_a_database_that_is_away_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    shell = Shell(write_config(tmp_path, "postgresql://nobody@127.0.0.1:1/none"))
    ran = await shell("agent", "list", status=1)
    assert ran.err.count("\n") == 1
    assert "look at database.dsn in the configuration, and at what `agentbridge check` says" in ran.err


# ---------------------------------------------------------------- agents


async def test_an_agent_is_made_shown_changed_and_deleted(shell: Shell) -> None:
    await shell("queue", "create", "sales")
    await shell("queue", "create", "support")
    await shell("team", "create", "north")
    made = await shell("agent", "create", "anna", "full_name=Anna Rossi", "typology=external", "--queue", "*",
                       "--team", "north", "--json")  # fmt: skip
    assert made.json["internal"] == "1000"
    assert made.json["queues"] == {"sales": 0, "support": 0}
    assert made.json["teams"] == ["north"]

    assert (await shell("agent", "set", "anna", "alias=Anni", "codecs=alaw,g722", "chanspy=yes")).out.splitlines() == [
        "alias:  → Anni",
        "codecs: ulaw,alaw → alaw,g722",
        "chanspy: no → yes",
    ]
    assert (await shell("agent", "set", "anna", "alias=Anni")).err == "nothing changed: it was so already\n"
    shown = (await shell("agent", "show", "anna", "--json")).json
    assert shown["chanspy"] is True
    assert list(shown)[:4] == ["id", "username", "full_name", "alias"], "in the table's order"

    await shell("agent", "delete", "anna")
    assert "there is no agent anna" in (await shell("agent", "show", "anna", status=1)).err


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("fullname=x", "fullname: there is no such field; did you mean full_name?"),
        ("internal=abc", "internal: must be 1 to 16 digits"),
        ("chanspy=maybe", "chanspy: must be yes or no (got maybe)"),
        ("sip_expires=ten", "sip_expires: must be a whole number (got ten)"),
        ("sip_expires=99999999999", "sip_expires: must be at most"),
        ("locked_at=now", "locked_at: can't be set here; it is set by `agent unlock`"),
        ("transport=wss", "transport"),
        ("password_hash=x", "password_hash: can't be set here; it is set by `agent password`"),
        ("sip_secret=known-to-all", "sip_secret: not on the command line"),
        ("voicemail_pin=4711", "`agent password NAME --for voicemail`"),
    ],
)
async def test_a_refused_field_is_named_with_its_rule(shell: Shell, field: str, rule: str) -> None:
    ran = await shell("agent", "create", "anna", field, status=1)
    assert rule in ran.err
    assert ran.out == ""
    assert (await shell("agent", "list", "--json")).json == []


async def test_no_secret_is_shown_listed_exported_or_told_in_a_change(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    secret = "s3cr3t-of-anna-123"
    assert "not on the command line" in (await shell("agent", "set", "anna", f"sip_secret={secret}", status=1)).err
    assert secret not in (await shell("agent", "password", "anna", "--for", "sip", stdin=f"{secret}\n")).out
    await shell("telephone", "create", "desk1")
    assert secret not in (await shell("telephone", "secret", "desk1", "--set", stdin=f"{secret}\n")).out
    assert (await shell("telephone", "secret", "desk1")).out == f"{secret}\n"
    for words in (["show", "anna"], ["show", "anna", "--json"], ["list"], ["export"]):
        ran = await shell("agent", *words)
        assert secret not in ran.out
        assert "sip_secret" not in ran.out
    assert (await shell("agent", "secret", "anna")).out == f"{secret}\n"


async def test_agents_are_searched_sorted_and_paged(shell: Shell) -> None:
    for name in ("carla", "anna", "bert"):
        await shell("agent", "create", name, f"email={name}@example.com")
    names = [agent["username"] for agent in (await shell("agent", "list", "--json")).json]
    assert names == ["anna", "bert", "carla"]
    found = await shell("agent", "list", "--sort", "-internal", "--limit", "1", "--offset", "1", "--json")
    assert [agent["username"] for agent in found.json] == ["anna"]
    assert "for more: --offset 2" in found.err
    assert [agent["username"] for agent in (await shell("agent", "list", "bert@", "--json")).json] == ["bert"]
    assert (await shell("agent", "list", "%", "--json")).json == []
    assert "did you mean email?" in (await shell("agent", "list", "--sort", "emial", status=1)).err


async def test_deleting_several_asks_and_is_all_or_nothing(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    await shell("agent", "create", "bert")
    assert "Say --yes" in (await shell("agent", "delete", "anna", "bert", status=1)).err
    assert "there is no agent zoe" in (await shell("agent", "delete", "anna", "zoe", "--yes", status=1)).err
    assert len((await shell("agent", "list", "--json")).json) == 2
    await shell("agent", "delete", "anna", "bert", "--yes")
    assert (await shell("agent", "list", "--json")).json == []


async def test_on_a_terminal_there_are_tables_and_a_question_before_several_go(shell: Shell) -> None:
    await shell("agent", "create", "anna", "full_name=Anna [red]Rossi")
    await shell("agent", "create", "bert")
    told = await on_a_terminal(shell, "agent", "list", "anna")
    assert "────" in told
    assert "Anna [red]Rossi" in told
    assert "email" not in told, "a field that nobody has"
    assert "locked" not in told
    narrow = await on_a_terminal(shell, "agent", "list", columns=40)
    assert "…" not in narrow, "nothing is cut off"
    assert "Aborted" in await on_a_terminal(shell, "agent", "delete", "anna", "bert", typed="n\n")
    assert len((await shell("agent", "list", "--json")).json) == 2
    told = await on_a_terminal(shell, "agent", "delete", "anna", "bert", typed="y\n")
    assert "Delete 2 agents: anna, bert?" in told
    assert (await shell("agent", "list", "--json")).json == []


async def test_a_password_is_read_from_standard_input_and_kept_as_a_hash(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    await shell("agent", "password", "anna", stdin="Right-Horse-7\n")
    await execute(
        shell,
        "do $$ begin if not exists (select from agentbridge.agents where password_hash like '$argon2id$%') then "
        "raise 'no hash'; end if; end $$",
    )
    await execute(shell, "update agentbridge.settings set security_suite = true")
    assert "needs" in (await shell("agent", "password", "anna", stdin="weak\n", status=1)).err


# ---------------------------------------------------------------- sessions


async def test_verbs_say_what_is_so_and_a_refusal_says_why(shell: Shell) -> None:
    await shell("queue", "create", "sales")
    await shell("agent", "create", "anna", "--queue", "sales")
    assert "not logged in" in (await shell("agent", "pause", "anna", status=1)).err
    assert (await shell("agent", "login", "anna")).err == "anna is logged in\n"
    assert (await shell("agent", "login", "anna")).err == "anna was logged in already\n"
    assert (await shell("agent", "pause", "anna", "--reason", "lunch")).err == "anna is on pause\n"
    assert (await shell("agent", "show", "anna", "--json")).json["status"]["pause_reason"] == "lunch"
    assert (await shell("agent", "unpause", "anna")).err == "anna is not on pause\n"
    assert "phonebar" in (await shell("agent", "logout", "anna", "--source", "web", status=1)).err
    assert (await shell("agent", "logout", "anna")).err == "anna is logged out\n"


async def test_waiting_without_a_daemon_ends_with_1_and_says_so(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    ran = await shell("agent", "login", "anna", "--wait", "--timeout", "0.3", status=1)
    assert "it is in the directory, but not in Asterisk within 0.3 s: no daemon has done it" in ran.err


async def test_status_knows_when_no_daemon_runs(shell: Shell) -> None:
    ran = await shell("status", "--json", status=4)
    assert ran.json["state"] == "no_daemon"


@pytest.mark.parametrize(
    ("said", "seen", "status"),
    [
        ("true, 0", "1 minute", 0),  # ahead: on a busy machine the command itself may take longer than the limit
        ("false, 0", "1 minute", 1),
        ("true, 1", "1 minute", 1),
        ("true, 0", "-1 minute", 4),
    ],
)
async def test_status_judges_what_the_daemon_said(shell: Shell, said: str, seen: str, status: int) -> None:
    await execute(
        shell,
        "insert into agentbridge.nodes (node, asterisk_up, failed, seen_at)"
        f" values ('lab', {said}, now() + interval '{seen}')",
    )
    await shell("status", status=status)


async def test_a_refused_removal_is_told_and_confirmed(shell: Shell) -> None:
    assert "no daemon has refused anything" in (await shell("plan", "--confirm")).err
    await execute(shell, "insert into agentbridge.nodes (node, asterisk_up) values ('lab', true)")
    await execute(shell, "select agentbridge.hold('lab', array(select generate_series(1000, 1039)::text), 50)")
    shown = (await shell("status", status=1)).out
    assert "refused to remove 40 of 50" in shown
    assert "is not what is held now" in (await shell("plan", "--confirm", "--code", "abc", status=1)).err
    (code,) = re.findall(r"--code ([0-9a-f]{8})", shown)
    confirmed = await shell("plan", "--confirm", "--code", code)
    assert "confirmed: 1000 may be taken out" in confirmed.out
    assert "confirmed: the daemon goes on now" in confirmed.err
    await execute(shell, "update agentbridge.nodes set seen_at = now()")
    assert "refused" not in (await shell("status")).out


# ---------------------------------------------------------------- queues, teams, telephones


async def test_agents_and_teams_go_into_queues_and_out(shell: Shell) -> None:
    for queue in ("sales", "support"):
        await shell("queue", "create", queue)
    for agent in ("anna", "bert"):
        await shell("agent", "create", agent)
    await shell("team", "create", "north")
    await shell("team", "add", "north", "bert")
    await shell("queue", "add", "*", "anna", "--penalty", "3")
    await shell("queue", "add", "sales", "--team", "north")
    assert (await shell("queue", "show", "sales", "--json")).json["members"] == {"anna": 3, "bert": 0}
    await shell("queue", "remove", "sales", "anna")
    await shell("team", "remove", "north", "bert")
    assert (await shell("queue", "show", "sales", "--json")).json["members"] == {}
    assert "there is no agent zoe" in (await shell("queue", "add", "sales", "zoe", status=1)).err


async def test_available_telephones_are_those_registered_and_bound_to_nobody(shell: Shell) -> None:
    for name in ("desk1", "desk2", "desk3"):
        await shell("telephone", "create", name)
    await execute(shell, "update agentbridge.telephones set registered = true where name <> 'desk3'")
    await shell("agent", "create", "anna", "typology=external", "hot_desk=yes")
    await shell("agent", "login", "anna", "--telephone", "desk1")
    free = (await shell("telephone", "list", "--available", "--json")).json
    assert [telephone["name"] for telephone in free] == ["desk2"]


# ---------------------------------------------------------------- with a daemon and a real Asterisk


async def test_plan_shows_what_a_daemon_then_does_and_waiting_ends_when_asterisk_has_it(
    asterisk: Asterisk, postgres: Postgres
) -> None:
    name = "cli_daemon"
    dsn = await postgres.create_directory(name, range(7100, 7110))
    async with Bridge(asterisk, dsn, name=name) as bridge:
        shell = Shell(bridge.config)
        await shell("queue", "create", "sales")
        await shell("agent", "create", "anna", "voicemail=yes", "--queue", "sales")
        await shell("agent", "password", "anna", "--for", "voicemail", stdin="730846\n")
        secret = (await shell("agent", "secret", "anna")).out.strip()
        planned = await shell("plan", "--json", status=3)
        assert {step["action"] for step in planned.json["steps"] if step["key"] == "7100"} >= {"PutObject", "PutPolicy"}
        assert "PutMailbox" in planned.out
        assert [hidden for hidden in (secret, "730846") if hidden in planned.out] == []
        assert not re.search("MD5:[0-9a-f]{32}", planned.out)
        shown = (await shell("plan", status=3)).out
        assert "7100: PutObject" in shown
        assert "730846" not in shown

        await bridge.start()
        assert "Asterisk has it, after" in (await shell("agent", "login", "anna", "--wait")).err
        assert "PJSIP/7100" in await asterisk.cli("queue show sales")
        assert "Asterisk has it" in (await shell("agent", "pause", "anna", "--reason", "lunch", "--wait")).err
        assert "(paused:lunch" in await asterisk.cli("queue show sales")

        async def converged() -> bool:
            try:
                return (await bridge.cli("status")).startswith("converged")
            except LabError:
                return False

        await until(converged, within=20.0, what="status converged")
        told = (await shell("status", "--json")).json
        assert (told["logged_in"], told["paused"], told["nodes"][0]["asterisk_up"]) == (1, 1, True)
        # the last line: before it stands what this Asterisk lacks
        assert (await shell("plan")).err.splitlines()[-1] == "no difference"

        await shell("agent", "delete", "anna")
        await until(converged, within=20.0, what="status converged")
        assert "7100" not in await asterisk.cli("queue show sales")
    await postgres.drop_database(name)
