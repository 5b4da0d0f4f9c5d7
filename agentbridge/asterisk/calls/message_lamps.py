"""The message lamp of the telephone where an agent sits shows that agent's voicemail box (R7).

Asterisk itself looks at an endpoint's `mailboxes` only when its telephone registers: after a move the lamp would show
the last agent's box until then. So the daemon sends a NOTIFY whenever box, seat or count changes, and one with no
messages when nobody is there any more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import NoReturn

import structlog

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import TIMEOUT_SECONDS, Asks, Policy, agent_on
from agentbridge.asterisk.retrying import repeat
from agentbridge.errors import Refused
from agentbridge.model import EndpointId

log = structlog.get_logger()

MAILBOX_CONTEXT = "agentbridge"
RETRY_SECONDS = 1.0
AFTER_SECONDS = 0.3
"""Asterisk's own NOTIFY, to telephones that registered with another agent's box, goes first"""
FORMER = 1000
"""telephones that are remembered for the box that they had"""
_AGENT_KEY = re.compile(r"agent/([0-9]{1,16})/(device|voicemail|id)")
_TELEPHONE_KEY = re.compile(r"telephone/([^/]+)/agent")


class MessageLamps:
    """Sends telephones the number of voicemail messages of the agent who sits there (MWI), by SIP NOTIFY.

    policy: the entries that are in Asterisk's AstDB now. agents: the internal numbers that are ours. has_contact:
    whether there is anything to be notified at a device; Asterisk itself tells a telephone that registers.
    """

    def __init__(
        self,
        link: Asks,
        policy: Policy,
        agents: Callable[[], Iterable[EndpointId]],
        has_contact: Callable[[EndpointId], bool],
    ) -> None:
        self._link, self._policy, self._agents, self._has_contact = link, policy, agents, has_contact
        self._dirty: set[EndpointId] = set()
        """devices whose lamp may be wrong"""
        self._box_of: dict[EndpointId, str] = {}
        """telephone → the box that it was shown last, whoever sits there now"""
        self._told_missing = False
        self._wake = asyncio.Event()

    def on_event(self, event: Message) -> None:
        if event.event == "MessageWaiting":
            self._mark_box(event.get("Mailbox"))

    def on_policy(self, path: str, value: str) -> None:
        """Marks the devices whose message lamp is concerned by a policy entry that was written.

        An agent came, left, or got or lost its voicemail box.
        """
        if match := _TELEPHONE_KEY.fullmatch(path):
            self._mark(EndpointId(match[1]))
        elif match := _AGENT_KEY.fullmatch(path):
            if device := value if match[2] == "device" else self._policy(f"agent/{match[1]}/device"):
                self._mark(EndpointId(device))
            elif match[2] != "device":
                self._mark(EndpointId(match[1]))

    def _mark_box(self, mailbox: str) -> None:
        """Marks the devices that show this box."""
        box, _, context = mailbox.partition("@")
        if context != MAILBOX_CONTEXT:
            return
        for agent in self._agents():
            if self._policy(f"agent/{agent}/id") == box:
                self._mark(EndpointId(self._policy(f"agent/{agent}/device") or agent))
        for device, shown in self._box_of.items():
            if shown == box:
                self._mark(device)

    def _mark(self, device: EndpointId) -> None:
        self._dirty.add(device)
        self._wake.set()

    async def run(self) -> NoReturn:
        await repeat(self._work, self._wake, name="message_lamps", retry_seconds=RETRY_SECONDS)

    async def _work(self) -> None:
        """Notifies each marked device of its count, a moment after the event since Asterisk counts late. Raises
        Unavailable."""
        if self._dirty:
            await asyncio.sleep(AFTER_SECONDS)
        while self._dirty:
            device = self._dirty.pop()
            try:
                await self._show(device)
            except BaseException:
                self._dirty.add(device)
                raise

    async def _show(self, device: EndpointId) -> None:
        """Notifies a device of its agent's messages; of none where it has no agent, or the agent no voicemail."""
        agent = agent_on(device, self._policy)
        box = self._policy(f"agent/{agent}/id") if agent and self._policy(f"agent/{agent}/voicemail") == "1" else ""
        new, old = await self._count(box) if box else (0, 0)
        if box and device != agent:
            self._box_of[device] = box
            while len(self._box_of) > FORMER:
                del self._box_of[next(iter(self._box_of))]
        if self._has_contact(device):
            await self._notify(device, new, old)

    async def _count(self, box: str) -> tuple[int, int]:
        """Returns how many new and old messages a voicemail box has; (0, 0) for one that Asterisk does not know."""
        try:
            answer = await self._link.action(
                "MailboxCount", {"Mailbox": f"{box}@{MAILBOX_CONTEXT}"}, timeout=TIMEOUT_SECONDS
            )
        except Refused:
            return 0, 0
        urgent, new, old = (_number(answer.get(name)) for name in ("UrgMessages", "NewMessages", "OldMessages"))
        return urgent + new, old

    async def _notify(self, device: EndpointId, new: int, old: int) -> None:
        """Sends the device a NOTIFY with these counts. A failure is logged once."""
        body = (f"Messages-Waiting: {'yes' if new else 'no'}", f"Voice-Message: {new}/{old} (0/0)")
        fields = [
            ("Endpoint", device),
            ("Variable", "Event=message-summary"),
            ("Variable", "Content-Type=application/simple-message-summary"),
            *(("Variable", f"Content={line}") for line in body),
            ("Variable", "Content="),
        ]
        try:
            await self._link.action("PJSIPNotify", fields, timeout=TIMEOUT_SECONDS)
        except Refused as refused:
            if "command" in str(refused).lower() and not self._told_missing:  # Invalid/unknown command
                self._told_missing = True
                log.warning(
                    "message_lamp.unavailable",
                    reason="Asterisk has no PJSIPNotify: the lamps for voicemail messages stay as they are",
                    cure="load res_pjsip_notify.so",
                )
            return
        log.debug("message_lamp.told", telephone=device, new=new, old=old)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
