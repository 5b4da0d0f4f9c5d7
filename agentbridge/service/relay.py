"""Who tells whom: what one part of the daemon finds out, and which other parts have to know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentbridge.asterisk.ami.wire import Message
from agentbridge.model import ALL_KEYS, EndpointId, QueueName, Reading, SessionPause
from agentbridge.reconcile.work_queue import Cause

if TYPE_CHECKING:
    from agentbridge.service.parts import Parts


class Relay:
    """Passes on what the node (as its AsteriskListener) and the changes (as their DirectoryListener) find out.

    Also answers what the parts ask of one another. They are built with the relay, so `parts` is set once all of them
    are there, and before any of them runs.
    """

    parts: Parts

    # ------------------------------------------------------------ from the directory

    def keys_changed(self, keys: set[EndpointId], reading: Reading | None) -> None:
        """Hints: the keys are compared, everything is where ALL_KEYS is among them."""
        parts = self.parts
        if ALL_KEYS in keys:
            parts.reconciler.everything_changed()
            parts.resync.directory_changed()
        parts.reconciler.mark(keys - {ALL_KEYS}, Cause.CHANGE, reading)
        self._hinted()

    def pauses_changed(self, pauses: Mapping[EndpointId, SessionPause]) -> None:
        """Hints of which nothing but the pauses has to be compared."""
        self.parts.reconciler.mark_pauses(pauses)
        self._hinted()

    def _hinted(self) -> None:
        """Tells up to which snapshot of the directory all changes have been told."""
        parts = self.parts
        parts.directory.hinted = parts.changes.snapshot
        parts.reconciler.hinted(parts.changes.snapshot or "")

    def directory_up(self) -> None:
        """This database is obeyed: everything is compared."""
        parts = self.parts
        parts.directory.obey(parts.changes.lineage)
        self._hinted()
        parts.resync.now()

    def directory_lost(self, _reason: str) -> None:
        """Without the directory Asterisk stays as it is."""
        self.parts.reconciler.suspend()
        self.parts.directory.obey(None)

    def results_written(self) -> None:
        """Lets callers who wait on the telephone look whether their change is done."""
        self.parts.desk.look()

    # ------------------------------------------------------------ from Asterisk

    def key_drifted(self, key: EndpointId) -> None:
        """The key is compared."""
        self.parts.reconciler.mark([key], Cause.EVENT)

    def member_autopaused(self, key: EndpointId, queue: QueueName) -> None:
        """The directory is to adopt app_queue's pause."""
        self.parts.reconciler.autopaused(key, queue)

    def pause_of_ours(self, key: EndpointId) -> None:
        """The key is compared as one that the directory has changed: else the directory would adopt the pause."""
        self.parts.reconciler.mark([key], Cause.CHANGE)

    def asterisk_stale(self) -> None:
        """Asterisk is read and everything compared."""
        self.parts.resync.now()

    def call_event(self, event: Message) -> None:
        """Recordings, listening, lamps and the picture of running calls follow the events."""
        self.parts.calls.on_event(event)

    def policy_written(self, path: str, value: str) -> None:
        """Listening, lamps and the picture of running calls obey the policy from now on; a telephone has come or gone
        with it."""
        self.parts.calls.on_policy(path, value)
        match path.split("/"):
            case ["telephone", name, "agent"]:
                device = EndpointId(name)
                self.parts.registrations.listed(device, registered=self.parts.node.contact(device) is not None)
            case _:
                pass

    # ------------------------------------------------------------ what the parts ask of one another

    def is_active(self) -> bool:
        """Whether this daemon acts for its node: it follows a directory that is obeyed, and is no standby."""
        return self.parts.changes.up

    def is_settled(self) -> bool:
        """Whether nothing waits to be compared, written or recorded."""
        return self.parts.reconciler.is_settled

    def is_telephone(self, key: EndpointId) -> bool:
        """Whether our AstDB family lists the device as a telephone."""
        return self.parts.node.is_telephone(key)
