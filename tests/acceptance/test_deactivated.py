"""An agent that is deactivated or locked is out at once, stays out, and comes back as it was."""

import asyncpg
import pytest

from lab.phones import Phone, RegistrationRefusedError, State
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.odd_phone import both_ways, refused_call

OUT = {
    "deactivated": ("deactivated = true", "deactivated = false"),
    "locked": ("locked_at = now()", "locked_at = NULL, failed_logins = 0"),
}
either = pytest.mark.parametrize("how", OUT)


async def put_out(centre: Centre, how: str) -> None:
    await centre.db.execute(f"UPDATE agentbridge.agents SET {OUT[how][0]} WHERE username = 'ana'")


async def let_in(centre: Centre, how: str) -> None:
    await centre.db.execute(f"UPDATE agentbridge.agents SET {OUT[how][1]} WHERE username = 'ana'")
    await centre.settled()


async def working(centre: Centre) -> Phone:
    await centre.agent("ana", "sales")
    await centre.login("ana")
    await centre.settled()
    return await centre.phone("ana")


@either
async def test_it_is_out_of_its_queues_and_its_phone_neither_registers_nor_calls(shared: Centre, how: str) -> None:
    phone = await working(shared)
    await put_out(shared, how)
    await shared.settled()
    assert await shared.members("sales") == {}
    assert not (await shared.status("ana"))["logged_in"]
    with pytest.raises(RegistrationRefusedError):
        await phone.register()
    assert await refused_call(phone, "echo") in {401, 403, 404}
    assert await refused_call(await shared.caller(), phone.user) in {404, 480, 503}
    assert phone.invites == []


@either
async def test_it_can_t_log_in_until_it_is_let_in_again(shared: Centre, how: str) -> None:
    phone = await working(shared)
    await put_out(shared, how)
    await shared.settled()
    with pytest.raises(asyncpg.PostgresError, match=f"ana is {how}"):
        await shared.login("ana")
    await let_in(shared, how)
    await shared.login("ana")
    await shared.until_member("sales", phone.user, paused=False)
    await phone.register()
    await both_ways(await shared.caller(), phone, "sales")


@either
async def test_the_call_that_it_has_goes_on(shared: Centre, how: str) -> None:
    phone, caller = await working(shared), await shared.caller()
    call = await caller.call("sales", 5.0)
    ringing = await phone.rings(5.0)
    await put_out(shared, how)
    await shared.settled()

    async def endpoint_gone() -> bool:
        return "Unable to find" in await shared.asterisk.cli(f"pjsip show endpoint {phone.user}")

    await until(endpoint_gone, within=5, what="the endpoint being gone")
    assert caller.tone
    assert phone.tone
    await call.hears(phone.tone, 5.0)
    await ringing.hears(caller.tone, 5.0)
    assert call.state is State.UP
    assert ringing.state is State.UP
    await call.hangup()
    await let_in(shared, how)
    await phone.register()
