"""`agentbridge setting` and `agentbridge user`: what holds for the whole directory, and who manages agents (A1)."""

import pytest
import pytest_asyncio

from tests.acceptance.shell import Ran, Shell, execute


async def test_the_settings_are_listed_and_changed_old_to_new(shell: Shell) -> None:
    settings = (await shell("setting", "list", "--json")).json
    kept = {name: settings.pop(name) for name in list(settings) if name.startswith("keep_")}
    assert len(kept) == 6, "how long what grows is kept"
    assert settings == {
        "internal_from": 1000, "internal_to": 1999, "strict_full_name": False, "security_suite": False,
        "lock_after": 0, "mask_characters": 4, "screen_recording_path": "", "queue_failover_seconds": 20,
    }  # fmt: skip
    ran = await shell("setting", "set", "lock_after=5", "security_suite=yes", "mask_characters=4")
    assert ran.out == "lock_after: 0 → 5\nsecurity_suite: no → yes\n"
    assert "lock_after              5\n" in (await shell("setting", "list")).out
    changed = (await shell("setting", "set", "lock_after=6", "--json")).json
    assert changed == [{"field": "lock_after", "old": 5, "new": 6}]
    assert "it was so already" in (await shell("setting", "set", "lock_after=6")).err


async def test_a_setting_is_obeyed_at_once(shell: Shell) -> None:
    await shell("setting", "set", "internal_from=7000", "internal_to=7001")
    assert (await shell("agent", "create", "anna")).out == "agent anna has the number 7000\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("lock_after=1001", "lock_after must be 0 (never) to 1000"),
        ("mask_characters=0", "mask_characters must be 1 to 64"),
        ("internal_from=2000", "internal_to: must not be below internal_from"),
        ("security_suite=perhaps", "security_suite: must be yes or no (got perhaps)"),
        ("lock_after=often", "lock_after: must be a whole number (got often)"),
        ("lock_afte=5", "lock_afte: there is no such field; did you mean lock_after?"),
        ("only_row=no", "only_row: can't be set here"),
        ("lock_after=", "lock_after: must not be null; leave it out for the default"),
    ],
)
async def test_a_setting_that_breaks_a_rule_is_refused_and_nothing_is_changed(
    shell: Shell, given: str, told: str
) -> None:
    ran = await shell("setting", "set", "screen_recording_path=/new", given, status=1)
    assert told in ran.err
    assert "relation" not in ran.err  # PostgreSQL's own words
    assert (await shell("setting", "list", "--json")).json["screen_recording_path"] == ""


@pytest_asyncio.fixture
async def office(shell: Shell) -> Shell:
    await execute(
        shell,
        "insert into agentbridge.queues (name) values ('sales'), ('support');"
        "insert into agentbridge.agents (username) values ('anna')",
    )
    await shell("queue", "add", "sales", "anna")
    return shell


async def test_a_user_is_made_with_its_queues_and_manages_their_agents(office: Shell) -> None:
    made = await office("user", "create", "lead", "agents_permission=yes", "--queue", "support")
    assert made.out == "user lead is made, with the role user\n"
    mine = ("--user", "lead", "agent", "list", "--json")
    assert (await office(*mine)).json == []
    await office("user", "add", "lead", "sales")
    assert [agent["username"] for agent in (await office(*mine)).json] == ["anna"]
    assert (await office("user", "show", "lead", "--json")).json == {
        "username": "lead", "role": "user", "agents_permission": True, "may_spy": False, "download_recordings": False,
        "queues": ["sales", "support"],
    }  # fmt: skip
    await office("user", "remove", "lead", "*")
    assert (await office(*mine)).json == []


async def test_users_are_listed_changed_and_deleted(office: Shell) -> None:
    await office("user", "create", "lead", "--queue", "*")
    await office("user", "create", "root", "role=admin")
    listed = (await office("user", "list", "--json")).json
    assert [(user["username"], user["role"], user["queues"]) for user in listed] == [
        ("lead", "user", 2), ("root", "admin", 0),
    ]  # fmt: skip
    assert (await office("user", "set", "lead", "role=admin")).out == "role: user → admin\n"
    assert (await office("user", "delete", "lead")).err == "deleted: lead\n"
    assert [user["username"] for user in (await office("user", "list", "--json")).json] == ["root"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "a b"), "username: must be 1 to 80 letters, digits, . and _ (got a b)"),
        (("create", "lead"), "username: a user lead exists already"),
        (("create", "new", "role=owner"), "role: "),
        (("create", "new", "--queue", "sails"), "name: there is no queue sails"),
        (("add", "nobody", "sales"), "username: there is no user nobody"),
        (("remove", "nobody", "sales"), "username: there is no user nobody"),
        (("set", "lead", "password_hash=x"), "password_hash: can't be set here"),
        (("show", "nobody"), "username: there is no user nobody"),
        (("delete", "nobody"), "username: there is no user nobody"),
    ],
)
async def test_what_is_wrong_with_a_user_is_said_and_nothing_is_done(
    office: Shell, words: tuple[str, ...], told: str
) -> None:
    await office("user", "create", "lead")
    assert told in (await office("user", *words, status=1)).err
    assert [user["username"] for user in (await office("user", "list", "--json")).json] == ["lead"]


@pytest.mark.parametrize(
    "words",
    [
        ("setting", "set", "lock_after=1"),
        ("user", "create", "friend", "role=admin"),
        ("user", "set", "lead", "role=admin"),
        ("user", "add", "lead", "support"),
        ("user", "remove", "lead", "sales"),
        ("user", "delete", "lead"),
    ],
    ids=" ".join,
)
async def test_settings_and_users_are_for_administrators(office: Shell, words: tuple[str, ...]) -> None:
    await office("user", "create", "lead", "agents_permission=yes", "--queue", "sales")
    await office("user", "create", "root", "role=admin")
    refused: Ran = await office("--user", "lead", *words, status=1)
    assert "lead is no administrator" in refused.err
    await office("--user", "root", *words)
