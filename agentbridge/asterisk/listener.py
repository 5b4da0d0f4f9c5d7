"""Whom an Asterisk's node tells what happened there."""

from __future__ import annotations

from typing import Protocol

from agentbridge.asterisk.ami.wire import Message
from agentbridge.model import EndpointId, QueueName


class AsteriskListener(Protocol):
    """Is told what happens in one Asterisk. Called synchronously: a method may not block."""

    def key_drifted(self, key: EndpointId) -> None:
        """What Asterisk has for this key changed, and not by our writing."""
        ...

    def member_autopaused(self, key: EndpointId, queue: QueueName) -> None:
        """app_queue paused the member by itself: its agent did not answer."""
        ...

    def pause_of_ours(self, key: EndpointId) -> None:
        """app_queue paused the member since a call of it was hung up by us, and that could not be undone: it is no
        pause of the agent."""
        ...

    def asterisk_stale(self) -> None:
        """What was read may be old (a link came up, a module was reloaded): everything has to be read again."""
        ...

    def call_event(self, event: Message) -> None:
        """An AMI event, of whatever kind, in the order of their coming."""
        ...

    def policy_written(self, path: str, value: str) -> None:
        """A policy at this path below our AstDB family was written by us; value is '' when it was removed."""
        ...


class NoListener:
    """An AsteriskListener that ignores everything: for a command that reads once, and to override in part."""

    def key_drifted(self, key: EndpointId) -> None:
        """Ignored."""

    def member_autopaused(self, key: EndpointId, queue: QueueName) -> None:
        """Ignored."""

    def pause_of_ours(self, key: EndpointId) -> None:
        """Ignored."""

    def asterisk_stale(self) -> None:
        """Ignored."""

    def call_event(self, event: Message) -> None:
        """Ignored."""

    def policy_written(self, path: str, value: str) -> None:
        """Ignored."""
