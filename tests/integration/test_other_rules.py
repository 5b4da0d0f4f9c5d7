"""What the database refuses of everything that is not an agent: telephones, teams, penalties, channels, settings."""

import pytest

from tests.integration.words import Connection, add_agent, add_queue, add_telephone, refusal

REFUSED = [
    ("insert into agentbridge.telephones (name, transport) values ('d1', '{tls}')", "transport: only udp, tcp"),
    ("insert into agentbridge.telephones (name, codecs) values ('d1', '{}')", "codecs: name at least one of"),
    ("insert into agentbridge.telephones (name, nat) values ('d1', '{yes,no}')", "nat: only force_rport and comedia"),
    ("insert into agentbridge.telephones (name, host) values ('d1', 'pbx')", "host: must be dynamic or one IP address"),
    ("insert into agentbridge.telephones (name, sip_type) values ('d1', 'foe')", "sip_type: must be one of friend"),
    ("insert into agentbridge.telephones (name, sip_secret) values ('d1', 'x')", "sip_secret: must be 8 to 128"),
    ("insert into agentbridge.telephones (name, context) values ('d1', null)", "context: must not be null"),
    ("insert into agentbridge.teams (name) values (' ')", "name: a team needs a name"),
    ("insert into agentbridge.teams (name) values (E'a\\nb')", "name: control characters"),
    ("insert into agentbridge.queues (name, channel) values ('q', 'letter')", "channel: must be one of voice, chat"),
    ("insert into agentbridge.queue_members values (1, 1, -1)", "penalty: must be 0 to 1000000 (got -1)"),
    ("insert into agentbridge.team_queues values (1, 1, 1000001)", "penalty: must be 0 to 1000000 (got 1000001)"),
    ("insert into agentbridge.agent_channels values (1, 'voice', 1)", "channel: must be one of chat, email, sms"),
    ("insert into agentbridge.agent_channels values (1, 'chat', -1)", "capacity: must be 0 to 1000 (got -1)"),
    ("insert into agentbridge.agent_channels values (1, 'chat', 1, true, 61)", "auto_answer_delay: must be 0 to 60"),
    ("insert into agentbridge.users (username) values ('a b')", "username: must be 1 to 80 letters"),
    ("insert into agentbridge.users (username, role) values ('a', 'boss')", "role: must be one of admin, user"),
    ("insert into agentbridge.users (username) values (null)", "username: must not be null"),
    (
        "update agentbridge.settings set internal_from = 20, internal_to = 19",
        "internal_to: must not be below internal_from, and the range may hold at most 100000 numbers (got 20 to 19)",
    ),
    (
        "update agentbridge.settings set internal_from = 1, internal_to = 100001",
        "internal_to: must not be below internal_from, and the range may hold at most 100000 numbers (got 1 to 100001)",
    ),
    ("update agentbridge.settings set internal_from = 0", "internal_from: must be at least 1 (got 0)"),
    (
        "update agentbridge.settings set internal_to = 10000000000000000",
        "internal_to: must have at most 16 digits (got 10000000000000000)",
    ),
    ("update agentbridge.settings set lock_after = null", "lock_after: must not be null"),
    ("insert into agentbridge.queue_members values (1, 1, null)", "penalty: must not be null"),
    ("insert into agentbridge.agent_channels values (1, 'chat', null)", "capacity: must not be null"),
    ("delete from agentbridge.settings", "settings: the one row must stay; update it"),
    ("truncate agentbridge.settings", "settings: the one row must stay; update it"),
    ("select agentbridge.claim_interaction('anna', 'chat', '')", "interaction: name it"),
    ("select agentbridge.claim_interaction('anna', 'chat', null)", "interaction: name it"),
    ("select agentbridge.claim_interaction('anna', 'voice', '1')", "channel: must be one of chat"),
    ("select agentbridge.release_interaction('anna', 'letter', '1')", "channel: must be one of chat"),
    ("select agentbridge.release_interaction('zoe', 'chat', '1')", "username: there is no agent zoe"),
]
BOUNDS = [
    ("lock_after = -1", "lock_after must be 0 (never) to 1000"),
    ("mask_characters = 0", "mask_characters must be 1 to 64"),
    ("only_row = false", "only_row"),
]


@pytest.mark.parametrize(("statement", "message"), REFUSED, ids=[message for _, message in REFUSED])
async def test_it_is_refused_in_words_that_name_field_and_rule(sql: Connection, statement: str, message: str) -> None:
    await add_agent(sql, "anna")
    await add_queue(sql, "sales")
    await sql.execute("insert into agentbridge.teams (name) values ('north')")
    assert (await refusal(sql.execute(statement))).startswith(message)


@pytest.mark.parametrize(("assignment", "rule"), BOUNDS, ids=[assignment for assignment, _ in BOUNDS])
async def test_a_setting_out_of_its_bounds_is_refused_by_the_rule_s_name(
    sql: Connection, assignment: str, rule: str
) -> None:
    assert rule in await refusal(sql.execute(f"update agentbridge.settings set {assignment}"), "23514")


async def test_a_second_row_of_settings_is_refused(sql: Connection) -> None:
    await refusal(sql.execute("insert into agentbridge.settings default values"), "23505")


async def test_a_user_s_name_is_taken_once(sql: Connection) -> None:
    await sql.execute("insert into agentbridge.users (username) values ('bea'), ('cleo')")
    insert = "insert into agentbridge.users (username) values ('bea')"
    assert await refusal(sql.execute(insert), "AB002") == "username: a user bea exists already"
    rename = "update agentbridge.users set username = 'bea' where username = 'cleo'"
    assert await refusal(sql.execute(rename), "AB002") == "username: a user bea exists already"
    await sql.execute("update agentbridge.users set role = 'admin' where username = 'bea'")


async def test_teams_and_telephones_have_names_of_their_own(sql: Connection) -> None:
    insert = "insert into agentbridge.teams (name) values ('north')"
    await sql.execute(insert)
    assert "name: a team north exists already" in await refusal(sql.execute(insert), "AB002")
    await add_telephone(sql, "desk1")
    assert "name: a telephone desk1 exists already" in await refusal(add_telephone(sql, "desk1"), "AB002")


async def test_a_refusal_of_a_missing_value_tells_no_secret(sql: Connection) -> None:
    """PostgreSQL's own error has the whole row in its detail."""
    for insert in ("agents (username, sip_secret, nat)", "telephones (name, sip_secret, nat)"):
        doing = sql.execute(f"insert into agentbridge.{insert} values ('anna', 'very-secret-1', null)")
        said = await refusal(doing, "AB001")
        assert said == "nat: must not be null; leave it out for the default"
