"""What this Asterisk can do: asked once at connect, so that no version number decides anything.

Asterisk itself is asked for each field that the daemon writes (`config show help`), for the arguments of an action
(`manager show command`) and for its task processors. The questions change nothing and leave no line in its log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agentbridge.asterisk import task_processors
from agentbridge.asterisk.console import Console, shown_by
from agentbridge.desired.pjsip import DIGEST
from agentbridge.model import DesiredState, Fields, ObjectKind

ALGORITHMS = "supported_algorithms_uas"
ADD_REASON = "Reason of QueueAdd"
MUTING = "muting of one recording"
DIGITS = "dropped digits of a spy"
_CODEC_ORDER = "outgoing_call_offer_pref"
_SEND_DTMF = "SendDTMF"
"""An application that has options since the release that brought MUTING (18.18, 20.3, certified 18.9-cert5).

Neither MUTING nor DIGITS can be asked for by itself: the documentation of MixMonitorMute leaves MixMonitorID out to
this day, and 16.28 and 20.6 have FRAME_DROP and let digits through.
"""
_LATEST = "rtp_port_start"
"""A field of an endpoint that came with 20.20, 22.10 and 23.4, the first versions that were seen to drop digits."""
MEANINGS: Mapping[str, str] = {
    "password_digest of an auth": "a SIP password's digest is kept as md5_cred; phones see no difference",
    f"{_CODEC_ORDER} of an endpoint": "a call offers an agent the caller's codecs first: the agent's order of "
    "codecs (V5) decides only which are allowed",
    ADD_REASON: "who logs in on pause joins on pause without its reason, which follows at once; nobody rings meanwhile",
    MUTING: "a pause of the recording silences the first of an agent's two files, and the second one goes on",
    DIGITS: "the telephone of who listens is told that digits are not taken; one that sends them all the same may end "
    "its own listening, and hears nobody else",
}
"""What each thing that a version lacks means for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What this Asterisk can do, by which the daemon adapts what it writes.

    `unknown` are the fields, by kind of object, that the daemon writes and this Asterisk does not know.
    """

    unknown: Mapping[ObjectKind, frozenset[str]] = field(default_factory=dict)
    add_reason: bool = True
    """QueueAdd takes the reason of a pause"""
    auth_algorithms: bool = False
    """an auth can state which algorithms it asks for, whatever pjsip.conf's default is"""
    mutes_one: bool | None = True
    """one of a channel's recordings can be muted by its id; None where that can't be told"""
    drops_digits: bool | None = True
    """the digits that a listening telephone sends can be dropped; None where that can't be told"""
    processors: tuple[str, ...] = task_processors.PROCESSORS

    @property
    def digest(self) -> bool:
        """Whether an auth holds `password_digest`; else `md5_cred`, the same digest under its older name."""
        return DIGEST not in self.unknown.get(ObjectKind.AUTH, frozenset())

    @property
    def lacks(self) -> tuple[str, ...]:
        """The names of the things that this Asterisk lacks; MEANINGS explains what follows from each."""
        fields = [f"{name} of an {kind}" for kind, names in sorted(self.unknown.items()) for name in sorted(names)]
        others = {ADD_REASON: self.add_reason, MUTING: self.mutes_one, DIGITS: self.drops_digits}
        return (*fields, *[name for name, there in others.items() if there is False])

    @property
    def untold(self) -> tuple[str, ...]:
        """The names of the things of which Asterisk does not say whether it has them."""
        return tuple(
            [name for name, there in {MUTING: self.mutes_one, DIGITS: self.drops_digits}.items() if there is None]
        )

    def expressible(self, wanted: DesiredState) -> DesiredState:
        """Returns `wanted` without the fields that this Asterisk does not know."""
        if not self.unknown:
            return wanted
        return replace(wanted, objects={kind: self.known(kind, f) for kind, f in wanted.objects.items()})

    def known(self, kind: ObjectKind, fields: Fields) -> Fields:
        """Returns the fields without those that this Asterisk does not know."""
        # the digest has an older word, see `digest`
        left_out = self.unknown.get(kind, frozenset()) - {DIGEST}
        return {name: value for name, value in fields.items() if name not in left_out} if left_out else fields


def meaning(lack: str) -> str:
    """What it means for the user that this Asterisk lacks it."""
    return MEANINGS.get(lack, "it is left out; phones have Asterisk's default")


async def ask(console: Console, fields: Mapping[ObjectKind, tuple[str, ...]]) -> Capabilities:
    """Asks Asterisk's console what it can do. Raises Unavailable or Refused.

    fields: those that the daemon writes, by kind.
    """
    unknown: dict[ObjectKind, frozenset[str]] = {}
    for kind, names in fields.items():
        missing = frozenset([name for name in names if not await _knows_field(console, kind, name)])
        if missing:
            unknown[kind] = missing
    shown = await shown_by(console, "manager show command QueueAdd")
    mutes_one = await _mutes_one(console)
    return Capabilities(
        unknown=unknown,
        # without its documentation Asterisk lists no arguments: the member that is seen then tells, see Members
        add_reason="Reason:" in shown or "Interface:" not in shown,
        auth_algorithms=await _knows_field(console, ObjectKind.AUTH, ALGORITHMS),
        mutes_one=mutes_one,
        drops_digits=await _drops_digits(console, mutes_one),
        processors=await task_processors.present(console),
    )


async def _mutes_one(console: Console) -> bool | None:
    """Asks whether one of a channel's recordings can be muted by its id; None where that can't be told."""
    shown = await shown_by(console, f"core show application {_SEND_DTMF}")
    if f"{_SEND_DTMF}(" in shown:
        return ",options]" in shown
    # it is not loaded; the order of codecs came with 18.0
    return None if await _knows_field(console, ObjectKind.ENDPOINT, _CODEC_ORDER) else False


async def _drops_digits(console: Console, mutes_one: bool | None) -> bool | None:
    """Asks whether digits that a listening telephone sends can be dropped; None where that can't be told."""
    if await _knows_field(console, ObjectKind.ENDPOINT, _LATEST):
        return True
    # before MUTING, which is on 20.6, where DIGITS is missing yet
    return False if mutes_one is False else None


async def _knows_field(console: Console, kind: ObjectKind, name: str) -> bool:
    return f"No option {name} found" not in await shown_by(console, f"config show help res_pjsip {kind} {name}")
