"""What the daemon writes: one line an event, in each format, and never a secret."""

import json
import re
import signal

import pytest

from lab.postgres import Postgres
from tests.acceptance.centre import Centre

SIP_SECRET = "Very-Secret-Sip-4711"
DATABASE_PASSWORD = "Very-Secret-Database-4712"


async def a_busy_day(centre: Centre) -> None:
    """Everything that logs: start, changes, drift, a refusal, a failure, a reload, a restart, a stop."""
    await centre.db.execute("INSERT INTO agentbridge.queues (name) VALUES ('unknown')")
    internal = await centre.agent("ana", "sales", "unknown", sip_secret=SIP_SECRET)
    await centre.login("ana")
    await centre.until_member("sales", internal, paused=False)
    await centre.pause("ana", "lunch")
    await centre.until_member("sales", internal, paused=True)
    await centre.asterisk.cli(f"queue unpause member PJSIP/{internal} queue sales")
    await centre.until_member("sales", internal, paused=True)
    await centre.asterisk.restart()
    await centre.until_member("sales", internal, paused=True)
    text = centre.bridge.config.read_text()
    centre.bridge.config.write_text("[ami]\nsecret = 5\n")
    centre.bridge.send(signal.SIGHUP)
    await centre.bridge.line_with("config.refused")
    centre.bridge.config.write_text(text)
    centre.bridge.send(signal.SIGHUP)
    await centre.bridge.line_with("config.reloaded")
    assert await centre.bridge.stop()


@pytest.mark.parametrize("form", ["json", "logfmt", "console"])
@pytest.mark.parametrize("level", ["info", "debug"])
async def test_no_line_of_a_busy_day_holds_a_secret(postgres: Postgres, form: str, level: str) -> None:
    sections = {"log": {"format": form, "level": level}, "database": {"password": DATABASE_PASSWORD}}
    async with Centre(postgres, sections=sections) as centre:
        await a_busy_day(centre)
        lines, text = centre.bridge.lines(), centre.bridge.log.read_text()
        stored = await centre.asterisk.cli("database show ps_auths")
        # password_digest, or md5_cred where Asterisk does not know that
        digests = re.findall(r'(?:MD5:|"md5_cred": ?")([0-9a-f]{32})', stored)
        assert digests
        secrets = [SIP_SECRET, DATABASE_PASSWORD, centre.asterisk.ami_secret, *digests]
        assert [secret for secret in secrets if secret in text] == []
        assert len(lines) > 10
        for line in lines:
            assert re.search(EVENT[form], line), line


EVENT = {
    "json": r'^\{.*"event": "[a-z_]+\.[a-z_]+".*\}$',
    "logfmt": r"^timestamp=\S+ level=\w+ event=[a-z_]+\.[a-z_]+( |$)",
    "console": r"^\S+ \[\w+ *\] [a-z_]+\.[a-z_]+ ",
}


async def test_each_event_is_one_line_that_says_who_where_and_how_long(centre: Centre) -> None:
    internal = await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    (added,) = centre.bridge.events("member.added")
    assert (added["node"], added["agent"], added["queue"], added["level"]) == ("lab", internal, "sales", "info")
    assert added["duration_ms"] > 0
    assert added["pass_id"] > 0
    for line in centre.bridge.lines():
        assert json.loads(line)["event"]
