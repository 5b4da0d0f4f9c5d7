"""Who listens to whom: every try is kept, and it ends when the agent may no longer be listened to, or the
supervisor may no longer listen.

The dialplan refuses; this takes back. ChanSpy looks at SPYGROUP only when it attaches, so that a permission
that is taken away ends nothing by itself; and in an extension that is not ours it may have been left open.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import NoReturn, Protocol

import structlog

from agentbridge import metrics
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.live import (
    Asks,
    Channel,
    Policy,
    agent_on,
    channels,
    endpoint_of_channel,
    hang_up,
    set_variable,
    variable,
)
from agentbridge.asterisk.retrying import repeat
from agentbridge.model import EndpointId
from agentbridge.model.calls import NO_SPY_GROUP, SPY_GROUP, SpyAttempt

log = structlog.get_logger()

RETRY_SECONDS = 0.25
KEPT = 10_000
"""tries that wait for the database at most; each is in the log whatever happens"""
AT_ONCE = 500
_CHANSPY_KEY = re.compile(r"agent/([^/]+)/chanspy")
_SPYER_KEY = re.compile(r"agent/[^/]+/spy|telephone/[^/]+/agent")
"""whether a supervisor may listen, and from which telephone"""
_SPIED = re.compile(r"[A-Za-z0-9]+/(.+)-(?:[0-9a-f]{8})?")
# the dialplan's variable on an agent's channel: whose call it is, whoever has the telephone now
_WHOSE = "AGENTBRIDGE_AGENT"
# and on a supervisor's, when the feature codes led it to ChanSpy: who dialled
_SPYER = "AGENTBRIDGE_SPYER"


class Audit(Protocol):
    """The directory. Raises Unavailable; safe to repeat."""

    async def note_spying(self, attempts: Sequence[SpyAttempt]) -> None: ...

    async def unended_spying(self) -> Sequence[SpyAttempt]: ...


class Spying:
    """`policy` is what is in Asterisk now; `now` the time of day."""

    def __init__(self, link: Asks, audit: Audit, policy: Policy, *, now: Callable[[], datetime]) -> None:
        self._link, self._audit, self._policy, self._now = link, audit, policy, now
        self._tries: dict[str, SpyAttempt] = {}
        """by the Uniqueid of the one who spies: the latest try, until it is over"""
        self._unwritten: dict[tuple[str, datetime], SpyAttempt] = {}
        self._changed: dict[EndpointId, bool] = {}
        self._expelled: set[str] = set()
        """channels to hang up by name: they listen to whom they may not"""
        self._revoked: set[str] = set()
        """Uniqueids of spies that were thrown out and have not ended yet"""
        self._judge = False
        """who listens now is compared with who may"""
        self._look = False
        self._living: frozenset[str] | None = None
        """Uniqueids; not None when what the directory says goes on must be compared with them"""
        self._stopped: set[str] = set()
        """Uniqueids of spies that ended since the last look"""
        self._obey, self._write = asyncio.Event(), asyncio.Event()

    # ------------------------------------------------------------ what is told

    def on_event(self, event: Message) -> None:
        match event.event:
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeSpy":
                self._tried(event)
            case "ChanSpyStart":
                self._attached(event)
            case "ChanSpyStop":
                self._stopped.add(event.get("SpyerUniqueid"))
                self._ended(event.get("SpyerUniqueid"))
            case "Hangup":
                self._ended(event.get("Uniqueid"))
            case _:
                pass

    def on_policy(self, path: str, value: str) -> None:
        """A policy was written to Asterisk; '' when it was removed."""
        if match := _CHANSPY_KEY.fullmatch(path):
            self._changed[EndpointId(match[1])] = value == "1"
            self._obey.set()
        elif _SPYER_KEY.fullmatch(path):
            self._judge = True
            self._obey.set()

    def look_again(self) -> None:
        """After a reconnect: who listens now is compared with who may be listened to."""
        self._look = True
        self._obey.set()

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]:
        """Who listens to the agent now."""
        return tuple(
            sorted(one.spyer for one in self._tries.values() if one.started_at is not None and one.target == agent)
        )

    def _tried(self, event: Message) -> None:
        attempt = SpyAttempt(
            channel=event.get("Uniqueid"),
            at=self._now(),
            spyer=event.get("Spyer"),
            target=event.get("Target"),
            mode=event.get("Mode"),
            allowed=event.get("Allowed") == "1",
            reason=event.get("Reason"),
        )
        self._keep(attempt)
        if not attempt.allowed:
            metrics.SPIES_REFUSED.inc()
            log.warning("spy.refused", **_told(attempt), reason=attempt.reason)

    def _attached(self, event: Message) -> None:
        channel = event.get("SpyerUniqueid")
        target = agent_on(endpoint_of_channel(event.get("SpyeeChannel")), self._policy)
        known = self._tries.get(channel)
        if target is None and known is None:
            return  # neither the spied one nor the way is ours
        attempt = known or self._from_elsewhere(channel, event, target or EndpointId(""))
        attempt = replace(attempt, started_at=attempt.started_at or self._now())
        log.info("spy.started", **_told(attempt))
        if target is not None and not self._open(target):
            attempt = replace(attempt, allowed=False, reason="chanspy is off")
            self._expel(event.get("SpyerChannel"))
        elif known is not None:  # by our codes: the permission may have gone since they looked
            self._judge = True
            self._obey.set()
        self._keep(attempt)

    def _from_elsewhere(self, channel: str, event: Message, target: EndpointId) -> SpyAttempt:
        """By an extension of the administrator's own."""
        spyer = endpoint_of_channel(event.get("SpyerChannel"))
        return SpyAttempt(channel=channel, at=self._now(), spyer=spyer, target=target, allowed=True)

    def _ended(self, channel: str) -> None:
        attempt = self._tries.pop(channel, None)
        if attempt is None or attempt.started_at is None:
            return
        allowed = attempt.allowed and self._open(EndpointId(attempt.target)) and channel not in self._revoked
        self._revoked.discard(channel)
        ending = "hangup" if allowed else "revoked"
        attempt = replace(attempt, ended_at=self._now(), ending=ending)
        log.info("spy.ended", **_told(attempt), ending=ending)
        self._note(attempt)

    def _keep(self, attempt: SpyAttempt) -> None:
        self._tries[attempt.channel] = attempt
        self._note(attempt)

    def _note(self, attempt: SpyAttempt) -> None:
        key = (attempt.channel, attempt.at)
        if key not in self._unwritten and len(self._unwritten) >= KEPT:
            log.error("spy.not_kept", **_told(attempt))
            return
        self._unwritten[key] = attempt
        self._write.set()

    def _open(self, agent: EndpointId) -> bool:
        return self._policy(f"agent/{agent}/chanspy") == "1"

    def _expel(self, channel: str) -> None:
        self._expelled.add(channel)
        self._obey.set()

    # ------------------------------------------------------------ the loops

    async def run(self) -> NoReturn:
        """Two loops: a database that is away must not delay the taking back."""
        async with asyncio.TaskGroup() as loops:
            for name, wake, work in (
                ("spying", self._obey, self._obeyed),
                ("spy_audit", self._write, self._written),
            ):
                loops.create_task(repeat(work, wake, name=name, retry_seconds=RETRY_SECONDS), name=name)
        raise AssertionError("a loop without an end has ended")

    async def _written(self) -> None:
        if self._living is not None:
            await self._recall(self._living)
            self._living = None
        while batch := list(islice(self._unwritten.items(), AT_ONCE)):
            await self._audit.note_spying([attempt for _, attempt in batch])
            for key, attempt in batch:
                if self._unwritten.get(key) is attempt:
                    del self._unwritten[key]

    async def _obeyed(self) -> None:
        if not (self._look or self._judge or self._changed or self._expelled):
            return
        asked_at = self._now()
        if self._look:
            self._stopped.clear()
        living = await channels(self._link)
        if self._look:
            self._end_what_is_gone(living, asked_at)
            self._living = frozenset(channel.uniqueid for channel in living)
            self._write.set()
        if self._look or self._judge:
            await self._judge_all(living)
            self._look = False
        for agent, opened in list(self._changed.items()):
            await self._apply(agent, living, opened=opened)
            if self._changed.get(agent) is opened:
                del self._changed[agent]
        for name in list(self._expelled):
            await hang_up(self._link, name)
            self._expelled.discard(name)

    async def _apply(self, agent: EndpointId, living: Sequence[Channel], *, opened: bool) -> None:
        theirs = self._endpoints_of(agent)
        calls = [channel for channel in living if channel.endpoint in theirs]
        if opened:
            for call in calls:
                if await variable(self._link, _WHOSE, call.name) == agent:
                    await set_variable(self._link, "SPYGROUP", SPY_GROUP, call.name)
            return
        # closed first, so that nobody attaches while the others are hung up
        for call in calls:
            await set_variable(self._link, "SPYGROUP", NO_SPY_GROUP, call.name)
        for channel in self._listening_to(agent, theirs, living):
            await self._revoke(agent, channel)

    async def _revoke(self, agent: EndpointId, spy: Channel) -> None:
        self._revoked.add(spy.uniqueid)
        log.warning("spy.revoked", agent=agent, spyer=spy.endpoint)
        await hang_up(self._link, spy.name)

    def _endpoints_of(self, agent: EndpointId) -> set[EndpointId]:
        return {agent, EndpointId(self._policy(f"agent/{agent}/device"))} - {EndpointId("")}

    def _listening_to(
        self, agent: EndpointId, theirs: set[EndpointId], living: Iterable[Channel]
    ) -> Iterable[Channel]:
        for channel in living:
            attempt = self._tries.get(channel.uniqueid)
            known = attempt is not None and attempt.started_at is not None and attempt.target == agent
            if known or spied_endpoint(channel) in theirs:
                yield channel

    async def _recall(self, living: frozenset[str]) -> None:
        """What goes on since before this daemon started, and what ended while nobody saw it."""
        for attempt in await self._audit.unended_spying():
            if attempt.channel in self._tries or (attempt.channel, attempt.at) in self._unwritten:
                continue
            if attempt.channel in living - self._stopped:
                self._tries[attempt.channel] = attempt
            else:
                self._note(replace(attempt, ended_at=self._now(), ending="unseen"))

    def _end_what_is_gone(self, living: Sequence[Channel], asked_at: datetime) -> None:
        """An event that was lost with its connection."""
        alive = {channel.uniqueid for channel in living}
        self._revoked &= alive
        for channel, attempt in list(self._tries.items()):
            if channel not in alive and (attempt.started_at or attempt.at) < asked_at:
                self._ended(channel)

    async def _judge_all(self, living: Sequence[Channel]) -> None:
        self._judge = False  # before the policy is read: what changes meanwhile is judged again
        try:
            for channel in living:
                spied = spied_endpoint(channel)
                agent = agent_on(spied, self._policy) if spied else None
                if agent and not (self._open(agent) and await self._may_listen(channel)):
                    await self._revoke(agent, channel)
        except BaseException:
            self._judge = True
            raise

    async def _may_listen(self, spy: Channel) -> bool:
        """By our codes: who is still the supervisor at this telephone. Other extensions ask for no such permission."""
        spyer = await variable(self._link, _SPYER, spy.name)
        if not spyer:
            return True
        return self._policy(f"agent/{spyer}/spy") == "1" and agent_on(spy.endpoint, self._policy) == spyer


def spied_endpoint(channel: Channel) -> EndpointId | None:
    """Whom a channel in ChanSpy listens to: `PJSIP/1001-0000001a,ug(agentbridge)qSE` → 1001."""
    if channel.application != "ChanSpy":
        return None
    match = _SPIED.fullmatch(channel.data.partition(",")[0])
    return EndpointId(match[1]) if match else None


def _told(attempt: SpyAttempt) -> dict[str, str]:
    return {"agent": attempt.target, "spyer": attempt.spyer, "mode": attempt.mode}
