"""After a boot of Asterisk a queue's call waits until the daemon has looked who paused or left meanwhile."""

from __future__ import annotations

import time

from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

HELD_SECONDS = 5.0


async def compared(centre: Centre) -> bool:
    return "AGENTBRIDGE_COMPARED=1" in await centre.asterisk.cli("dialplan show globals")


async def test_nobody_who_paused_or_left_while_asterisk_was_away_is_rung(postgres: Postgres) -> None:
    """Then, without a daemon, a call goes on by what was last known."""
    async with Centre(postgres) as centre:
        for username in ("ana", "ben", "eva"):
            await centre.agent(username, "sales")
        await centre.login("ana", "ben", "eva")
        await centre.settled()
        ana, ben, eva = await centre.phones(["ana", "ben", "eva"])
        await until(lambda: compared(centre), within=10, what="the mark of the first comparison")

        await centre.asterisk.stop()
        await centre.pause("ana")
        await centre.logout("ben")
        await centre.asterisk.start()
        customer = await centre.caller()
        waiting = await customer.call("sales", timeout=5)
        await eva.rings(timeout=10)
        assert (ana.invites, ben.invites) == ([], [])
        await waiting.hangup()
        await until(lambda: compared(centre), within=10, what="the mark of the comparison after the boot")

        await centre.bridge.stop()
        await centre.asterisk.restart()
        dialled = time.monotonic()
        again = await (await centre.caller()).call("sales", timeout=5)
        await eva.rings(timeout=HELD_SECONDS + 10)  # as last known
        assert time.monotonic() - dialled > HELD_SECONDS - 1
        await again.hangup()
        once_more = await (await centre.caller()).call("sales", timeout=5)
        dialled = time.monotonic()
        await eva.rings(timeout=10)
        assert time.monotonic() - dialled < HELD_SECONDS - 1  # it is waited for once in a boot
        await once_more.hangup()
        assert (ana.invites, ben.invites) == ([], [])
