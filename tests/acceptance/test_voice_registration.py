"""How a client reaches Asterisk: its transport, its address, what stands between, and for how long it is kept."""

import random
from typing import Any

import pytest

from lab.phones import RegistrationRefusedError
from lab.processes import LabError, until
from tests.acceptance.centre import Centre
from tests.acceptance.odd_phone import OddPhone, both_ways, refused_call

NAT = {
    "yes": "yes yes yes",
    "no": "no no no",
    "route": "no no no",
    "never": "no no no",
    "comedia": "no no yes",
    "force_rport": "yes yes no",
    "force_rport comedia": "yes yes yes",
}
NAT_FIELDS = ("force_rport", "rewrite_contact", "rtp_symmetric")
WEB_FIELDS = ("webrtc", "use_avpf", "ice_support", "rtcp_mux", "media_use_received_transport")


async def secret(centre: Centre, internal: str) -> str:
    found = await centre.db.fetchval("SELECT sip_secret FROM agentbridge.agents WHERE internal = $1", internal)
    return str(found)


async def odd_phone(centre: Centre, internal: str, transport: str = "udp") -> OddPhone:
    return await OddPhone.of(centre.farm, internal, await secret(centre, internal), transport=transport)


async def endpoint(centre: Centre, internal: str) -> dict[str, str]:
    """Its fields as Asterisk shows them."""
    shown = await centre.asterisk.cli(f"pjsip show endpoint {internal}")
    pairs = (line.partition(" : ") for line in shown.splitlines() if " : " in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


async def change(centre: Centre, username: str, **columns: object) -> None:
    places = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
    await centre.db.execute(f"UPDATE agentbridge.agents SET {places} WHERE username = $1", username, *columns.values())
    await centre.healed(username)


async def nothing_to_do(centre: Centre) -> bool:
    """Whether a second look finds no difference."""
    try:
        await centre.bridge.cli("plan")
    except LabError:
        return False
    return True


async def contacts(centre: Centre, internal: str) -> int:
    return (await centre.asterisk.cli("pjsip show contacts")).count(f"{internal}/sip:")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_client_registers_over_its_transport_calls_and_is_called(shared: Centre, transport: str) -> None:
    internal = await shared.agent("ana", transport=[transport])
    await shared.login("ana")
    await shared.settled()
    phone = await odd_phone(shared, internal, transport)
    await phone.register()
    await both_ways(await shared.caller(), phone, internal)
    call = await phone.call("echo", 5.0)
    assert phone.tone
    await call.hears(phone.tone, 5.0)
    await call.hangup()


async def test_a_client_on_the_wrong_transport_is_reported_and_does_not_stay(shared: Centre) -> None:
    internal = await shared.agent("ana", transport=["udp"])
    await shared.login("ana")
    await shared.settled()
    wrong = await odd_phone(shared, internal, "tcp")
    await wrong.register()

    async def turned_away() -> bool:
        error = (await shared.status("ana"))["error"] or ""
        return "tcp" in error and "must use udp" in error and not await contacts(shared, internal)

    await until(turned_away, within=5, what="the report of the wrong transport")
    assert await refused_call(await shared.caller(), internal) in {480, 503}
    assert wrong.invites == []
    right = await odd_phone(shared, internal)
    await right.register()
    await shared.healed("ana")
    await both_ways(await shared.caller(), right, internal)


async def test_a_wrong_transport_that_came_while_the_daemon_was_away_is_met_at_its_start(shared: Centre) -> None:
    internal = await shared.agent("ana", transport=["tcp"])
    await shared.settled()
    await shared.bridge.kill()
    await (await odd_phone(shared, internal)).register()
    assert await contacts(shared, internal) == 1
    await shared.bridge.start()

    async def turned_away() -> bool:
        return not await contacts(shared, internal) and "udp" in ((await shared.status("ana"))["error"] or "")

    await until(turned_away, within=5, what="the report of the wrong transport")


async def test_a_transport_taken_from_the_row_takes_the_registered_client_along(shared: Centre) -> None:
    internal = await shared.agent("ana", transport=["udp", "tcp"])
    await shared.settled()
    await (await odd_phone(shared, internal, "tcp")).register()
    await shared.settled()
    assert await contacts(shared, internal) == 1
    await shared.db.execute("UPDATE agentbridge.agents SET transport = '{udp}'")
    await shared.settled()
    assert await contacts(shared, internal) == 0
    assert "must use udp" in (await shared.status("ana"))["error"]
    await change(shared, "ana", transport=["tcp"])


async def test_a_registration_lasts_no_longer_than_the_agent_s_sip_expires(shared: Centre) -> None:
    internal = await shared.agent("ana", sip_expires=300)
    await shared.settled()
    phone = await odd_phone(shared, internal)
    assert 298 <= await phone.granted(7200) <= 300
    assert 118 <= await phone.granted(120) <= 120
    await change(shared, "ana", sip_expires=600)
    assert 598 <= await phone.granted(7200) <= 600


async def test_a_client_that_tells_a_wrong_address_is_reached_only_with_nat(shared: Centre) -> None:
    internal = await shared.agent("ana", nat=["yes"])
    await shared.login("ana")
    await shared.settled()
    phone = await odd_phone(shared, internal)
    phone.told_contact = f"<sip:{internal}@127.0.0.1:9>"  # as from behind a router: nobody is there
    await phone.register()
    await both_ways(await shared.caller(), phone, internal)
    await change(shared, "ana", nat=["no"])
    await phone.register()
    rung = len(phone.invites)
    with pytest.raises(TimeoutError):  # SIP itself gives up after 32 s
        await (await shared.caller()).call(internal, 3.0)
    assert len(phone.invites) == rung


async def test_each_nat_is_what_pjsip_calls_it(shared: Centre) -> None:
    internal = await shared.agent("ana")
    for modes, wanted in NAT.items():
        await change(shared, "ana", nat=modes.split())
        fields = await endpoint(shared, internal)
        assert " ".join("yes" if fields[name] == "true" else "no" for name in NAT_FIELDS) == wanted, modes
    assert await nothing_to_do(shared)


async def test_a_browser_s_endpoint_is_pushed_whole_and_taken_back_whole(shared: Centre) -> None:
    internal = await shared.agent("ana", typology="external", transport=["wss"], codecs=["opus", "ulaw"])
    await shared.settled()
    fields = await endpoint(shared, internal)
    assert {fields[name] for name in WEB_FIELDS} <= {"yes", "true"}
    assert fields["media_encryption"] == "dtls"
    # a tab that crashed in a call leaves the customer in silence no longer; a minute without a network is outlived
    assert (fields["rtp_timeout"], fields["rtp_timeout_hold"]) == ("75", "120")
    assert await nothing_to_do(shared)
    await change(shared, "ana", transport=["udp"])
    fields = await endpoint(shared, internal)
    assert {fields[name] for name in WEB_FIELDS} <= {"no", "false"}
    assert fields["media_encryption"] == "no"
    assert (fields["rtp_timeout"], fields["rtp_timeout_hold"]) == ("0", "0")
    assert await nothing_to_do(shared)
    await shared.login("ana")
    await shared.settled()
    phone = await odd_phone(shared, internal)
    await phone.register()
    await both_ways(await shared.caller(), phone, internal)


@pytest.mark.parametrize("phonebar", [{}, {"typology": "phonebar", "sip_port": 5070}], ids=["a phone", "a phonebar"])
async def test_an_agent_with_a_fixed_address_calls_and_is_called_without_registering(
    shared: Centre, phonebar: dict[str, Any]
) -> None:
    address = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.9"
    internal = await shared.agent("ana", host=address, **phonebar)
    await shared.login("ana")
    await shared.settled()
    port = phonebar.get("sip_port", 5060)
    phone = await OddPhone.of(shared.farm, internal, await secret(shared, internal), at=(address, port))
    await both_ways(await shared.caller(), phone, internal)
    call = await phone.call("echo", 5.0)
    assert call.status == 200
    await call.hangup()
    assert await nothing_to_do(shared)
    # R3: whoever else calls from that address is not taken for this agent, and not refused
    assert "No objects found" in await shared.asterisk.cli("pjsip list identifies")
    other = await shared.agent("ben")
    await shared.login("ben")
    await shared.settled()
    beside = await OddPhone.of(shared.farm, other, await secret(shared, other), at=(address, 5090))
    await beside.register()
    await both_ways(await shared.caller(), beside, other)
    call = await beside.call(internal, 5.0)
    assert call.status == 200
    assert phone.invites[-1].caller.user == other
    await call.hangup()
    await change(shared, "ana", host="dynamic")
    assert await refused_call(await shared.caller(), internal) in {480, 503}
    assert "No objects found" in await shared.asterisk.cli("pjsip list identifies")


async def test_a_secret_that_changes_shuts_out_the_old_one(shared: Centre) -> None:
    internal = await shared.agent("ana")
    await shared.settled()
    phone = await odd_phone(shared, internal)
    await change(shared, "ana", sip_secret="Another-secret-of-24-characters")
    with pytest.raises(RegistrationRefusedError):
        await phone.register()
    await (await odd_phone(shared, internal)).register()
