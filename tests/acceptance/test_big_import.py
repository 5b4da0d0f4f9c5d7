"""Agents by the thousand come into a call centre at work: nobody who calls notices.

`make bench` does the same with 10,000 beside 10,000.
"""

from lab.manager import members
from lab.phones import Farm
from tests.bench.importing import imported
from tests.bench.stand import Stand

AGENTS = 1000
LOGGED_IN = 200


async def test_a_thousand_agents_are_imported_beside_a_thousand_and_no_call_is_lost() -> None:
    async with Stand(numbers=2 * AGENTS + 100) as stand:
        await stand.people(AGENTS)
        await stand.login_at_once(0, LOGGED_IN)
        await stand.bridge.start(within=60)
        await stand.settled(within=60)
        before = await members(stand.asterisk)
        assert len(before) == 5 * LOGGED_IN

        found = await imported(stand, AGENTS)

        assert found.load.applied_s < 60
        assert found.load.deepest < 450, found.load.deepest_name
        assert found.load.calls > 0
        assert found.load.lost == 0
        assert await members(stand.asterisk) == before
        assert await _endpoints(stand) == 2 * AGENTS
        await _the_last_one_can_register(stand)


async def _endpoints(stand: Stand) -> int:
    """Pushed ones; the lab's own caller is none."""
    return (await stand.asterisk.cli("database show ps_endpoints")).count("/ps_endpoints/")


async def _the_last_one_can_register(stand: Stand) -> None:
    row = await stand.db.fetchrow("SELECT internal, sip_secret FROM agentbridge.agents ORDER BY id DESC LIMIT 1")
    assert row is not None
    async with Farm((stand.asterisk.host, stand.asterisk.sip_port), audio=False) as farm:
        await farm.register({row["internal"]: row["sip_secret"]})
