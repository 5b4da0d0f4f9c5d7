"""The channels that live in Asterisk now, by AMI: which there are, whose they are, their variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agentbridge.asterisk.ami.pending import OnEvent
from agentbridge.asterisk.ami.wire import Fields, Message
from agentbridge.errors import Refused
from agentbridge.model import EndpointId

TIMEOUT_SECONDS = 5.0
UP = "Up"
# a channel that hung up between the list and the question about it
_GONE = ("no such channel", "channel not found", "channel does not exist", "channel not specified")

Policy = Callable[[str], str]
"""The call policy in Asterisk: an AstDB path below our family, e.g. `agent/1001/chanspy` → its value or ''."""


class Asks(Protocol):
    """A link through which Asterisk can be asked by AMI. Methods raise Refused or Unavailable."""

    async def action(self, action: str, fields: Fields = (), *, timeout: float) -> Message: ...

    async def action_list(
        self, action: str, fields: Fields = (), *, timeout: float, on_item: OnEvent | None = None
    ) -> list[Message]: ...

    async def command(self, line: str, *, timeout: float) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel in Asterisk, as CoreShowChannels lists it."""

    name: str
    uniqueid: str
    linkedid: str
    up: bool
    bridged: bool
    application: str
    data: str
    """the application's arguments"""
    extension: str = ""
    seconds: float = 0.0
    """since it was made"""
    caller: tuple[str, str] = ("", "")
    """number and name of whose channel it is"""
    connected: tuple[str, str] = ("", "")
    """number and name of the other party, as this channel is told: masked where its agent's are"""
    bridge: str = ""
    """id of the bridge that it is in"""

    @property
    def endpoint(self) -> EndpointId:
        return endpoint_of_channel(self.name)


def endpoint_of_channel(name: str) -> EndpointId:
    """Returns the endpoint id in a channel's name: `PJSIP/desk-7-0000001a` gives `desk-7`; '' for other
    technologies."""
    return EndpointId(name.partition("/")[2].rpartition("-")[0])


async def channels(link: Asks) -> list[Channel]:
    """Returns all channels. Raises Unavailable or Refused."""
    return [
        _channel(item)
        for item in await link.action_list("CoreShowChannels", timeout=TIMEOUT_SECONDS)
        if item.event == "CoreShowChannel"
    ]


def _channel(item: Message) -> Channel:
    """Parses an item of CoreShowChannels."""
    return Channel(
        name=item.get("Channel"),
        uniqueid=item.get("Uniqueid"),
        linkedid=item.get("Linkedid"),
        up=item.get("ChannelStateDesc") == UP,
        bridged=bool(item.get("BridgeId")),
        application=item.get("Application"),
        data=item.get("ApplicationData"),
        extension=item.get("Exten"),
        seconds=_seconds(item.get("Duration")),
        caller=(known(item.get("CallerIDNum")), known(item.get("CallerIDName"))),
        connected=(known(item.get("ConnectedLineNum")), known(item.get("ConnectedLineName"))),
        bridge=item.get("BridgeId"),
    )


def known(text: str) -> str:
    """Returns the text; '' for what AMI writes where there is nothing."""
    return "" if text == "<unknown>" else text


def _seconds(duration: str) -> float:
    """Parses a duration such as `00:01:23`; returns its seconds."""
    parts = duration.split(":")
    if not all(part.isdigit() for part in parts):
        return 0.0
    return float(sum(int(part) * 60**place for place, part in enumerate(reversed(parts))))


async def variable(link: Asks, name: str, channel: str = "") -> str:
    """Returns a variable or function of a channel, or a global one; '' where it or the channel does not exist."""
    fields = {"Variable": name, **({"Channel": channel} if channel else {})}
    try:
        return (await link.action("Getvar", fields, timeout=TIMEOUT_SECONDS)).get("Value")
    except Refused as refused:
        if is_gone(refused):
            return ""
        raise


async def set_variable(link: Asks, name: str, value: str, channel: str = "") -> None:
    """Sets a variable of a channel, or a global one; does nothing when the channel is gone."""
    fields = {"Variable": name, "Value": value, **({"Channel": channel} if channel else {})}
    try:
        await link.action("Setvar", fields, timeout=TIMEOUT_SECONDS)
    except Refused as refused:
        if not is_gone(refused):
            raise


async def hang_up(link: Asks, channel: str) -> None:
    """Hangs a channel up; does nothing when it is gone."""
    try:
        await link.action("Hangup", {"Channel": channel}, timeout=TIMEOUT_SECONDS)
    except Refused as refused:
        if not is_gone(refused):
            raise


def is_gone(refused: Refused) -> bool:
    return any(words in str(refused).lower() for words in _GONE)


def agent_on(endpoint: EndpointId, policy: Policy) -> EndpointId | None:
    """Returns the number of the agent whose calls this endpoint takes; None where no agent is logged in there.

    That is the endpoint's own number, or the agent who is logged in at the telephone.
    """
    if policy(f"agent/{endpoint}/id"):
        return endpoint
    return EndpointId(policy(f"telephone/{endpoint}/agent")) or None
