"""What a version of Asterisk can do is found out by asking it: scripted ones of each kind, and the real one alike."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from agentbridge.asterisk import capabilities
from agentbridge.asterisk.capabilities import ADD_REASON, DIGITS, MUTING, Capabilities
from agentbridge.asterisk.drivers.pjsip_fields import MANAGED
from agentbridge.asterisk.task_processors import PROCESSORS
from agentbridge.model import ObjectKind
from lab import versions
from lab.asterisk import Asterisk, version_of
from tests.contract.ami_links import AmiServer, up
from tests.contract.ami_server import ScriptedAmi

SCRIPTED = (
    "16.28.0",
    "18.14.0",
    "18.18.0",
    "20.6.0",
    "20.7",
    "20.12.0",
    "20.20.1",
    "21.6.0",
    "22.0.0",
    "22.1.1",
    "22.2.0",
    "23.4.1",
)
QUEUE_ADD = "[Syntax]\nAction: QueueAdd\n[ActionID:] <value>\nQueue: <value>\nInterface: <value>\n[Paused:] <value>\n"
SEND_DTMF = "[Syntax]\nSendDTMF(digits[,timeout_ms[,duration_ms[,channel{}]]])\n"


@dataclass
class OfVersion:
    version: str
    server: AmiServer


def console(version: str) -> dict[str, str]:
    """What that version's console prints, where it is asked for what differs."""
    fields = {
        ("auth", "password_digest"): versions.DIGEST,
        ("auth", "supported_algorithms_uas"): versions.DIGEST,
        ("endpoint", "outgoing_call_offer_pref"): versions.CODEC_ORDER,
        ("endpoint", "rtp_port_start"): versions.DROPS_DIGITS,
    }
    lines = {
        f"config show help res_pjsip {kind} {name}": f"No option {name} found for res_pjsip:{kind}"
        for (kind, name), feature in fields.items()
        if not versions.has(version, feature)
    }
    reason = "[Reason:] <value>\n" if versions.has(version, versions.ADD_REASON) else ""
    options = "[,options]" if versions.has(version, versions.MUTES_ONE) else ""
    return {
        "manager show command QueueAdd": QUEUE_ADD + reason,
        "core show application SendDTMF": SEND_DTMF.format(options),
        **lines,
    }


@pytest_asyncio.fixture(params=[*SCRIPTED, "real"])
async def asked(request: pytest.FixtureRequest, asterisk: Asterisk) -> AsyncIterator[OfVersion]:
    if request.param == "real":
        yield OfVersion(version_of(asterisk.root), asterisk)
        return
    async with ScriptedAmi(console=console(request.param)) as scripted:
        yield OfVersion(request.param, scripted)


async def found(server: AmiServer) -> Capabilities:
    async with up(server) as watched:
        return await capabilities.ask(watched.link, MANAGED)


async def test_each_version_lacks_what_its_release_lacks_and_no_more(asked: OfVersion) -> None:
    version, can = asked.version, await found(asked.server)
    unknown = {
        ObjectKind.AUTH: {"password_digest"} if not versions.has(version, versions.DIGEST) else set(),
        ObjectKind.ENDPOINT: {"outgoing_call_offer_pref"} if not versions.has(version, versions.CODEC_ORDER) else set(),
    }
    assert can.unknown == {kind: names for kind, names in unknown.items() if names}
    assert can.digest is can.auth_algorithms is versions.has(version, versions.DIGEST)
    assert can.add_reason is versions.has(version, versions.ADD_REASON)
    assert (ADD_REASON in can.lacks) is not can.add_reason


async def test_what_can_not_be_asked_for_is_told_by_its_neighbours_or_said_to_be_untold(asked: OfVersion) -> None:
    version, can = asked.version, await found(asked.server)
    assert can.mutes_one is versions.has(version, versions.MUTES_ONE)
    if versions.has(version, versions.DROPS_DIGITS):
        assert can.drops_digits is True
    elif versions.has(version, versions.MUTES_ONE):
        # missing on 20.6, there on 20.20: in between nothing tells
        assert can.drops_digits is None
    else:
        assert can.drops_digits is False
    assert [name for name in (MUTING, DIGITS) if name in can.lacks] == [
        name for name, there in {MUTING: can.mutes_one, DIGITS: can.drops_digits}.items() if there is False
    ]
    assert can.untold == ((DIGITS,) if can.drops_digits is None else ())


async def test_muting_is_untold_where_its_neighbour_is_not_loaded_and_the_version_is_not_an_old_one() -> None:
    for version, there in {"16.28.0": False, "18.14.0": None, "20.6.0": None}.items():
        lines = {**console(version), "core show application SendDTMF": "Your application(s) is (are) not registered"}
        async with ScriptedAmi(console=lines) as scripted:
            assert (await found(scripted)).mutes_one is there


async def test_the_task_processors_that_a_version_has_are_watched_and_no_others(asterisk: Asterisk) -> None:
    shown = await asterisk.cli("core show taskprocessors")
    watched = (await found(asterisk)).processors
    for names in PROCESSORS:
        there = any(line.startswith(names) for line in shown.splitlines())
        assert (names in watched) is there, names
    # these are where new calls and messages between modules wait, on every version
    assert {"pjsip/distributor", "stasis/m"} <= set(watched)
