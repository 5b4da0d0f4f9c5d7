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
from typing import NoReturn

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
from agentbridge.asterisk.calls.spy_attempts import Audit, SpyAttempts, log_fields
from agentbridge.asterisk.retrying import repeat
from agentbridge.model import EndpointId
from agentbridge.model.calls import NO_SPY_GROUP, SPY_GROUP, SpyAttempt

log = structlog.get_logger()

REVOKED = "not allowed any more: hung up"
CLOSED = "chanspy is off"

RETRY_SECONDS = 0.25
LOOK_SECONDS = 1.0
"""between looks at whom those hear who listen at the customer's end"""
_CHANSPY_KEY = re.compile(r"agent/([^/]+)/chanspy")
_SPYER_KEY = re.compile(r"agent/[^/]+/spy|telephone/[^/]+/agent")
"""whether a supervisor may listen, and from which telephone"""
_SPIED = re.compile(r"[A-Za-z0-9]+/(.+)-(?:[0-9a-f]{8})?")
# the dialplan's variable on an agent's channel: whose call it is, whoever has the telephone now
_WHOSE = "AGENTBRIDGE_AGENT"
# and on a supervisor's, when the feature codes led it to ChanSpy: who dialled
_SPYER = "AGENTBRIDGE_SPYER"


class Spying:
    """Follows who listens to whom (ChanSpy), keeps it for the audit, and hangs up listeners who are not allowed any
    more.

    policy: reads what is in Asterisk's AstDB now. now: the time of day.
    """

    def __init__(self, link: Asks, audit: Audit, policy: Policy, *, now: Callable[[], datetime]) -> None:
        self._link, self._policy, self._now = link, policy, now
        self._attempts = SpyAttempts(audit, now)
        self._changed: dict[EndpointId, bool] = {}
        self._expelled: set[str] = set()
        """channels to hang up by name: they listen to whom they may not"""
        self._elsewhere: dict[str, tuple[str, str]] = {}
        """Uniqueid of a spy → its channel, and the one that it listens to, which is no agent's"""
        self._judge = False
        """who listens now is compared with who may"""
        self._look = False
        self._stopped: set[str] = set()
        """Uniqueids of spies that ended since the last look"""
        self._obey = asyncio.Event()

    # ------------------------------------------------------------ what is told

    def on_event(self, event: Message) -> None:
        """Takes an event that somebody tries to listen, listens, or has stopped."""
        match event.event:
            case "UserEvent" if event.get("UserEvent") == "AgentbridgeSpy":
                self._note_attempt(event)
            case "ChanSpyStart":
                self._note_attached(event)
            case "ChanSpyStop":
                self._stopped.add(event.get("SpyerUniqueid"))
                self._note_ended(event.get("SpyerUniqueid"))
            case "Hangup":
                self._note_ended(event.get("Uniqueid"))
            case _:
                pass

    def on_policy(self, path: str, value: str) -> None:
        """Notes a permission to listen that was written to Asterisk's AstDB; value is '' when it was removed."""
        if match := _CHANSPY_KEY.fullmatch(path):
            self._changed[EndpointId(match[1])] = value == "1"
            self._obey.set()
        elif _SPYER_KEY.fullmatch(path):
            self._judge = True
            self._obey.set()

    def look_again(self) -> None:
        """Compares who listens now with who may, after a reconnect."""
        self._look = True
        self._obey.set()

    def spies_of(self, agent: EndpointId) -> tuple[str, ...]:
        """Who listens to the agent now."""
        return self._attempts.spies_of(agent)

    def _note_attempt(self, event: Message) -> None:
        """Keeps an attempt that the dialplan reports; logs one that was refused."""
        attempt = SpyAttempt(
            channel=event.get("Uniqueid"),
            at=self._now(),
            spyer=event.get("Spyer"),
            target=event.get("Target"),
            mode=event.get("Mode"),
            allowed=event.get("Allowed") == "1",
            reason=event.get("Reason"),
        )
        self._attempts.keep(attempt)
        if not attempt.allowed:
            metrics.SPIES_REFUSED.inc()
            log.warning("spy.refused", **log_fields(attempt), reason=attempt.reason)

    def _note_attached(self, event: Message) -> None:
        """Notes that somebody now listens; the listener is hung up where the agent may not be listened to."""
        channel = event.get("SpyerUniqueid")
        target = agent_on(endpoint_of_channel(event.get("SpyeeChannel")), self._policy)
        known = self._attempts.get(channel)
        if target is None and known is None:
            # an administrator's own extension, on the customer's channel: the agent at the other end is heard as well
            self._elsewhere[channel] = (event.get("SpyerChannel"), event.get("SpyeeChannel"))
            self._obey.set()
            return
        attempt = known or self._from_elsewhere(channel, event, target or EndpointId(""))
        attempt = replace(attempt, started_at=attempt.started_at or self._now())
        log.info("spy.started", **log_fields(attempt))
        if target is not None and not self._open(target):
            attempt = replace(attempt, allowed=False, reason=CLOSED)
            log.warning("spy.revoked", **log_fields(attempt), reason=REVOKED)
            self._expel(event.get("SpyerChannel"))
        elif known is not None:  # by our codes: the permission may have gone since they looked
            self._judge = True
            self._obey.set()
        self._attempts.keep(attempt)

    def _from_elsewhere(self, channel: str, event: Message, target: EndpointId) -> SpyAttempt:
        """Makes the attempt of a listener who came by an extension of the administrator's own, not by our feature
        codes."""
        spyer = endpoint_of_channel(event.get("SpyerChannel"))
        return SpyAttempt(channel=channel, at=self._now(), spyer=spyer, target=target, allowed=True)

    def _note_ended(self, channel: str) -> None:
        """Notes that somebody has stopped listening, and whether by hanging up or because it was not allowed any
        more."""
        self._elsewhere.pop(channel, None)
        attempt = self._attempts.get(channel)
        if attempt is None or attempt.started_at is None:
            self._attempts.forget(channel)
            return
        allowed = attempt.allowed and self._open(EndpointId(attempt.target))
        self._attempts.end(channel, "hangup" if allowed else "revoked")

    def _open(self, agent: EndpointId) -> bool:
        return self._policy(f"agent/{agent}/chanspy") == "1"

    def _expel(self, channel: str) -> None:
        self._expelled.add(channel)
        self._obey.set()

    # ------------------------------------------------------------ the loops

    async def run(self) -> NoReturn:
        """Hangs up who may not listen and writes the audit, until it is cancelled.

        These are two loops: a database that is away must not delay the hanging up.
        """
        async with asyncio.TaskGroup() as loops:
            obeying = repeat(
                self._enforce, self._obey, name="spying", retry_seconds=RETRY_SECONDS, idle_seconds=self._idle_seconds
            )
            loops.create_task(obeying, name="spying")
            loops.create_task(self._attempts.run(), name="spy_audit")
        raise AssertionError("a loop without an end has ended")

    def _idle_seconds(self) -> float | None:
        """Returns after how many seconds to look without an event, while somebody listens to a customer; else None.

        A customer whose channel is listened to may come to another agent, and no event says so.
        """
        return LOOK_SECONDS if self._elsewhere else None

    async def _enforce(self) -> None:
        """Compares who listens with who may, and hangs up the others. Raises Unavailable or Refused."""
        if not (self._look or self._judge or self._changed or self._expelled or self._elsewhere):
            return
        look, self._look = self._look, False  # one that is asked for from now on is another
        try:
            await self._compare(whole=look)
        except BaseException:
            self._look = self._look or look
            raise

    async def _compare(self, *, whole: bool) -> None:
        """Does what `_enforce` says. whole: also for listeners of whom no event told."""
        asked_at = self._now()
        if whole:
            self._stopped.clear()
        living = await channels(self._link)
        if whole:
            self._find_elsewhere(living)
            self._end_what_is_gone(living, asked_at)
            self._attempts.recall({channel.uniqueid for channel in living}, self._stopped)
        if whole or self._judge:
            await self._judge_all(living)
        for agent, opened in list(self._changed.items()):
            await self._apply(agent, living, opened=opened)
            if self._changed.get(agent) is opened:
                del self._changed[agent]
        self._judge_elsewhere(living)
        for name in list(self._expelled):
            await hang_up(self._link, name)
            self._expelled.discard(name)

    async def _apply(self, agent: EndpointId, living: Sequence[Channel], *, opened: bool) -> None:
        """Lets listeners attach to the agent's running calls (`opened`), or prevents it and hangs up who listens."""
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
        """Hangs up the listener on channel `spy`, logs it, and notes that permission was the reason."""
        self._attempts.revoke(spy.uniqueid)
        log.warning("spy.revoked", agent=agent, spyer=spy.endpoint, reason=REVOKED)
        await hang_up(self._link, spy.name)

    def _endpoints_of(self, agent: EndpointId) -> set[EndpointId]:
        return {agent, EndpointId(self._policy(f"agent/{agent}/device"))} - {EndpointId("")}

    def _listening_to(self, agent: EndpointId, theirs: set[EndpointId], living: Iterable[Channel]) -> Iterable[Channel]:
        """Yields the channels of those who listen to the agent. theirs: the agent's devices."""
        for channel in living:
            attempt = self._attempts.get(channel.uniqueid)
            known = attempt is not None and attempt.started_at is not None and attempt.target == agent
            if known or spied_endpoint(channel) in theirs:
                yield channel

    def _end_what_is_gone(self, living: Sequence[Channel], asked_at: datetime) -> None:
        """Ends the attempts whose channel is gone, for which the event was lost with its connection."""
        alive = {channel.uniqueid for channel in living}
        for channel, attempt in self._attempts.running():
            if channel not in alive and (attempt.started_at or attempt.at) < asked_at:
                self._note_ended(channel)

    def _find_elsewhere(self, living: Sequence[Channel]) -> None:
        """Finds listeners on a customer's channel whose beginning nobody saw."""
        for spy in living:
            prefix = spy.data.partition(",")[0] if spy.application == "ChanSpy" else ""
            spied = next((c for c in living if prefix and c.name.startswith(prefix)), None)
            if spied is not None and agent_on(spied.endpoint, self._policy) is None:
                self._elsewhere[spy.uniqueid] = (spy.name, spied.name)

    def _judge_elsewhere(self, living: Sequence[Channel]) -> None:
        """Finds the agents whom listeners on a customer's channel hear now, and keeps that for the audit.

        A listener is hung up where one of these agents may not be listened to.
        """
        named = {channel.name: channel for channel in living}
        for uniqueid, (spyer, spied) in list(self._elsewhere.items()):
            if spyer not in named:  # its end was not told of
                self._elsewhere.pop(uniqueid, None)
            for agent in self._heard_with(named.get(spied), living):
                opened = self._open(agent)
                known = self._attempts.get(uniqueid)
                if known is None or known.target != agent or known.allowed != opened:
                    self._note_elsewhere(uniqueid, spyer, agent, opened=opened)
                if not opened:
                    self._elsewhere.pop(uniqueid, None)
                    self._expel(spyer)
                    break

    def _heard_with(self, spied: Channel | None, living: Sequence[Channel]) -> Iterable[EndpointId]:
        """Yields the agents who are in the same bridge as that channel and so are heard with it."""
        if spied is None or not spied.bridge:
            return
        for channel in living:
            beside = channel.bridge == spied.bridge and channel.name != spied.name
            if beside and (agent := agent_on(channel.endpoint, self._policy)):
                yield agent

    def _note_elsewhere(self, uniqueid: str, spyer: str, agent: EndpointId, *, opened: bool) -> None:
        """Keeps that a listener by an administrator's own extension now hears this agent; ends what it heard before."""
        if self._attempts.get(uniqueid) is not None:  # the customer came to another agent
            self._attempts.end(uniqueid, "moved")
        now = self._now()
        attempt = SpyAttempt(
            channel=uniqueid,
            at=now,
            spyer=endpoint_of_channel(spyer),
            target=agent,
            allowed=opened,
            reason="" if opened else CLOSED,
            started_at=now,
        )
        log.info("spy.started", **log_fields(attempt))
        if not opened:
            log.warning("spy.revoked", **log_fields(attempt), reason=REVOKED)
        self._attempts.keep(attempt)

    async def _judge_all(self, living: Sequence[Channel]) -> None:
        """Hangs up every listener whose agent may not be listened to, or who may not listen. Raises Unavailable or
        Refused."""
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
        """Whether the listener on channel `spy` still has the permission.

        Who listens by our feature codes must still be a supervisor at this telephone; other extensions need no such
        permission.
        """
        spyer = await variable(self._link, _SPYER, spy.name)
        if not spyer:
            return True
        return self._policy(f"agent/{spyer}/spy") == "1" and agent_on(spy.endpoint, self._policy) == spyer


def spied_endpoint(channel: Channel) -> EndpointId | None:
    """Returns the endpoint that a channel in ChanSpy listens to: `PJSIP/1001-0000001a,ug(agentbridge)qSE` gives 1001;
    else None."""
    if channel.application != "ChanSpy":
        return None
    match = _SPIED.fullmatch(channel.data.partition(",")[0])
    return EndpointId(match[1]) if match else None
