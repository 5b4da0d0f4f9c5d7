"""What is asked and done in a call from a telephone: log in, log out, pause, unpause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Protocol

import structlog

from agentbridge.errors import Refused
from agentbridge.model import EndpointId
from agentbridge.phone.line import Line
from agentbridge.settings import Phone, PromptName

log = structlog.get_logger()

LONGEST_NUMBER = 16
LONGEST_PIN = 32
LONGEST_REASON = 4
LONGEST_FORWARD = 32


class Verb(StrEnum):
    """What a caller wants, as the dialplan says it in the first argument of `Stasis(agentbridge,…)`."""

    LOGIN = "login"
    LOGOUT = "logout"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    FORWARD = "forward"
    UNFORWARD = "unforward"
    RECORDPAUSE = "recordpause"
    RECORDRESUME = "recordresume"
    RECORDSTART = "recordstart"


RECORDING: Mapping[Verb, tuple[str, PromptName]] = {
    Verb.RECORDPAUSE: ("pause", "recording_paused"),
    Verb.RECORDRESUME: ("resume", "recording_resumed"),
    Verb.RECORDSTART: ("start", "recording_started"),
}
"""verb → what is done to the recording, and what the caller hears then"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a call is about: over which line, from which device, what is wanted, and for whom ('' while unknown)."""

    line: Line
    device: EndpointId
    verb: Verb
    username: str


class Caller(Protocol):
    """The agent who is logged in at the calling device; `own` is True when that is the agent's own number."""

    @property
    def username(self) -> str: ...

    @property
    def internal(self) -> EndpointId: ...

    @property
    def own(self) -> bool: ...


class Desk(Protocol):
    """What a conversation needs of the directory. Methods raise Refused for a rule, Unavailable without the
    database."""

    async def caller(self, device: EndpointId) -> Caller | None: ...

    async def has_device(self, device: EndpointId) -> bool:
        """Whether it is a telephone of the directory, or an agent's own device."""
        ...

    async def identify(self, internal: EndpointId, pin: str) -> str | None: ...

    async def log_in(self, username: str, device: EndpointId) -> None: ...

    async def log_out(self, username: str) -> None: ...

    async def pause(self, username: str, reason: str) -> None: ...

    async def unpause(self, username: str) -> None: ...

    async def forward(self, username: str, number: str) -> None:
        """Where the agent's direct calls go; '' for no forwarding."""
        ...

    async def record(self, username: str, what: str, within: float) -> None:
        """`pause`, `resume` or `start` of the recording of the agent's call; returns when it is done."""
        ...

    async def in_asterisk(self, username: str, within: float) -> str | None: ...


class Dialogue:
    """Holds the spoken conversations by which agents log in, pause, forward and record. It never logs what they
    type."""

    def __init__(self, desk: Desk, settings: Phone) -> None:
        self._desk = desk
        self._settings = settings

    async def hold(self, line: Line, device: EndpointId, verb: Verb, argument: str) -> None:
        """Holds the conversation of one call, from the first prompt to the last.

        Nothing is said to a device that the directory does not know. Raises Unavailable, and Refused when the call is
        gone.
        """
        caller = await self._desk.caller(device)
        wish = Wish(line, device, verb, caller.username if caller else "")
        if caller is None and not await self._desk.has_device(device):
            # nothing is said: whoever it is must not hear whether a PIN is right
            log.warning("phone.refused", telephone=device, agent=None, verb=verb, reason="no device of the directory")
        elif verb is Verb.LOGIN:
            await self._log_in(wish, caller)
        elif caller is None:
            await self._refuse(wish, "nobody is logged in here")
        else:
            await self._serve(wish, argument)

    async def _serve(self, wish: Wish, argument: str) -> None:
        """Does what the agent at this device asks for, other than a login. Raises Unavailable, and Refused for a call
        that is gone."""
        match wish.verb:
            case Verb.PAUSE:
                await self._pause(wish, argument)
            case Verb.FORWARD:
                await self._forward(wish, argument)
            case Verb.LOGOUT:
                await self._do(wish, partial(self._desk.log_out, wish.username), "logged_out")
            case Verb.UNPAUSE:
                await self._do(wish, partial(self._desk.unpause, wish.username), "unpaused")
            case Verb.UNFORWARD:
                await self._do(wish, partial(self._desk.forward, wish.username, ""), "not_forwarded")
            case Verb.RECORDPAUSE | Verb.RECORDRESUME | Verb.RECORDSTART as verb:
                what, done = RECORDING[verb]
                act = partial(self._desk.record, wish.username, what, self._settings.confirm_seconds)
                await self._do(wish, act, done)
            case Verb.LOGIN:
                raise AssertionError("a login needs no agent")

    async def _log_in(self, wish: Wish, caller: Caller | None) -> None:
        """Asks for number and PIN and logs that agent in at this device; after a few wrong tries it says goodbye.

        caller: who is logged in there so far.
        """
        line = wish.line
        own = caller.internal if caller is not None and caller.own else None
        for _ in range(self._settings.tries):
            if username := await self._identify(line, own):
                wish = replace(wish, username=username)
                await self._do(wish, partial(self._desk.log_in, username, wish.device), "logged_in")
                return
            reason = "wrong number or PIN, or the agent is locked or deactivated"
            log.warning("phone.not_identified", telephone=wish.device, verb=Verb.LOGIN, reason=reason)
            line.forget_digits()
            await line.say("wrong")
        await line.say("goodbye")

    async def _identify(self, line: Line, own: EndpointId | None) -> str | None:
        """Asks for number and PIN; returns the agent's username, None where they are wrong or nothing was typed.

        own: the number of the agent whose own device this is; then only the PIN is asked for.
        """
        number = own or await line.ask("number", LONGEST_NUMBER)
        if not number:
            return None
        pin = await line.ask("pin", LONGEST_PIN)
        if not pin:
            return None  # nothing was tried, so nothing counts towards the lock
        # hashing is slow on purpose, and slower where many log in at once
        await line.wait_for(2 * self._settings.confirm_seconds)
        return await self._desk.identify(EndpointId(number), pin)

    async def _pause(self, wish: Wish, number: str) -> None:
        """Pauses the agent for the reason whose number was dialled or is asked for; after a few wrong numbers it says
        goodbye."""
        line = wish.line
        for _ in range(self._settings.tries):
            number = number or await line.ask("reason", LONGEST_REASON)
            if reason := self._settings.reasons.get(number):
                await self._do(wish, partial(self._desk.pause, wish.username, reason), "paused")
                return
            number = ""
            line.forget_digits()
            await line.say("wrong")
        await line.say("goodbye")

    async def _forward(self, wish: Wish, number: str) -> None:
        """Forwards the agent's direct calls to the number that was dialled or is asked for."""
        number = number or await wish.line.ask("number", LONGEST_FORWARD)
        if not number:
            await wish.line.say("goodbye")
            return
        await self._do(wish, partial(self._desk.forward, wish.username, number), "forwarded")

    async def _do(self, wish: Wish, act: Callable[[], Awaitable[None]], done: PromptName) -> None:
        """Carries out `act` and tells the caller how it ended: `done` when Asterisk has the change, late, or
        refused."""
        await wish.line.wait_for(2 * self._settings.confirm_seconds)
        try:
            await act()
        except Refused as rule:
            await self._refuse(wish, str(rule))
            return
        late = await self._desk.in_asterisk(wish.username, self._settings.confirm_seconds)
        if wish.verb is Verb.LOGIN and not await self._is_on(wish.device, wish.username):
            await self._refuse(wish, "logged in on another telephone meanwhile")
            return
        log.info("phone.done", telephone=wish.device, agent=wish.username, verb=wish.verb, not_in_asterisk_yet=late)
        await wish.line.say("late" if late else done)

    async def _is_on(self, device: EndpointId, username: str) -> bool:
        """Whether the agent is logged in at that device now; of two who logged in there at once, one has been moved
        away."""
        caller = await self._desk.caller(device)
        return caller is not None and caller.username == username

    async def _refuse(self, wish: Wish, reason: str) -> None:
        agent = wish.username or None
        log.warning("phone.refused", telephone=wish.device, agent=agent, verb=wish.verb, reason=reason)
        await wish.line.say("refused")
