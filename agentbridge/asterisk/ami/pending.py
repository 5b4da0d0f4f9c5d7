"""An action that was sent to AMI, until its answer or the end of its list has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agentbridge.asterisk.ami.wire import Message
from agentbridge.errors import Refused

OnEvent = Callable[[Message], None]


@dataclass(slots=True, eq=False)
class PendingAction:
    """An action that waits for its answer, or for the end of the list that its answer announces."""

    action: str
    listing: bool
    outcome: asyncio.Future[list[Message] | Exception]
    items: list[Message] = field(default_factory=list)
    on_item: OnEvent | None = None

    def settle(self, outcome: list[Message] | Exception) -> None:
        """Completes the wait with a result or an error; a wait that is over already stays as it is."""
        # errors travel as values: an exception set on a future whose waiter was just cancelled would be
        # reported as lost by asyncio
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def answered(self, answer: Message) -> None:
        """Takes the answer to the action: an error, the whole answer, or the beginning of a list."""
        if (answer.response or "").lower() == "error":
            reason = answer.output or answer.get("Message", "no reason given")
            self.settle(Refused(f"{self.action}: {reason}"))
        elif not self.listing:
            self.settle([answer])
        elif answer.get("EventList").lower() != "start":
            self.settle(Refused(f"{self.action}: answered without a list: {answer.get('Message')}"))

    def listed(self, item: Message) -> None:
        """Takes an item of the list, or its end."""
        match item.get("EventList").lower():
            case "complete":
                self.settle(self.items)
            case "cancelled":
                self.settle(Refused(f"{self.action}: Asterisk cancelled the list"))
            case _:
                (self.on_item or self.items.append)(item)
