"""The objects that are shown, and who gets to know of a change.

All objects are kept once. A change marks its object. What is marked is handed out with the daemons' next change, or a
moment later: serialised once for each group of viewers with the same rights and wishes, and handed to its connections.
A connection that is still sending notes which objects are new to it: a map, so that a slow reader skips states and
holds no more memory than there are objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from agentbridge.api.events.viewers import Kind, Viewer

FLUSH_SECONDS = 0.05
"""so long at most a change of the directory waits for one of the daemons, which nearly always follows, to go along"""
REST_SECONDS = 0.015
"""between two hand-outs, at least: that is what several nodes and the directory together may cost"""
NOTICES = 256
"""that may wait for a reader; one more, and it gets a snapshot instead"""
TOMBSTONES = 10_000
"""objects that are gone and are still told of to whoever resumes; an older cursor gets a snapshot"""
ObjectId = tuple[Kind, str]


@dataclass(slots=True)
class Entry:
    """The present version of an object that is shown live; `data` is None when it is gone."""

    kind: Kind
    key: str
    version: int
    data: Mapping[str, Any] | None
    agent: str
    queues: frozenset[str]
    ever_queues: frozenset[str]
    """those that it was in since this process started: who may have seen it"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a stream has subscribed to: kinds of objects, and queues or all."""

    kinds: frozenset[Kind]
    queues: frozenset[str] | None = None
    """only these; None: all that the viewer sees"""

    def wants(self, entry: Entry) -> bool:
        """Whether the stream has subscribed to objects of this kind and queue."""
        if entry.kind not in self.kinds:
            return False
        if self.queues is None or entry.kind in (Kind.TELEPHONE, Kind.NODE, Kind.ME):
            return True
        return not self.queues.isdisjoint(entry.queues)


@dataclass(slots=True, eq=False)
class Audience:
    """Streams with the same rights and subscription: each object is serialised once for all of them."""

    viewer: Viewer
    wish: Wish
    shown: set[ObjectId] = field(default_factory=set)
    members: set[Outbox] = field(default_factory=set)

    def text(self, entry: Entry) -> str | None:
        """Returns the object as JSON for this audience; with null where it is gone or must not be seen any more.

        None where the audience never saw it.
        """
        identity = (entry.kind, entry.key)
        if (
            entry.data is not None
            and self.wish.wants(entry)
            and self.viewer.sees(entry.kind, entry.agent, entry.queues)
        ):
            self.shown.add(identity)
            return _object(entry, self.viewer.shown(entry.kind, entry.data))
        if identity in self.shown:
            self.shown.discard(identity)
            return _object(entry, None)
        return None

    def told_before(self, entry: Entry) -> bool:
        """Whether somebody who resumes may have been shown it."""
        return entry.kind in self.wish.kinds and self.viewer.sees(entry.kind, entry.agent, entry.ever_queues)


class Outbox:
    """What is still to be sent to one stream; `ready` is set while there is something to take."""

    def __init__(self) -> None:
        self._frame = ""
        self._framed: tuple[ObjectId, ...] = ()
        """the objects of the frame"""
        self._new: dict[ObjectId, None] = {}
        self._notices: deque[str] = deque()
        self._snapshot = False
        self.sending = False
        self.ready = asyncio.Event()
        self.close_code = 0

    def offer(self, frame: str, objects: tuple[ObjectId, ...]) -> None:
        """Takes a frame with these objects; while the stream is behind, only notes that the objects are new."""
        if self.sending or self._frame or self._new:
            self.note(objects)
        else:
            self._frame, self._framed = frame, objects
            self.ready.set()

    def note(self, objects: Iterable[ObjectId]) -> None:
        """Notes that these objects have changed and are to be sent; a waiting frame is replaced by its objects."""
        self._new.update(dict.fromkeys((*self._framed, *objects)))
        self._frame, self._framed = "", ()
        self.ready.set()

    def notice(self, text: str) -> None:
        """Queues a notice, such as a missed call; when too many wait, the stream gets a snapshot instead."""
        if len(self._notices) < NOTICES:
            self._notices.append(text)
            self.ready.set()
        else:
            self._notices.clear()
            self.restart()

    def restart(self) -> None:
        """Makes the stream get a snapshot of everything instead of what is noted."""
        self._frame, self._framed = "", ()
        self._new.clear()
        self._snapshot = True
        self.ready.set()

    def close(self, code: int) -> None:
        self.close_code = code
        self.ready.set()

    def take(self) -> tuple[bool, str, list[ObjectId], list[str]]:
        """Takes all that is to be sent: whether a snapshot is due, a whole frame, the changed objects, and the
        notices."""
        taken = (self._snapshot, self._frame, list(self._new), list(self._notices))
        self._snapshot, self._frame, self._framed = False, "", ()
        self._new.clear()
        self._notices.clear()
        self.ready.clear()
        return taken


class Hub:
    """Holds all objects that are shown live, and hands changes to the streams that may see them.

    `run` does so until it is cancelled.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._epoch = secrets.token_hex(4)
        self._version = 0
        self._oldest = 0
        """a cursor before this one gets a snapshot: a tombstone after it was dropped"""
        self._entries: dict[ObjectId, Entry] = {}
        self._gone: deque[ObjectId] = deque()
        self._changed: dict[ObjectId, Entry] = {}
        self._groups: dict[tuple[Viewer, Wish], Audience] = {}
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()

    # ------------------------------------------------------------ what is so

    def put(
        self, kind: Kind, key: str, data: Mapping[str, Any], *, agent: str = "", queues: Iterable[str] = ()
    ) -> None:
        """Stores an object's present data and marks it as changed; nothing happens when it is as before."""
        identity, places = (kind, key), frozenset(queues)
        entry = self._entries.get(identity)
        if entry is not None and (entry.data, entry.agent, entry.queues) == (data, agent, places):
            return
        ever = places | (entry.ever_queues if entry else frozenset())
        self._keep(identity, data, agent, places, ever)

    def drop(self, kind: Kind, key: str) -> None:
        """Marks an object as gone; its viewers are sent null."""
        entry = self._entries.get((kind, key))
        if entry is None or entry.data is None:
            return
        self._keep((kind, key), None, entry.agent, entry.queues, entry.ever_queues)
        self._gone.append((kind, key))
        while len(self._gone) > TOMBSTONES:
            self._forget(self._gone.popleft())

    def replace(self, kind: Kind, keys: Collection[str]) -> None:
        """Drops all objects of the kind that are not among these keys."""
        for known_kind, key in [*self._entries]:
            if known_kind is kind and key not in keys:
                self.drop(kind, key)

    def hasten(self) -> None:
        """Has what is marked handed out without waiting for more: the daemons have already gathered it."""
        self._hurry.set()

    def own(self, kind: Kind, agent: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Returns key and data of the objects of that kind that belong to the agent."""
        return [
            (entry.key, entry.data)
            for entry in self._entries.values()
            if entry.kind is kind and entry.agent == agent and entry.data is not None
        ]

    def _keep(
        self,
        identity: ObjectId,
        data: Mapping[str, Any] | None,
        agent: str,
        queues: frozenset[str],
        ever: frozenset[str],
    ) -> None:
        """Stores a new version of an object, and wakes `run`."""
        self._version += 1
        entry = Entry(*identity, self._version, data, agent, queues, ever)
        self._entries[identity] = self._changed[identity] = entry
        self._wake.set()

    def _forget(self, identity: ObjectId) -> None:
        """Removes the entry of an object that is gone; a stream that resumes from before that gets a snapshot."""
        entry = self._entries.get(identity)
        if entry is not None and entry.data is None:
            del self._entries[identity]
            self._oldest = max(self._oldest, entry.version)

    # ------------------------------------------------------------ who looks

    def join(self, viewer: Viewer, wish: Wish, outbox: Outbox) -> Audience:
        """Adds a stream to the audience with its rights and subscription; returns that."""
        group = self._groups.setdefault((viewer, wish), Audience(viewer, wish))
        group.members.add(outbox)
        return group

    def leave(self, group: Audience, outbox: Outbox) -> None:
        """Takes a stream out of its audience."""
        group.members.discard(outbox)
        if not group.members:
            self._groups.pop((group.viewer, group.wish), None)

    def connections(self) -> list[tuple[Audience, Outbox]]:
        return [(group, outbox) for group in self._groups.values() for outbox in group.members]

    def first(self, group: Audience, cursor: str) -> list[str]:
        """Returns a stream's first frames: what changed after the cursor, or everything where the cursor is too old or
        empty."""
        since = self._position(cursor)
        entries = [entry for entry in self._entries.values() if since is None or entry.version > since]
        told = {"type": "snapshot" if since is None else "resumed", "cursor": self.cursor(), "now": self._stamp()}
        texts = [text for entry in entries if (text := self._first_text(group, entry, since)) is not None]
        return [json.dumps(told), *([self.frame(texts)] if texts else [])]

    def _first_text(self, group: Audience, entry: Entry, since: int | None) -> str | None:
        """Returns the object as JSON for a new stream, with null where it went after the cursor; None for nothing to
        send."""
        text = group.text(entry)
        if text is None and since is not None and group.told_before(entry):
            return _object(entry, None)
        return text

    def visible_to(self, group: Audience) -> set[ObjectId]:
        return {identity for identity, entry in self._entries.items() if group.text(entry) is not None}

    def fresh(self, group: Audience, objects: Iterable[ObjectId]) -> str:
        """Returns one frame with these objects as they are now; '' when the audience sees none of them."""
        entries = (self._entries.get(identity) for identity in objects)
        texts = [_shown_or_gone(group, entry) for entry in entries if entry is not None]
        return self.frame(texts) if texts else ""

    def frame(self, objects: list[str]) -> str:
        return f'{{"type":"put","cursor":"{self.cursor()}","objects":[{",".join(objects)}]}}'

    def mark(self) -> str:
        """Returns the frame that is heartbeat and bookmark."""
        return json.dumps({"type": "mark", "cursor": self.cursor(), "now": self._stamp()})

    def cursor(self) -> str:
        return f"E{self._epoch}.{self._version}"

    def _position(self, cursor: str) -> int | None:
        """Returns the version that a cursor stands for; None for one that is too old, of another epoch or malformed."""
        epoch, _, version = cursor.removeprefix("E").partition(".")
        if epoch != self._epoch or not version.isascii() or not version.isdigit() or len(version) > 18:
            return None
        return int(version) if self._oldest <= int(version) <= self._version else None

    def _stamp(self) -> str:
        return self._now().isoformat()

    def notify(self, name: str, to: Callable[[Viewer], bool], **fields: Any) -> None:
        """Sends a notice to the streams whose viewers `to` selects."""
        text = json.dumps({"type": "notice", "name": name, **fields}, default=str)
        for group, outbox in self.connections():
            if to(group.viewer):
                outbox.notice(text)

    def notify_shown(self, name: str, to: Callable[[Viewer], bool], kind: Kind, data: Mapping[str, Any]) -> None:
        """Sends a notice with an object to the viewers that `to` selects, to each only what it may see of it."""
        for group, outbox in self.connections():
            if to(group.viewer):
                shown = group.viewer.shown(kind, data)
                outbox.notice(json.dumps({"type": "notice", "name": name, kind.value: shown}, default=str))

    # ------------------------------------------------------------ handing out

    async def run(self) -> NoReturn:
        """Hands changes to the streams until it is cancelled: when `hasten` was called, or after FLUSH_SECONDS."""
        while True:
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._hurry.wait()
            self._wake.clear()
            self._hurry.clear()
            self.flush()
            await asyncio.sleep(REST_SECONDS)

    def flush(self) -> None:
        """Hands what has changed to each audience, serialised once for all of its streams."""
        entries, self._changed = self._changed, {}
        for group in self._groups.values():
            shown = [(identity, text) for identity, entry in entries.items() if (text := group.text(entry)) is not None]
            if shown:
                frame = self.frame([text for _, text in shown])
                objects = tuple(identity for identity, _ in shown)
                for outbox in group.members:
                    outbox.offer(frame, objects)


def _shown_or_gone(group: Audience, entry: Entry) -> str:
    """Returns the object as JSON for this audience, with null where it must not be seen or is gone."""
    text = group.text(entry)
    return _object(entry, None) if text is None else text


def _object(entry: Entry, data: Mapping[str, Any] | None) -> str:
    """Returns the object as JSON."""
    return json.dumps(
        {"kind": entry.kind, "key": entry.key, "data": data}, ensure_ascii=False, separators=(",", ":"), default=str
    )
