"""ARI answers with errors, hangs, or is cut, while a new agent waits for its endpoint."""

import pytest

from lab.faults import Fault
from lab.processes import until
from tests.faults.stand import Stand


@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.HALF_OPEN, Fault.REFUSED], ids=lambda fault: fault.name)
async def test_ari_fails(stand: Stand, fault: Fault) -> None:
    stand.ari.fault = fault
    await stand.agent("fay", "billing")
    await stand.login("fay")
    await stand.pause("dua", "beside a broken ARI")

    async def reported() -> bool:
        return bool((await stand.status("fay"))["error"])

    await until(reported, within=15, what="the reason why fay is not in Asterisk")
    # what does not need ARI goes on
    await stand.until_member("support", stand.internal["dua"], paused=True, reason="beside a broken ARI")
    await stand.unpause("dua")
    stand.ari.fault = Fault.NONE
    await stand.healed()
    await stand.phone("fay")


async def test_ari_cut_after_the_request_and_before_the_answer(stand: Stand) -> None:
    stand.ari.cut_after(b"PUT /")
    await stand.agent("fay", "billing")

    async def was_cut() -> bool:
        return stand.ari.cuts == 1

    await until(was_cut, within=5, what="the cut")
    await stand.healed()
    await stand.phone("fay")
