"""An agent's other channels and modules by command."""

import pytest

from tests.acceptance.shell import Shell, execute


async def test_capacity_and_automatic_answer_of_a_channel_are_set_field_by_field(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    assert (await shell("agent", "show", "anna", "--json")).json["channels"] == {}
    await shell("agent", "channel", "anna", "chat", "capacity=3")
    await shell("agent", "channel", "anna", "chat", "auto_answer=yes", "auto_answer_delay=5")
    assert (await shell("agent", "show", "anna", "--json")).json["channels"] == {
        "chat": {"capacity": 3, "auto_answer": True, "auto_answer_delay": 5}
    }


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("anna", "letter", "capacity=1"), "channel: must be one of chat, email, sms, openchannel, fax, whatsapp"),
        (("anna", "chat", "capacity=-1"), "capacity: must be 0 to 1000 (got -1)"),
        (("anna", "chat", "capacity=x"), "capacity: must be a whole number"),
        (("anna", "chat", "capcity=1"), "capcity: there is no such field; did you mean capacity?"),
        (("zoe", "chat", "capacity=1"), "username: there is no agent zoe"),
    ],
)
async def test_a_channel_s_rules_are_told(shell: Shell, words: tuple[str, ...], rule: str) -> None:
    await shell("agent", "create", "anna")
    assert rule in (await shell("agent", "channel", *words, status=1)).err


async def test_modules_are_switched_on_and_off(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    await execute(shell, "insert into agentbridge.modules values ('video')")
    before = (await shell("agent", "show", "anna", "--json")).json["modules"]
    assert "voice" in before
    assert "video" not in before
    for _ in range(2):
        await shell("agent", "module", "anna", "video", "--on")
        await shell("agent", "module", "anna", "voice", "--off")
    after = (await shell("agent", "show", "anna", "--json")).json["modules"]
    assert set(after) == set(before) - {"voice"} | {"video"}
    assert (
        "there is no module vioce; there are chat, email"
        in (await shell("agent", "module", "anna", "vioce", "--on", status=1)).err
    )


async def test_one_name_serves_two_channels(shell: Shell) -> None:
    """M8: the queue of voice is called by the name, the other one name@channel."""
    await shell("queue", "create", "sales", "channel=chat")
    await shell("agent", "create", "anna", "full_name=Anna")
    await shell("queue", "add", "sales", "anna", "--penalty", "3")
    made = await shell("queue", "create", "SALES")
    assert "SALES" in made.out
    assert "a queue sales exists already" in (await shell("queue", "create", "sales", status=1)).err
    listed = (await shell("queue", "list", "--json")).json
    assert [(queue["name"], queue["channel"], queue["members"]) for queue in listed] == [
        ("SALES", "voice", 0),
        ("sales@chat", "chat", 1),
    ]
    await shell("queue", "add", "SALES", "anna")
    assert (await shell("agent", "show", "anna", "--json")).json["queues"] == {"SALES": 0, "sales@chat": 3}
    shown = (await shell("queue", "show", "sales@chat", "--json")).json
    assert (shown["name"], shown["channel"], shown["members"]) == ("sales", "chat", {"anna": 3})
    exported = (await shell("agent", "export")).out
    await shell("agent", "delete", "anna")
    file = shell.config.with_name("agents.csv")
    file.write_text(exported)
    await shell("agent", "import", str(file))
    assert (await shell("agent", "show", "anna", "--json")).json["queues"] == {"SALES": 0, "sales@chat": 3}
    await shell("queue", "remove", "sales@chat", "anna")
    await shell("queue", "delete", "SALES")
    assert [queue["name"] for queue in (await shell("queue", "list", "--json")).json] == ["sales"]


async def test_queues_are_listed_and_filled_by_channel(shell: Shell) -> None:
    await shell("queue", "create", "sales")
    await shell("queue", "create", "help", "channel=chat")
    await shell("agent", "create", "anna")
    chat = (await shell("queue", "list", "--channel", "chat", "--json")).json
    assert [queue["name"] for queue in chat] == ["help"]
    await shell("queue", "add", "*", "anna", "--channel", "chat")
    assert (await shell("agent", "show", "anna", "--json")).json["queues"] == {"help": 0}
    assert "--channel: must be one of voice, chat" in (await shell("queue", "list", "--channel", "post", status=2)).err
    assert (
        "chooses among all queues (*)"
        in (await shell("queue", "add", "sales", "anna", "--channel", "chat", status=2)).err
    )


async def test_the_last_change_of_a_password_is_shown_with_the_security_suite_on(shell: Shell) -> None:
    await shell("agent", "create", "anna")
    assert "password_changed_at" not in (await shell("agent", "show", "anna", "--json")).json
    await shell("setting", "set", "security_suite=yes")
    assert "password_changed_at" in (await shell("agent", "show", "anna", "--json")).json
    refused = await shell("agent", "create", "bert", "password=Secret-12", status=1)
    assert refused.err == "agentbridge: password: can't be set here; it is set by `agent password`\n"
