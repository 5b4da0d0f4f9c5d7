"""Recordings that the daemon can't look at, and calls that Asterisk does not record: nobody may take them for fine."""

import json
import os
from typing import Any

import pytest

from lab.bridge import Bridge
from lab.postgres import Postgres
from lab.processes import LabError, until
from tests.acceptance.centre import Centre
from tests.acceptance.test_recordings_daemon import talking

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the spool to another user")


async def told_by_status(bridge: Bridge, line: str, within: float = 10) -> None:
    """Until `status` prints a line with that."""
    last = ""

    async def there() -> bool:
        nonlocal last
        try:
            last = await bridge.cli("status")
        except LabError as not_converged:
            last = str(not_converged)
        return line in last

    try:
        await until(there, within=within, what=f"status telling of: {line}")
    except LabError as late:
        late.add_note(last)
        raise


async def test_a_daemon_outside_the_spools_group_says_which_folder_refuses_and_catches_up_later(
    postgres: Postgres,
) -> None:
    async with Centre(postgres, started=False) as centre:
        shut_out = Bridge(centre.asterisk, centre.dsn, groups=())
        async with shut_out:
            await shut_out.start()
            talk = await talking(centre, record_calls="wav")
            await talk.recorded(1)
            await talk.hang_up()
            told = await shut_out.logged("recordings.folder_unreadable", folder=str(centre.asterisk.spool), within=10)
            assert told["level"] == "error"
            assert "SupplementaryGroups" in told["cure"]
            await told_by_status(shut_out, "1 recordings have no length and no end")
            await told_by_status(shut_out, f"{centre.asterisk.spool} can't be read (Permission denied)")
            (row,) = await talk.rows(1)
            assert row["ended_at"] is None
            await shut_out.stop()
        await centre.bridge.start()
        (row,) = await talk.whole(within=10)
        assert row["bytes"] == talk.file(row).stat().st_size
        node = (await _nodes(centre))[0]["recordings"]
        assert node == {"unmeasured": 0, "silent": 0, "closed": {}}


async def test_one_closed_folder_stops_no_other_recordings_end_and_is_listed_when_it_opens(centre: Centre) -> None:
    talk = await talking(centre, record_calls="wav")
    await talk.recorded(1)
    old = centre.asterisk.spool / "monitor/agentbridge/2020/01/02"
    old.mkdir(parents=True)
    (old / f"lab-1577966400.7-{talk.internal}-1.wav").write_bytes(b"RIFF" * 100)
    old.chmod(0o700)
    await centre.bridge.stop()
    await talk.hang_up()
    await centre.db.execute("UPDATE agentbridge.nodes SET recordings_listed_at = NULL")
    await centre.bridge.start()
    await centre.bridge.logged("recordings.folder_unreadable", folder=str(old), within=10)
    (row,) = await talk.whole(within=10)
    assert row["bytes"] == talk.file(row).stat().st_size
    old.chmod(0o755)
    await centre.db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ 'changes'")
    await centre.bridge.logged("recordings.folder_readable", folder=str(old), within=20)
    rows = await talk.whole(2, within=10)
    assert {row["bytes"] for row in rows} == {400, row["bytes"]}


async def test_a_call_that_asterisk_cannot_record_raises_an_alarm_while_it_runs(centre: Centre) -> None:
    folder = centre.asterisk.spool / "monitor/agentbridge"
    folder.write_text("a file where the folder should be")
    talk = await talking(centre, record_calls="wav")
    alarm = await centre.bridge.logged("recording.file_missing", agent=talk.internal, within=15)
    assert alarm["level"] == "error"
    assert "this call is not recorded" in alarm["reason"]
    await told_by_status(centre.bridge, "1 running calls are NOT being recorded")
    await talk.hang_up()
    (row,) = await talk.whole(within=10)
    assert row["bytes"] == 0
    assert len(centre.bridge.events("recording.file_missing")) == 1

    async def over() -> bool:
        return not (await _nodes(centre))[0]["recordings"]["silent"]

    await until(over, within=10, what="the end of the alarm with the call")
    folder.unlink()


async def _nodes(centre: Centre) -> list[dict[str, Any]]:
    try:
        text = await centre.bridge.cli("status", "--json")
    except LabError as not_converged:
        text = str(not_converged).partition("\n")[2]
    found = json.loads(text)["nodes"]
    assert isinstance(found, list)
    return found
