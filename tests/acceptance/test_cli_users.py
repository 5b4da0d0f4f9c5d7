"""`agentbridge --user NAME`: what a user of the directory may do by command (A1)."""

import pytest
import pytest_asyncio

from tests.acceptance.shell import Ran, Shell, execute

USERS = """
insert into agentbridge.users (username, role, agents_permission)
    values ('root', 'admin', false), ('lead', 'user', true), ('clerk', 'user', false);
insert into agentbridge.queues (name) values ('sales'), ('support');
insert into agentbridge.teams (name) values ('north');
insert into agentbridge.user_queues select u, id from agentbridge.queues, unnest('{lead,clerk}'::text[]) u
    where name = 'sales';
insert into agentbridge.agents (username) values ('anna'), ('bea');
insert into agentbridge.queue_members select a.id, q.id from agentbridge.agents a join agentbridge.queues q
    on (a.username, q.name) in (('anna', 'sales'), ('bea', 'support'));
"""


@pytest_asyncio.fixture
async def office(shell: Shell) -> Shell:
    """Lead and clerk have the queue sales, where anna is; only lead may manage agents."""
    await execute(shell, USERS)
    return shell


async def as_user(shell: Shell, user: str, *words: str, status: int = 0) -> Ran:
    return await shell("--user", user, *words, status=status)


async def test_a_user_sees_and_changes_the_agents_of_its_queues_alone(office: Shell) -> None:
    listed = (await as_user(office, "lead", "agent", "list", "--json")).json
    assert [agent["username"] for agent in listed] == ["anna"]
    assert "bea" not in (await as_user(office, "lead", "agent", "export")).out
    await as_user(office, "lead", "agent", "set", "anna", "alias=Anni")
    await as_user(office, "lead", "agent", "login", "anna")
    for words in (
        ("show", "bea"), ("set", "bea", "alias=B"), ("delete", "bea"), ("secret", "bea"), ("unlock", "bea"),
        ("password", "bea"), ("login", "bea"), ("export", "bea"),
    ):  # fmt: skip
        assert "user: lead may not manage bea" in (await as_user(office, "lead", "agent", *words, status=1)).err
    assert (await office("agent", "show", "bea", "--json")).json["alias"] == ""


async def test_a_user_makes_agents_in_its_own_queues_and_nowhere_else(office: Shell) -> None:
    await as_user(office, "lead", "agent", "create", "cleo", "--queue", "sales")
    assert "may not manage dora" in (await as_user(office, "lead", "agent", "create", "dora", status=1)).err
    for queues in (("--queue", "support"), ("--queue", "*")):
        ran = await as_user(office, "lead", "agent", "create", "dora", *queues, status=1)
        assert "the queue support is not enabled for lead" in ran.err
    assert "queue support" in (await as_user(office, "lead", "queue", "add", "support", "anna", status=1)).err
    await as_user(office, "lead", "queue", "remove", "sales", "cleo")
    listed = (await office("agent", "list", "--json")).json
    assert [agent["username"] for agent in listed] == ["anna", "bea", "cleo"]


@pytest.mark.parametrize(
    "words",
    [
        ("agent", "set", "anna", "may_spy=yes"),
        ("agent", "create", "dora", "may_spy=yes", "--queue", "sales"),
        ("agent", "create", "dora", "--queue", "sales", "--team", "north"),
        ("team", "add", "north", "anna"),
        ("team", "create", "south"),
        ("queue", "delete", "sales"),
        ("queue", "add", "sales", "--team", "north"),
        ("telephone", "create", "desk1"),
    ],
    ids=" ".join,
)
async def test_what_is_for_administrators_is_refused_to_others(office: Shell, words: tuple[str, ...]) -> None:
    assert "lead is no administrator" in (await as_user(office, "lead", *words, status=1)).err
    await as_user(office, "root", *words)


@pytest.mark.parametrize(
    ("user", "told"),
    [("clerk", "clerk is no "), ("nobody", "no user nobody")],
)
async def test_without_the_permission_nothing_is_seen_or_done(office: Shell, user: str, told: str) -> None:
    for words in (
        ("agent", "list"), ("agent", "set", "anna", "alias=A"), ("queue", "remove", "sales", "anna"),
        ("queue", "list"), ("telephone", "list"), ("recording", "list"), ("recording", "pause", "anna"),
    ):  # fmt: skip
        assert told in (await as_user(office, user, *words, status=1)).err


async def test_each_command_asks_the_gate(office: Shell) -> None:
    """Those that looked at no user once: each for who may do it."""
    for words in (("plan", "--confirm"), ("plan",), ("check",), ("status",), ("db", "status"), ("user", "list")):
        assert "lead is no administrator" in (await as_user(office, "lead", *words, status=1)).err, words
    for user in ("lead", "root"):
        for words in (("db", "migrate"), ("db", "grant", "lead"), ("run",)):
            assert (
                "only for whoever may read the configuration" in (await as_user(office, user, *words, status=1)).err
            ), words
    assert "no daemon has refused" in (await as_user(office, "root", "plan", "--confirm")).err
    assert [queue["name"] for queue in (await as_user(office, "lead", "queue", "list", "--json")).json] == ["sales"]
    assert "not enabled for lead" in (await as_user(office, "lead", "queue", "show", "support", status=1)).err
    assert "lead may not act for bea" in (await as_user(office, "lead", "recording", "pause", "bea", status=1)).err
    await execute(
        office,
        "insert into agentbridge.recordings (node, agent_id, username, internal, linkedid, part, file, format,"
        " started_at) select 'n', id, username, internal, username, 1, username, 'wav', now() from agentbridge.agents",
    )
    listed = (await as_user(office, "lead", "recording", "list", "--json")).json
    assert [recording["username"] for recording in listed] == ["anna"]


async def test_a_supervisor_watches_listens_and_does_no_more(office: Shell) -> None:
    """M5: may_spy of a user, by command."""
    await execute(
        office,
        "insert into agentbridge.users (username, may_spy) values ('sue', true);"
        "insert into agentbridge.user_queues select 'sue', id from agentbridge.queues where name = 'sales';"
        "update agentbridge.agents set chanspy = true, may_spy = true;"
        "insert into agentbridge.live_nodes values ('n', 1, 0, now());"
        "insert into agentbridge.live_agents (node, internal, username, state, since, version)"
        " select 'n', internal, username, 'ready', now(), 1 from agentbridge.agents;"
        "insert into agentbridge.recordings (node, agent_id, username, internal, linkedid, part, file, format,"
        " started_at) select 'n', id, username, internal, username, 1, username, 'wav', now() from agentbridge.agents",
    )
    shown = (await as_user(office, "sue", "watch", "--once")).out
    assert ("anna" in shown, "bea" in shown) == (True, False)
    assert (await as_user(office, "sue", "recording", "list", "--json")).json == [], "no download_recordings"
    await office("user", "set", "sue", "download_recordings=yes")
    listed = (await as_user(office, "sue", "recording", "list", "--json")).json
    assert [recording["username"] for recording in listed] == ["anna"]
    assert "may not listen to bea" in (await as_user(office, "sue", "spy", "anna", "bea", status=1)).err
    assert "nobody listens to its own call" in (await as_user(office, "sue", "spy", "anna", "anna", status=1)).err
    assert "lead is no supervisor" in (await as_user(office, "lead", "spy", "anna", "bea", status=1)).err
    for words in (("agent", "list"), ("agent", "pause", "anna"), ("hangup", "anna"), ("recording", "stop", "anna")):
        assert "sue is no manager" in (await as_user(office, "sue", *words, status=1)).err


async def test_a_second_user_or_another_configuration_is_refused(office: Shell) -> None:
    """By a rule of sudo a script has `--user lead` before whatever its caller adds."""
    for words in (("--user", "root", "agent", "list"), ("agent", "list", "--user", "root")):
        assert (await as_user(office, "lead", *words, status=1 if words[0] == "--user" else 2)).out == ""
    asked = await office("--user", "root", "agent", "list", status=1, AGENTBRIDGE_USER="lead")
    assert "name one user" in asked.err
    other = ("--config", str(office.config))
    for words in ((*other, "agent", "list"), ("agent", "list", *other)):
        assert "--config: not beside --user" in (await as_user(office, "lead", *words, status=1)).err
    assert (await office("agent", "list", "--json", AGENTBRIDGE_USER="lead")).json[0]["username"] == "anna"


async def test_an_import_is_for_administrators(office: Shell) -> None:
    file = office.config.with_name("agents.csv")
    file.write_text("username,queues\ncleo,sales\n")
    assert "lead is no administrator" in (await as_user(office, "lead", "agent", "import", str(file), status=1)).err
    assert (await as_user(office, "root", "agent", "import", str(file))).err == "1 agents are made\n"
