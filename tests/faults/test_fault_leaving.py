"""Many agents come or leave at once, and whose phone is to be silent is not rung; tests/bench has the large forms."""

from tests.bench import leaving, race

LEAVING = 200
"""a fifth of them leaves, more than the twenty who may vanish unasked"""
AWAY_S = 3.0
COMING = 60


async def test_whoever_leaves_is_out_and_not_rung_however_they_leave() -> None:
    took = await leaving.measure(LEAVING, away_s=AWAY_S)
    assert len(took) == 8


async def test_who_logs_in_on_pause_is_not_rung_though_customers_wait() -> None:
    seen = await race.measure(COMING)
    assert (seen.members, seen.invites) == (COMING * 5 + COMING * 3 // 4, 0)
