"""What the database refuses of an agent, a telephone or a queue, whoever writes it, and in which words."""

from typing import Any

import pytest

from tests.integration.words import Connection, add_agent, add_queue, add_telephone, refusal

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"username": "anna maria"}, "username: must be 1 to 80 letters, digits, . and _ (got anna maria)"),
    ({"username": ""}, "username: must be"),
    ({"internal": "12a"}, "internal: must be 1 to 16 digits (got 12a)"),
    ({"internal": "1" * 17}, "internal: must be 1 to 16 digits"),
    ({"full_name": "a\nb"}, "full_name: control characters and line ends are not allowed"),
    ({"full_name": "x" * 201}, "full_name: at most 200 characters (got 201)"),
    ({"alias": "x" * 81}, "alias: at most 80 characters (got 81)"),
    ({"alias": "a\x1bb"}, "alias: control characters"),
    ({"email": "anna"}, "email: must be one address"),
    ({"email": "a@b.c, d@e.f"}, "email: must be one address"),
    ({"typology": "Phonebar"}, "typology: must be one of phonebar, external, webrtc (got Phonebar)"),
    ({"typology": "webrtc", "transport": ["udp"]}, "transport: a webrtc agent must use wss (got udp)"),
    ({"typology": "webrtc", "transport": ["wss", "ws"]}, "transport: a webrtc agent must use wss (got wss,ws)"),
    ({"typology": "phonebar", "transport": ["ws"]}, "transport: a phonebar agent must use udp or tcp (got ws)"),
    ({"transport": []}, "transport: name at least one of udp, tcp, ws, wss"),
    ({"transport": ["tls"]}, "transport: only udp, tcp, ws, wss are allowed (got tls)"),
    ({"transport": ["wss", "udp"]}, "transport: udp and tcp can't be combined with ws and wss (got wss,udp)"),
    ({"transport": ["udp", "udp"]}, "transport: a value is named twice (got udp,udp)"),
    ({"transport": ["udp", None]}, "transport: only udp, tcp, ws, wss are allowed (got udp,null)"),
    ({"typology": "phonebar", "codecs": ["g729"]}, "codecs: a phonebar agent can't use g729"),
    ({"typology": "webrtc", "codecs": ["opus", "g729"]}, "codecs: a webrtc agent can't use g729"),
    ({"codecs": ["mp3"]}, "codecs: only ulaw, alaw, gsm, g722, g729, opus are allowed (got mp3)"),
    ({"codecs": []}, "codecs: name at least one"),
    ({"host": "phone.example.com"}, "host: must be dynamic or one IP address (got phone.example.com)"),
    ({"host": "10.0.0.0/8"}, "host: must be dynamic or one IP address"),
    ({"host": "::"}, "host: must be dynamic or one IP address"),
    ({"host": "1.2.3.4.5"}, "host: must be dynamic or one IP address"),
    ({"host": "::ffff:127.0.0.9"}, "host: an IPv4 address is written plainly"),
    ({"host": "::FFFF:7f00:9"}, "host: an IPv4 address is written plainly"),
    ({"nat": ["maybe"]}, "nat: only yes, no, force_rport, comedia, never, route are allowed"),
    ({"nat": ["yes", "no"]}, "nat: only force_rport and comedia can be combined (got yes,no)"),
    ({"sip_type": "foe"}, "sip_type: must be one of friend, user, peer (got foe)"),
    ({"caller_id": "Anna"}, "caller_id: must be a number or Name <number> (got Anna)"),
    ({"caller_id": 'x" <1>'}, "caller_id: must be a number or Name <number>"),
    ({"caller_id": "Anna\r\n <1>"}, "caller_id: control characters"),
    ({"context": "from sip"}, "context: must be 1 to 79 letters"),
    ({"context": ""}, "context: must be 1 to 79 letters"),
    ({"call_group": "64"}, "call_group: must be numbers 0 to 63 and ranges of them, as in 1,3-5"),
    ({"call_group": "5-3"}, "call_group: must be numbers 0 to 63"),
    ({"pickup_group": "1;2"}, "pickup_group: must be numbers 0 to 63"),
    ({"record_calls": "mp3"}, "record_calls: must be one of inactive, wav, wav49, gsm (got mp3)"),
    ({"sip_secret": "short"}, "sip_secret: must be 8 to 128 printable ASCII characters"),
    ({"sip_expires": 5}, "sip_expires: must be 60 to 86400 (got 5)"),
    ({"sip_port": 0}, "sip_port: must be 1 to 65535 (got 0)"),
    ({"auto_answer_delay": -1}, "auto_answer_delay: must be 0 to 60 (got -1)"),
    ({"typology": "phonebar", "hot_desk": True}, "hot_desk: only an external agent can hot desk"),
    ({"typology": "webrtc", "hot_desk": True}, "hot_desk: only an external agent can hot desk"),
    ({"jaws": True}, "jaws: only a phonebar agent has this setting (this one is external)"),
    ({"forward_allowed": True}, "forward_allowed: only a phonebar agent"),
    ({"forward_to": "123"}, "forward_to: only a phonebar agent"),
    ({"ring_in_use": True}, "ring_in_use: only a phonebar agent"),
    ({"unanswered_badge": True}, "unanswered_badge: only a phonebar agent"),
    ({"remote_control": True}, "remote_control: only a phonebar agent"),
    ({"screen_recording_path": "/x"}, "screen_recording_path: only a phonebar agent"),
    ({"screen_recording": "automatic"}, "screen_recording: only a phonebar agent"),
    ({"screen_recording": "both"}, "screen_recording: must be one of none, agent, automatic (got both)"),
    ({"typology": "phonebar", "wss_port": 8089}, "wss_port: only a webrtc agent has this setting"),
    ({"typology": "webrtc", "wss_port": 70000}, "wss_port: must be 1 to 65535 (got 70000)"),
    ({"tls_certificate_path": "/x"}, "tls_certificate_path: only a webrtc agent"),
    ({"tls_key_path": "/x"}, "tls_key_path: only a webrtc agent"),
    ({"tls_key_path": "a\nb"}, "tls_key_path: control characters"),
    ({"ignore_pause_preview": True}, "ignore_pause_preview: only a webrtc agent"),
    ({"remote_control_port": 0}, "remote_control_port: must be 1 to 65535 (got 0)"),
    ({"sip_expires": 90000}, "sip_expires: must be 60 to 86400 (got 90000)"),
    ({"description": "x" * 2001}, "description: at most 2000 characters"),
    ({"host": None}, "host: must not be null; leave it out for the default"),
    ({"chanspy": None}, "chanspy: must not be null"),
    ({"typology": "phonebar", "forward_to": "12,34"}, "forward_to: must be a number of 1 to 32 digits (got 12,34)"),
    ({"client_log_level": "trace"}, "client_log_level: must be one of error, warning, info, debug (got trace)"),
    ({"voicemail_pin": "12"}, "voicemail_pin: must be 4 to 10 digits"),
    ({"password_hash": "secret"}, "password_hash: must be an argon2id hash, never the password"),
    ({"pin_hash": "1234"}, "pin_hash: must be an argon2id hash, never the PIN"),
    ({"avatar": b"x"}, "avatar_type: must be image/png or image/jpeg, beside an avatar"),
    ({"avatar": b"GIF89a", "avatar_type": "image/png"}, "avatar: its content is not image/png"),
    ({"avatar": b"\x89PNG\r\n\x1a\n", "avatar_type": "image/jpeg"}, "avatar: its content is not image/jpeg"),
    ({"avatar": b"x" * (8 * 1024 * 1024 + 1), "avatar_type": "image/png"}, "avatar: at most 8 MB"),
]


async def test_a_wrong_value_is_refused_at_the_insert_in_words_that_name_field_and_rule(sql: Connection) -> None:
    for columns, message in REFUSED:
        said = await refusal(add_agent(sql, **{"username": "anna", **columns}), "AB001")
        assert said.startswith(message)
    assert await sql.fetchval("select count(*) from agentbridge.agents") == 0


async def test_an_update_meets_the_same_rules_as_an_insert(sql: Connection) -> None:
    for columns, message in REFUSED:
        await sql.execute("truncate agentbridge.agents cascade")
        await add_agent(sql, "anna", typology=columns.get("typology", "external").lower())
        changes = ", ".join(f"{column} = ${number}" for number, column in enumerate(columns, 1))
        doing = sql.execute(f"update agentbridge.agents set {changes}", *columns.values())
        assert (await refusal(doing, "AB001")).startswith(message)


@pytest.mark.parametrize(
    "columns",
    [
        {"full_name": 'فاطمة الزهراء, "Fátima"; O’Hara | 王'},
        {"host": "192.0.2.7"},
        {"host": "2001:db8::7"},
        {"nat": ["force_rport", "comedia"]},
        {"caller_id": '"Anna, Sales" <+390612345>'},
        {"caller_id": "Anna <1001>"},
        {"caller_id": "0612345"},
        {"call_group": "0,3-5,63"},
        {"transport": ["wss", "ws"]},
        {"transport": ["tcp", "udp"]},
        {"codecs": ["g729", "opus"]},
        {"email": "anna@example.com"},
        {"typology": "phonebar", "forward_allowed": True, "forward_to": "+39061"},
        {"typology": "webrtc", "ignore_pause_preview": True},
    ],
    ids=str,
)
async def test_what_real_people_and_phones_have_is_accepted(sql: Connection, columns: dict[str, Any]) -> None:
    await add_agent(sql, "anna", **columns)
    row = await sql.fetchrow("select * from agentbridge.agents")
    assert row is not None
    assert {column: row[column] for column in columns} == columns


async def test_a_new_agent_has_the_defaults_of_its_typology(sql: Connection) -> None:
    await sql.execute("insert into agentbridge.agents (username) values ('pia')")
    await add_agent(sql, "wil", typology="webrtc")
    pia, wil = await sql.fetch("select * from agentbridge.agents order by username")
    assert (pia["typology"], pia["transport"], pia["codecs"]) == ("phonebar", ["udp"], ["ulaw", "alaw"])
    assert (wil["transport"], wil["codecs"]) == (["wss"], ["opus", "ulaw", "alaw"])
    assert (pia["host"], pia["sip_type"], pia["context"], pia["record_calls"]) == (
        "dynamic", "friend", "from-sip", "inactive",
    )  # fmt: skip
    assert (pia["chanspy"], pia["dnd_in_pause"], pia["sip_expires"], pia["sip_port"]) == (False, True, 3600, 5060)
    assert pia["remote_control_port"] == 9888
    assert len(pia["sip_secret"]) >= 24
    assert pia["sip_secret"] != wil["sip_secret"]


async def test_the_strict_filter_of_names_holds_only_when_it_is_on(sql: Connection) -> None:
    await add_agent(sql, "anna", full_name="Anna (Sales)")
    await sql.execute("update agentbridge.settings set strict_full_name = true")
    for name in ("Bea (Sales)", "Ännä", "Анна", "Cléo"):
        said = await refusal(add_agent(sql, "bea", full_name=name), "AB001")
        assert said.startswith("full_name: only A-Z, a-z, digits")
    await add_agent(sql, "cleo", full_name="Cleo Alvarez-2_\\")


async def test_a_change_of_typology_is_told_everything_that_must_go_along_at_once(sql: Connection) -> None:
    await add_agent(sql, "anna", typology="phonebar", jaws=True, sip_port=5070, remote_control_port=9999)
    change = sql.execute("update agentbridge.agents set typology = 'webrtc'")
    assert (await refusal(change, "AB001")).split("; ") == [
        "transport: a webrtc agent must use wss (got udp)",
        "jaws: only a phonebar agent has this setting (this one is webrtc)",
        "remote_control_port: only a phonebar agent has this setting (this one is webrtc)",
        "sip_port: only a phonebar agent has this setting (this one is webrtc)",
    ]
    await sql.execute(
        "update agentbridge.agents set typology = 'webrtc', transport = '{wss}', jaws = false, sip_port = 5060,"
        " remote_control_port = 9888"
    )


async def test_who_may_change_settings_must_be_able_to_see_them(sql: Connection) -> None:
    said = await refusal(add_agent(sql, "anna", may_change_settings=True), "AB001")
    assert said.startswith("may_change_settings: needs may_see_settings")
    await add_agent(sql, "anna", may_change_settings=True, may_see_settings=True)


async def test_names_and_numbers_are_taken_once(sql: Connection) -> None:
    await add_agent(sql, "anna", internal="2001")
    await add_telephone(sql, "Desk1")
    await add_queue(sql, "Sales")
    assert "username: anna is already taken" in await refusal(add_agent(sql, "anna"), "AB002")
    assert "already taken by agent anna" in await refusal(add_agent(sql, "bea", internal="2001"), "AB002")
    assert "already the number of an agent" in await refusal(add_telephone(sql, "2001"), "AB002")
    # Asterisk's queues compare interfaces and names without case
    assert "name: desk1 is already" in await refusal(add_telephone(sql, "desk1"), "AB002")
    assert "upper from lower case" in await refusal(add_queue(sql, "SALES"), "AB002")
    await add_telephone(sql, "3001")
    assert "internal: 3001 is already" in await refusal(add_agent(sql, "bea", internal="3001"), "AB002")
    assert "internal: 3001 is already" in await refusal(
        sql.execute("update agentbridge.agents set internal = '3001'"), "AB002"
    )


async def test_a_number_is_free_again_when_its_agent_has_gone_or_moved(sql: Connection) -> None:
    await add_agent(sql, "anna", internal="2001")
    await sql.execute("update agentbridge.agents set internal = '2002'")
    await add_telephone(sql, "2001")
    await sql.execute("delete from agentbridge.agents")
    await add_agent(sql, "bea", internal="2002")


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a,b", "a|b", "x" * 80, "a\nb"], ids=repr)
async def test_a_queue_has_a_name_that_asterisk_can_carry(sql: Connection, name: str) -> None:
    assert (await refusal(add_queue(sql, name), "AB001")).startswith("name: a queue's name must be")


@pytest.mark.parametrize("name", ["", "desk 1", "desk/1", "x" * 41, "desk.1"], ids=repr)
async def test_a_telephone_has_a_name_that_asterisk_can_carry(sql: Connection, name: str) -> None:
    assert (await refusal(add_telephone(sql, name), "AB001")).startswith("name: a telephone's name must be")


async def test_all_modules_are_on_for_a_new_agent_and_a_later_one_is_off_for_the_others(sql: Connection) -> None:
    await add_agent(sql, "anna")
    await sql.execute("insert into agentbridge.modules values ('video')")
    await add_agent(sql, "bea")
    rows = await sql.fetch(
        "select a.username, array_agg(m.module) as modules from agentbridge.agents a"
        " join agentbridge.agent_modules m on m.agent_id = a.id group by 1"
    )
    modules = {row["username"]: row["modules"] for row in rows}
    assert "video" not in modules["anna"]
    assert "voice" in modules["anna"]
    assert set(modules["bea"]) == set(modules["anna"]) | {"video"}


async def test_deleting_an_agent_takes_memberships_session_and_telephone_binding_along(sql: Connection) -> None:
    await add_agent(sql, "anna", hot_desk=True)
    await add_telephone(sql, "desk1")
    await add_queue(sql, "sales", "anna")
    await sql.execute("select agentbridge.login('anna', 'desk1')")
    await sql.execute("delete from agentbridge.agents where username = 'anna'")
    for table in ("sessions", "queue_members", "agent_modules"):
        assert await sql.fetchval(f"select count(*) from agentbridge.{table}") == 0
    assert await sql.fetchval("select available from agentbridge.telephone_status where name = 'desk1'")


@pytest.mark.parametrize(
    ("user", "agent", "may"),
    [
        ("root", "anna", True),
        ("lead", "anna", True),
        ("lead", "tea", True),
        ("lead", "bea", False),
        ("clerk", "anna", False),
        ("nobody", "anna", False),
        ("root", "nobody", True),
    ],
)
async def test_who_may_manage_whom(sql: Connection, user: str, agent: str, may: bool) -> None:
    for name in ("anna", "bea", "tea"):
        await add_agent(sql, name)
    await add_queue(sql, "sales", "anna")
    await add_queue(sql, "support", "bea")
    await sql.execute(
        """insert into agentbridge.teams (name) values ('north');
        insert into agentbridge.team_members select t.id, a.id from agentbridge.teams t, agentbridge.agents a
            where a.username = 'tea';
        insert into agentbridge.team_queues (team_id, queue_id) select t.id, q.id
            from agentbridge.teams t, agentbridge.queues q where q.name = 'sales';
        insert into agentbridge.users (username, role, agents_permission)
            values ('root', 'admin', false), ('lead', 'user', true), ('clerk', 'user', false);
        insert into agentbridge.user_queues select u, q.id from unnest('{lead,clerk}'::text[]) u, agentbridge.queues q
            where q.name = 'sales'"""
    )
    assert await sql.fetchval("select agentbridge.may_manage($1, $2)", user, agent) is may


async def test_numbers_are_given_from_the_lowest_free_one_without_gaps(sql: Connection) -> None:
    await sql.execute("update agentbridge.settings set internal_from = 500, internal_to = 503")
    assert [await add_agent(sql, name) for name in ("a", "b", "c")] == ["500", "501", "502"]
    await sql.execute("delete from agentbridge.agents where username = 'b'")
    await add_telephone(sql, "503")
    assert await add_agent(sql, "d") == "501"
    assert "internal: the range 500 to 503 is full; widen it" in await refusal(add_agent(sql, "e"), "AB008")


async def test_a_free_number_behind_many_taken_ones_is_found_and_a_range_full_of_them_refused(sql: Connection) -> None:
    await sql.execute("update agentbridge.settings set internal_from = 500, internal_to = 605")
    await sql.execute("insert into agentbridge.agents (username) select 'a' || n from generate_series(1, 100) n")
    await add_telephone(sql, "600")
    await add_agent(sql, "later", internal="603")
    assert [await add_agent(sql, name) for name in ("b", "c", "d", "e")] == ["601", "602", "604", "605"]
    assert "internal: the range 500 to 605 is full" in await refusal(add_agent(sql, "f"), "AB008")
