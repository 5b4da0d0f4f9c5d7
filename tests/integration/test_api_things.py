"""What an application does over HTTP: records, verbs, files, recordings."""

import asyncio
import io
import json
import wave
from pathlib import Path
from typing import Any

import aiohttp
import numpy
import pytest
import soundfile
from PIL import Image

from lab.api import Api, Browser
from lab.processes import until
from tests.integration.api_scene import PASSWORD, Scene

WEBRTC_BY_UDP = {"username": "w", "typology": "webrtc", "transport": ["udp"]}


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(content, "PNG")
    return content.getvalue()


LEADS_OUT = ["../../../etc/passwd", "/etc/passwd", "monitor/agentbridge/2026/01/02/../../x.wav", "a"]


async def test_an_agent_is_made_changed_by_two_and_deleted(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss, Browser(api) as lead:
        await boss.log_in("boss", PASSWORD)
        await lead.log_in("lead", PASSWORD)
        given = {"username": "zoe", "full_name": "Zoe", "typology": "external", "queues": {"sales": 2}}
        status, made = await lead.ask("POST", "/v1/agents", given)
        assert (status, made["queues"], made["status"]["logged_in"]) == (201, {"sales": 2}, False)
        etag = lead.last["ETag"]
        assert (await lead.ask("PATCH", "/v1/agents/zoe", {"full_name": "Z"}))[0] == 428
        status, changed = await boss.ask("PATCH", "/v1/agents/zoe", {"full_name": "Zoë"}, {"If-Match": etag})
        assert (status, changed["full_name"]) == (200, "Zoë")
        status, both = await lead.ask("PATCH", "/v1/agents/zoe", {"alias": "z"}, {"If-Match": etag})
        assert (status, both["code"], both["current"]["full_name"], both["yours"]) == (
            412,
            "AB012",
            "Zoë",
            {"alias": "z"},
        )
        # what would let an agent do more than the user who sets it
        status, body = await lead.ask("PATCH", "/v1/agents/zoe", {"may_spy": True}, {"If-Match": "*"})
        assert (status, body["code"]) == (403, "AB004")
        for field in ("sip_secret", "password_hash", "id", "locked_at"):
            assert (await boss.ask("PATCH", "/v1/agents/zoe", {field: "x"}, {"If-Match": "*"}))[0] == 422
        assert (await lead.ask("DELETE", "/v1/agents/ben"))[0] == 404, "in no queue of the user's"
        assert (await lead.ask("POST", "/v1/agents:delete", {"usernames": ["zoe", "ben"]}))[0] == 404
        assert (await lead.ask("GET", "/v1/agents/zoe"))[0] == 200, "all or none"
        assert (await lead.ask("DELETE", "/v1/agents/zoe"))[0] == 204
        actions = await scene.sql.fetch("select action from agentbridge.audit where object = 'zoe' order by id")
        assert [row["action"] for row in actions] == ["agents.create", "agents.update", "agents.delete"]


async def test_refusals_name_field_and_rule_with_the_status_of_their_code(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss, Browser(api) as cid:
        await boss.log_in("boss", PASSWORD)
        await cid.log_in("cid", PASSWORD)
        for method, path, body, status, code, field in (
            ("POST", "/v1/agents", {"username": "ana"}, 409, "AB002", "username"),
            ("POST", "/v1/agents", {"username": "x y"}, 422, "AB001", "username"),
            ("POST", "/v1/agents", WEBRTC_BY_UDP, 422, "AB001", "transport"),
            ("PUT", "/v1/agents/nobody/session", {}, 404, "AB003", "username"),
            ("PUT", "/v1/agents/ana/session", {"telephone": "desk1"}, 422, "AB009", "telephone"),
            ("PUT", "/v1/agents/ana/pause", {}, 409, "AB007", "username"),
            ("PATCH", "/v1/settings", {"nothing": 1}, 422, "AB001", "nothing"),
        ):
            answered, problem = await boss.ask(method, path, body, {"If-Match": "*"})
            assert (answered, problem["code"], problem["field"]) == (status, code, field), problem
            assert problem["rule"]
            assert boss.last["Content-Type"] == "application/problem+json"
        status, problem = await cid.ask("PUT", "/v1/me/session", {})
        assert (status, problem["code"]) == (403, "AB004"), "a phonebar's action starts there"
        await scene.sql.execute("update agentbridge.agents set deactivated = true where username = 'ana'")
        status, problem = await boss.ask("PUT", "/v1/agents/ana/session", {})
        assert (status, problem["code"]) == (423, "AB005")


async def test_lists_are_searched_sorted_and_paged_without_a_gap(api: Api, scene: Scene) -> None:
    await scene.sql.execute(
        "insert into agentbridge.agents (username, full_name, typology)"
        " select 'p' || n, 'Person ' || n, 'external' from generate_series(1, 25) n"
    )
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        for sort in ("", "-username", "full_name", "-internal"):
            seen: list[str] = []
            cursor = ""
            while True:
                _, page = await boss.ask("GET", f"/v1/agents?q=person&sort={sort}&limit=7&cursor={cursor}")
                seen += [item["username"] for item in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
            assert len(seen) == len(set(seen)) == 25, sort
        assert (await boss.ask("GET", "/v1/agents?q=%25"))[1]["items"] == [], "stands for itself"
        for wrong in ("limit=0", "limit=1001", "sort=password_hash", "cursor=AAAA"):
            assert (await boss.ask("GET", f"/v1/agents?{wrong}"))[0] == 422, wrong


async def test_recordings_and_the_audit_are_sorted_and_paged_without_a_gap(api: Api, scene: Scene) -> None:
    await scene.sql.execute("insert into agentbridge.nodes (node) values ('pages') on conflict do nothing")
    await scene.sql.execute(
        "insert into agentbridge.recordings (node, username, internal, linkedid, part, file, format, started_at, bytes)"
        " select 'pages', case when n % 4 > 0 then 'p' || n % 4 end, '1001', 'l' || n, 1, 'f' || n, 'wav',"
        " now() - n * interval '1 minute', nullif(n % 3, 0) from generate_series(1, 23) n"
    )
    await scene.sql.execute(
        "insert into agentbridge.audit (actor, action, object)"
        " select 'user:pages', 'agents.' || n % 3, 'o' || n % 5 from generate_series(1, 23) n"
    )
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)

        async def all_of(path: str) -> list[dict[str, Any]]:
            seen: list[dict[str, Any]] = []
            cursor = ""
            while cursor is not None:
                status, page = await boss.ask("GET", f"/v1/{path}&limit=5&cursor={cursor}")
                assert status == 200, page
                seen += page["items"]
                cursor = page["next"]
            assert len({item["id"] for item in seen}) == len(seen) == 23, path
            return seen

        for field in ("id", "started_at", "username", "internal", "linkedid", "bytes"):
            for way in ("", "-"):
                rows = await all_of(f"recordings?sort={way}{field}")
                keys = [(row[field] is not None, row[field], row["id"]) for row in rows]
                assert keys == sorted(keys, reverse=way == "-"), (way, field)
        for field in ("id", "at", "actor", "action", "object"):
            rows = await all_of(f"audit?q=pages&sort=-{field}")
            keys = [(row[field], row["id"]) for row in rows]
            assert keys == sorted(keys, reverse=True), field
        assert (await all_of("audit?q=pages&sort="))[0]["id"] > 1, "the newest first"
        for path in ("recordings?sort=file", "audit?sort=detail", "audit?cursor=AAAA", "recordings?cursor=IjEi"):
            assert (await boss.ask("GET", f"/v1/{path}"))[0] == 422, path
    # a node that never says anything is one that every change would wait for
    await scene.sql.execute("delete from agentbridge.recordings; delete from agentbridge.nodes where node = 'pages'")


async def test_prefixes_have_labels_that_an_agent_chooses_by(api: Api, scene: Scene) -> None:
    await scene.sql.execute("delete from agentbridge.prefixes")
    await scene.sql.execute("update agentbridge.agents set prefix_required = true where username = 'ana'")
    async with Browser(api) as boss, Browser(api) as ana:
        await boss.log_in("boss", PASSWORD)
        await ana.log_in("ana", PASSWORD)
        wanted = {"prefix": "9", "label": "Head office"}
        assert await boss.ask("POST", "/v1/prefixes", wanted) == (201, wanted)
        assert (await boss.ask("POST", "/v1/prefixes", wanted))[0] == 409
        assert (await boss.ask("POST", "/v1/prefixes", {"prefix": "x"}))[0] == 422
        assert (await ana.ask("GET", "/v1/prefixes"))[1]["items"] == [wanted]
        assert (await ana.ask("GET", "/v1/me/profile"))[1]["prefixes"] == [wanted]
        assert (await ana.ask("POST", "/v1/prefixes", {"prefix": "8"}))[0] == 403
        changed = {"prefix": "9", "label": "Branch"}
        assert await boss.ask("PATCH", "/v1/prefixes/9", {"label": "Branch"}, {"If-Match": "*"}) == (200, changed)
        assert await boss.ask("GET", "/v1/prefixes/9") == (200, changed)
        assert (await boss.ask("DELETE", "/v1/prefixes/9"))[0] == 204
        assert (await ana.ask("GET", "/v1/me/profile"))[1]["prefixes"] == []


async def test_an_agent_sees_what_belongs_to_it_and_sets_its_picture(api: Api, scene: Scene) -> None:
    await scene.sql.execute(
        "insert into agentbridge.agent_channels (agent_id, channel, capacity)"
        " select id, 'chat', 3 from agentbridge.agents where username = 'ana'"
    )
    async with Browser(api) as ana, Browser(api) as boss:
        await ana.log_in("ana", PASSWORD)
        await boss.log_in("boss", PASSWORD)
        for part in ("queues", "teams", "modules", "channels"):
            own = (await ana.ask("GET", f"/v1/me/{part}"))[1]
            assert own == (await boss.ask("GET", f"/v1/agents/ana/{part}"))[1], part
        assert (await ana.ask("GET", "/v1/me/channels"))[1]["chat"]["capacity"] == 3
        headers = {"Content-Type": "image/png", **ana.headers()}
        async with ana.session.put(f"{api.origin}/v1/me/avatar", data=png(), headers=headers) as answer:
            assert answer.status == 204
        assert (await ana.ask("GET", "/v1/me/avatar"))[0] == 200
        assert (await ana.ask("DELETE", "/v1/me/avatar"))[0] == 204
        assert (await ana.ask("GET", "/v1/me/avatar"))[0] == 404


async def until_paused(scene: Scene, wanted: bool) -> None:
    async def so() -> bool:
        query = "select paused from agentbridge.agent_status where username = 'ana'"
        return await scene.sql.fetchval(query) is wanted

    await until(so, within=10, what=f"paused to be {wanted}")


async def test_an_answer_of_a_verb_says_whether_asterisk_has_it(api: Api, scene: Scene) -> None:
    async with Browser(api) as ana:
        await ana.log_in("ana", PASSWORD)
        wait = {"Prefer": "wait=20"}
        status, body = await ana.ask("PUT", "/v1/me/session", {})
        assert (status, body) == (202, {"changed": True, "pending": True})

        async def daemon(error: str | None) -> None:
            await scene.sql.execute(
                "select agentbridge.record_applied('n', pg_current_snapshot(), array[a.internal], array[$1::text],"
                " array[null::text])"
                " from agentbridge.agents a where username = 'ana'",
                error,
            )

        waiting = asyncio.create_task(ana.ask("PUT", "/v1/me/pause", {"reason": "lunch"}, wait))
        await until_paused(scene, True)
        await daemon(None)
        status, body = await waiting
        assert (status, body["changed"], bool(body["applied_at"])) == (200, True, True)

        waiting = asyncio.create_task(ana.ask("DELETE", "/v1/me/pause", None, wait))
        await until_paused(scene, False)
        await daemon("Asterisk says no")
        status, body = await waiting
        assert (status, body) == (202, {"changed": True, "error": "Asterisk says no"})

        # without a wait the verb's own transaction tells: what it has changed, nobody has read yet
        await daemon(None)
        assert await ana.ask("PUT", "/v1/me/pause", {}) == (202, {"changed": True, "pending": True})
        assert await ana.ask("PUT", "/v1/me/pause", {}) == (202, {"changed": False, "pending": True})
        await daemon(None)
        status, body = await ana.ask("PUT", "/v1/me/pause", {})
        assert (status, body["changed"], bool(body["applied_at"])) == (200, False, True)


async def test_one_name_serves_two_channels(api: Api, scene: Scene) -> None:
    """M8: over HTTP a queue is called as everywhere, by its name or name@channel."""
    assert await scene.sql.fetchval("select count(*) from agentbridge.queues") == 2
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        status, made = await boss.ask("POST", "/v1/queues", {"name": "sales", "channel": "chat"})
        assert (status, made["name"], made["channel"]) == (201, "sales@chat", "chat")
        assert (await boss.ask("POST", "/v1/queues", {"name": "sales", "channel": "chat"}))[0] == 409
        names = [queue["name"] for queue in (await boss.ask("GET", "/v1/queues"))[1]["items"]]
        assert names == ["sales", "sales@chat", "support"]
        both = {"sales": 0, "sales@chat": 2}
        assert (await boss.ask("PUT", "/v1/agents/ana/queues", both))[1] == both
        assert (await boss.ask("GET", "/v1/agents/ana/queues"))[1] == both
        status, read = await boss.ask("GET", "/v1/queues/sales@chat")
        assert (status, read["members"]) == (200, {"ana": 2})
        # what was read may be written back
        own = {"name": read["name"], "channel": read["channel"], "description": "chats"}
        status, changed = await boss.ask("PATCH", "/v1/queues/sales@chat", own, {"If-Match": "*"})
        assert (status, changed["name"], changed["description"]) == (200, "sales@chat", "chats")
        assert (await boss.ask("GET", "/v1/queues/nothing"))[1]["detail"].startswith("name: there is no queue")
        await boss.ask("DELETE", "/v1/queues/sales", headers={"If-Match": "*"})
        assert (await boss.ask("GET", "/v1/queues/sales"))[1]["channel"] == "chat", "the only one of its name"


async def test_agents_go_out_as_csv_and_come_in_again(api: Api, scene: Scene) -> None:
    await scene.sql.execute("update agentbridge.agents set description = '=1+1' where username = 'ana'")
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        status, content = await boss.ask("GET", "/v1/agents/export")
        assert (status, boss.last["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert b"'=1+1" in content
        assert b"sip_secret" not in content
        assert b"argon2" not in content
        status, some = await boss.ask("POST", "/v1/agents:export", {"usernames": ["ben", "nobody"]})
        assert (status, [line.split(b",")[0] for line in some.splitlines()]) == (200, [b"username", b"ben"])
        await scene.sql.execute("delete from agentbridge.agents")

        async def send(data: bytes, dry: bool) -> dict[str, object]:
            async with boss.session.post(
                f"{api.origin}/v1/agents/import?dry_run={str(dry).lower()}",
                data=data,
                headers=boss.headers() | {"Content-Type": "text/csv"},
            ) as answer:
                body: dict[str, object] = await answer.json()
                return body

        assert await send(content, True) == {"created": 3, "errors": []}
        assert await scene.sql.fetchval("select count(*) from agentbridge.agents") == 0, "only tried"
        assert await send(content, False) == {"created": 3, "errors": []}
        assert (await boss.ask("GET", "/v1/agents/export"))[1] == content
        found = await send(b"username,typology\r\nok,external\r\nana,external\r\nx y,external\r\nq,nothing\r\n", False)
        assert found["created"] == 0
        assert [error["line"] for error in found["errors"]] == [3, 4, 5]  # type: ignore[attr-defined]
        found = await send(b"username,typology\r\nok,external\r\nana,external\r\nx y,external\r\n", False)
        assert [error["line"] for error in found["errors"]] == [3, 4]  # type: ignore[attr-defined]
        assert await scene.sql.fetchval("select count(*) from agentbridge.agents") == 3


async def test_a_picture_is_judged_by_what_is_in_it(api: Api) -> None:
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        path = f"{api.origin}/v1/agents/ana/avatar"
        for content, kind, status in (
            (png(), "image/png", 204),
            (b"<svg/>", "image/png", 422),
            (png(), "image/svg+xml", 415),
        ):
            async with boss.session.put(path, data=content, headers=boss.headers() | {"Content-Type": kind}) as answer:
                assert answer.status == status
        assert (await boss.ask("GET", "/v1/agents/ana/avatar"))[1] == png()
        etag = boss.last["ETag"]
        assert (await boss.ask("GET", "/v1/agents/ana/avatar", headers={"If-None-Match": etag}))[0] == 304
        assert (await boss.ask("DELETE", "/v1/agents/ana/avatar"))[0] == 204
        assert (await boss.ask("GET", "/v1/agents/ana/avatar"))[0] == 404


@pytest.mark.parametrize(("kind", "suffix"), [("wav", "wav"), ("wav49", "WAV"), ("gsm", "gsm")])
async def test_a_recording_is_heard_by_who_may(api: Api, scene: Scene, kind: str, suffix: str) -> None:
    name = f"monitor/agentbridge/2026/01/02/1767312000.1-1000-1.{suffix}"
    file = Path(str(api.sections["api"]["spool"])) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    tone = numpy.array([8000 * (n % 20 < 10) for n in range(8000)], dtype="int16")
    subtype, form = {"wav": ("PCM_16", "WAV"), "wav49": ("GSM610", "WAV"), "gsm": ("GSM610", "RAW")}[kind]
    soundfile.write(file, tone, 8000, subtype=subtype, format=form)
    number = await scene.sql.fetchval(
        "insert into agentbridge.recordings (node, agent_id, username, internal, linkedid, part, file, format,"
        " started_at, ended_at) select 'n', id, username, internal, '1767312000.1', 1, $1, $2, now(), now()"
        " from agentbridge.agents"
        " where username = 'ana' returning id",
        name,
        kind,
    )
    path = f"/v1/recordings/{number}/audio"
    async with Browser(api) as boss, Browser(api) as ana, Browser(api) as cid, Browser(api) as sue:
        for browser, who in ((boss, "boss"), (ana, "ana"), (cid, "cid"), (sue, "sue")):
            await browser.log_in(who, PASSWORD)
        status, whole = await boss.ask("GET", path)
        assert (status, boss.last["Content-Type"], boss.last["Accept-Ranges"]) == (200, "audio/wav", "bytes")
        heard = api.dir / "heard.wav"
        heard.write_bytes(whole)
        with wave.open(str(heard)) as sound:
            assert (sound.getsampwidth(), sound.getframerate()) == (2, 8000)
            assert sound.getnframes() >= 7680
        status, part = await boss.ask("GET", path, headers={"Range": "bytes=100-199"})
        assert (status, part) == (206, whole[100:200])
        assert boss.last["Content-Range"] == f"bytes 100-199/{len(whole)}"
        assert (await boss.ask("GET", path, headers={"Range": "bytes=-10"}))[1] == whole[-10:]
        assert (await boss.ask("GET", path, headers={"Range": f"bytes={len(whole)}-"}))[0] == 416
        many = "bytes=" + ",".join(f"{n}-{n}" for n in range(500))
        assert (await boss.ask("GET", path, headers={"Range": many}))[0] in (200, 206)
        assert (await ana.ask("GET", path))[0] == 200, "her own"
        assert (await cid.ask("GET", path))[0] == 404
        await scene.sql.execute("update agentbridge.agents set may_spy = true where username = 'cid'")
        assert (await cid.ask("GET", path))[0] == 200, "a supervising agent those of its queues"
        await scene.sql.execute("update agentbridge.agents set download_recordings = false where username = 'cid'")
        assert (await cid.ask("GET", path))[0] == 404
        assert (await sue.ask("GET", path))[0] == 404, "without the download permission"
        await scene.sql.execute("update agentbridge.users set download_recordings = true where username = 'sue'")
        assert (await sue.ask("GET", path))[0] == 200
        listed = (await boss.ask("GET", "/v1/recordings"))[1]["items"]
        assert [(row["id"], row["username"]) for row in listed] == [(number, "ana")]
        heard_by = await scene.sql.fetchval(
            "select count(*) from agentbridge.audit where action = 'recordings.audio' and object = $1", str(number)
        )
        assert heard_by >= 4
        assert (await sue.ask("DELETE", f"/v1/recordings/{number}"))[0] == 403
        assert (await boss.ask("DELETE", f"/v1/recordings/{number}"))[0] == 204
        assert not file.exists()


@pytest.mark.parametrize("name", LEADS_OUT)
async def test_a_row_with_another_path_leads_nowhere(api: Api, scene: Scene, name: str) -> None:
    number = await scene.sql.fetchval(
        "insert into agentbridge.recordings (node, internal, linkedid, part, file, format, started_at, ended_at)"
        " values ('n', '1000', 'l', 1, $1, 'wav', now(), now()) returning id",
        name,
    )
    async with Browser(api) as boss:
        await boss.log_in("boss", PASSWORD)
        assert (await boss.ask("GET", f"/v1/recordings/{number}/audio"))[0] == 404


async def test_a_clients_log_lands_in_its_file_while_it_is_switched_on(api: Api, scene: Scene) -> None:
    async with Browser(api) as ana:
        await ana.log_in("ana", PASSWORD)

        async def send(text: str) -> object:
            async with ana.session.post(
                f"{api.origin}/v1/me/client-log",
                data=text.encode(),
                headers=ana.headers() | {"Content-Type": "application/x-ndjson"},
            ) as answer:
                return await answer.json() if answer.status == 200 else answer.status

        line = json.dumps({"level": "warning", "message": "a\nb\x1b[31m"})
        assert await send(line) == {"on": False, "kept": 0}
        await scene.sql.execute(
            "update agentbridge.agents set client_log = true, client_log_level = 'warning' where username = 'ana'"
        )
        debug = json.dumps({"level": "debug", "message": "no"})
        assert await send(f"{line}\n{debug}\nnonsense\n") == {"on": True, "level": "warning", "kept": 1}
        file = Path(str(api.sections["api"]["logs"])) / "client/agent-ana.log"
        assert [json.loads(text)["message"] for text in file.read_text().splitlines()] == ["ab[31m"]
        assert await send("x" * 70_000) == 413


async def test_an_agent_that_may_change_its_settings_switches_do_not_disturb(api: Api, scene: Scene) -> None:
    async with Browser(api) as ana:
        await ana.log_in("ana", PASSWORD)
        status, body = await ana.ask("PUT", "/v1/me/do-not-disturb", {"on": False})
        assert (status, body["code"]) == (403, "AB004")
        assert body["detail"].startswith("may_change_settings: ana may not change its settings")
        await scene.sql.execute(
            "update agentbridge.agents set may_see_settings = true, may_change_settings = true where username = 'ana'"
        )
        assert await ana.ask("PUT", "/v1/me/do-not-disturb", {"on": False}) == (200, {"changed": True})
        assert await ana.ask("PUT", "/v1/me/do-not-disturb", {"on": False}) == (200, {"changed": False})
        assert (await ana.ask("GET", "/v1/me/profile"))[1]["dnd_in_pause"] is False
        assert await ana.ask("PUT", "/v1/me/do-not-disturb", {"on": True}) == (200, {"changed": True})


async def test_the_profile_tells_where_screen_recordings_go(api: Api, scene: Scene) -> None:
    """P9: the global path before the agent's own, and both before the default."""
    number = await scene.sql.fetchval(
        "update agentbridge.agents set full_name = 'Cid ../A:B' where username = 'cid' returning id"
    )
    async with Browser(api) as cid:
        await cid.log_in("cid", PASSWORD)

        async def folder() -> str:
            return str((await cid.ask("GET", "/v1/me/profile"))[1]["screen_recording_path"])

        assert await folder() == f"Video/{number}_Cid .._A_B/<year>/<month>/<day>/"
        await scene.sql.execute(
            "update agentbridge.agents set screen_recording_path = 'D:/mine' where username = 'cid'"
        )
        assert await folder() == "D:/mine"
        await scene.sql.execute("update agentbridge.settings set screen_recording_path = '//server/all'")
        assert await folder() == "//server/all"
        await scene.sql.execute("update agentbridge.settings set screen_recording_path = ''")


async def test_a_browsers_phone_gets_a_digest_and_a_new_secret_each_time(api: Api, scene: Scene) -> None:
    async with Browser(api) as ben, Browser(api) as ana:
        await ben.log_in("ben", PASSWORD)
        await ana.log_in("ana", PASSWORD)
        before = await scene.sql.fetchval("select sip_secret from agentbridge.agents where username = 'ben'")
        status, first = await ben.ask("POST", "/v1/me/sip-session", {})
        assert (status, ben.last["Cache-Control"]) == (201, "no-store")
        secret = await scene.sql.fetchval("select sip_secret from agentbridge.agents where username = 'ben'")
        assert secret not in str(first)
        assert secret != before
        assert (await ben.ask("POST", "/v1/me/sip-session", {}))[1]["ha1"] != first["ha1"]
        status, problem = await ana.ask("POST", "/v1/me/sip-session", {})
        assert (status, problem["field"]) == (403, "typology")


async def test_pages_are_asked_for_again_and_their_assets_never(api: Api) -> None:
    async with Browser(api) as browser:
        for page in ("/desk", "/console", "/console/agents/ana", "/login", "/reset"):
            status, content = await browser.ask("GET", page)
            assert (status, browser.last["Cache-Control"]) == (200, "no-cache"), page
            assert "unsafe" not in browser.last["Content-Security-Policy"]
            etag = browser.last["ETag"]
            assert (await browser.ask("GET", page, headers={"If-None-Match": etag}))[0] == 304
        address = content.decode().split('src="')[1].split('"')[0]
        assert (await browser.ask("GET", address))[0] == 200
        assert browser.last["Cache-Control"] == "public, max-age=31536000, immutable"
        assert browser.last["Content-Type"].startswith("text/javascript")
        for other in ("/assets/0000000000000000/app/theme.css", address + "x", "/assets/../pyproject.toml"):
            assert (await browser.ask("GET", other))[0] == 404
        async with aiohttp.ClientSession() as plain, plain.get(api.origin + "/assets/%2e%2e/%2e%2e/x") as answer:
            assert answer.status == 404


async def test_a_request_about_a_call_is_asked_and_its_outcome_told(api: Api, scene: Scene) -> None:
    async with Browser(api) as boss, Browser(api) as ana, Browser(api) as cid:
        for browser, who in ((boss, "boss"), (ana, "ana"), (cid, "cid")):
            await browser.log_in(who, PASSWORD)
        status, asked = await ana.ask("PUT", "/v1/me/dial", {"number": "0451234"})
        assert (status, asked["state"]) == (202, "asked")
        assert (await ana.ask("GET", f"/v1/requests/{asked['id']}"))[1]["verb"] == "dial"
        assert (await boss.ask("GET", f"/v1/requests/{asked['id']}"))[0] == 200
        assert (await cid.ask("GET", f"/v1/requests/{asked['id']}"))[0] == 404
        waiting = asyncio.create_task(ana.ask("PUT", "/v1/me/hangup", {}, {"Prefer": "wait=10"}))
        asked_for = "select max(id) from agentbridge.requests where verb = 'hangup'"

        async def is_asked() -> bool:
            return await scene.sql.fetchval(asked_for) is not None

        await until(is_asked, within=10, what="the request")
        number = await scene.sql.fetchval(asked_for)
        await scene.sql.execute(
            f"select agentbridge.take_request({number}, 'n');"
            f" select agentbridge.finish_request({number}, 'n', null, 'there is no call')"
        )
        status, problem = await waiting
        assert (status, problem["code"], problem["detail"]) == (409, "AB013", "there is no call")
        assert (await ana.ask("PUT", "/v1/me/calls/x/recording", {"state": "paused"}))[0] == 404
