"""A fifth of a large centre leaves at once, whatever is away meanwhile; tests/bench/leaving.py has the ways."""

from tests.bench.leaving import measure

AGENTS = 1500
AWAY_S = 10.0


async def test_whoever_leaves_is_out_however_many_they_are() -> None:
    took = await measure(AGENTS, away_s=AWAY_S)
    assert len(took) == 8
