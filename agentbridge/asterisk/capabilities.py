"""What this Asterisk can do: asked once at connect, so that no version number decides anything.

Asterisk itself is asked for each field that the daemon writes (`config show help`), for the arguments of an action
(`manager show command`) and for its task processors. The questions change nothing and leave no line in its log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from agentbridge.desired.state import DIGEST
from agentbridge.errors import Refused
from agentbridge.model import DesiredState, Fields, ObjectKind

TIMEOUT_SECONDS = 10.0
# Each AOR and each endpoint may have a processor of its own (pjsip/options/<id>, stasis/p:endpoint:<id>), with nothing
# to do for long: 10,000 lines. By their first letters these fill up: messages between modules, task pools, the walk of
# a new AOR, new requests. Which of them there are depends on the version.
_PROCESSORS = (
    "stasis/m", "stasis/pool", "taskpool", "pjsip/pool", "pjsip/default", "pjsip/options/manage", "pjsip/distributor",
)  # fmt: skip

ALGORITHMS = "supported_algorithms_uas"
ADD_REASON = "Reason of QueueAdd"
MEANINGS: Mapping[str, str] = {
    "password_digest of an auth": "a SIP password's digest is kept as md5_cred; phones see no difference",
    "outgoing_call_offer_pref of an endpoint": "a call offers an agent the caller's codecs first: the agent's order of "
    "codecs (V5) decides only which are allowed",
    ADD_REASON: "who logs in on pause joins on pause without its reason, which follows at once; nobody rings meanwhile",
}
"""What each thing that a version lacks means for the user."""


class Console(Protocol):
    """A link on which Asterisk's console can be asked. Raises Unavailable, and Refused with what it printed."""

    async def command(self, line: str, *, timeout: float) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What this Asterisk can do.

    `unknown` are the fields that the daemon writes and this Asterisk does not know.
    """

    unknown: Mapping[ObjectKind, frozenset[str]] = field(default_factory=dict)
    add_reason: bool = True
    """QueueAdd takes the reason of a pause"""
    auth_algorithms: bool = False
    """an auth can state which algorithms it asks for, whatever pjsip.conf's default is"""
    processors: tuple[str, ...] = _PROCESSORS

    @property
    def digest(self) -> bool:
        """Whether an auth holds `password_digest`; else `md5_cred`, the same digest under its older name."""
        return DIGEST not in self.unknown.get(ObjectKind.AUTH, frozenset())

    @property
    def lacks(self) -> tuple[str, ...]:
        """Each thing that is missing, by name; MEANINGS says what follows."""
        fields = [f"{name} of an {kind}" for kind, names in sorted(self.unknown.items()) for name in sorted(names)]
        return (*fields, *(() if self.add_reason else (ADD_REASON,)))

    def expressible(self, wanted: DesiredState) -> DesiredState:
        """`wanted` without the fields that this Asterisk has no word for."""
        if not self.unknown:
            return wanted
        return replace(wanted, objects={kind: self._known(kind, f) for kind, f in wanted.objects.items()})

    def _known(self, kind: ObjectKind, fields: Fields) -> Fields:
        # the digest has an older word, see `digest`
        left_out = self.unknown.get(kind, frozenset()) - {DIGEST}
        return {name: value for name, value in fields.items() if name not in left_out} if left_out else fields


def meaning(lack: str) -> str:
    """What it means for the user that this Asterisk lacks it."""
    return MEANINGS.get(lack, "it is left out; phones have Asterisk's default")


async def ask(console: Console, fields: Mapping[ObjectKind, tuple[str, ...]]) -> Capabilities:
    """Asks Asterisk what it can do.

    `fields` are those that the daemon writes, by kind. Raises Unavailable, Refused.
    """
    unknown: dict[ObjectKind, frozenset[str]] = {}
    for kind, names in fields.items():
        missing = frozenset([name for name in names if not await _knows_field(console, kind, name)])
        if missing:
            unknown[kind] = missing
    shown = await _shown(console, "manager show command QueueAdd")
    return Capabilities(
        unknown=unknown,
        # without its documentation Asterisk lists no arguments: the member that is seen then tells, see Members
        add_reason="Reason:" in shown or "Interface:" not in shown,
        auth_algorithms=await _knows_field(console, ObjectKind.AUTH, ALGORITHMS),
        processors=tuple([names for names in _PROCESSORS if await _has_processor(console, names)]),
    )


async def _knows_field(console: Console, kind: ObjectKind, name: str) -> bool:
    return f"No option {name} found" not in await _shown(console, f"config show help res_pjsip {kind} {name}")


async def _has_processor(console: Console, names: str) -> bool:
    return names in await _shown(console, f"core show taskprocessors like {names}")


async def _shown(console: Console, line: str) -> str:
    """What Asterisk prints, also as an error."""
    try:
        return await console.command(line, timeout=TIMEOUT_SECONDS)
    except Refused as refused:
        return str(refused)
