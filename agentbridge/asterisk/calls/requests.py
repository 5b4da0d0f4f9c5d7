"""Carries out what somebody wants of a running call: recordings, listening, click to dial, hang up.

A request is first looked at: one whose call or device is not on this node is declined, and another node may have it.
Then it is taken, which succeeds once among all nodes, and only then is anything done. What fails halfway is never tried
again: the one who asked hears 'timed out' and can look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

import structlog

from agentbridge import metrics
from agentbridge.asterisk.calls.board import Board
from agentbridge.asterisk.calls.live import TIMEOUT_SECONDS, Asks, Policy, hang_up
from agentbridge.asterisk.calls.recorder import Recorder
from agentbridge.asterisk.calls.surroundings import Surroundings
from agentbridge.asterisk.retrying import repeat
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId
from agentbridge.model.live import Direction
from agentbridge.model.requests import Request, Verb

log = structlog.get_logger()

RETRY_SECONDS = 0.5
LOOK_EVERY_SECONDS = 2.0
"""below notifications, which a pooler loses"""
AT_ONCE = 50
RING_SECONDS = 30
PICKS_UP_SECONDS, SEES_SECONDS = 2.0, 0.05
"""a telephone that knows how answers at once; how often the calls in memory are looked at for it"""
OUTBOUND, FEATURES = "agentbridge-outbound", "agentbridge-features"
SPY_CODES = {"listen": "*51", "whisper": "*52", "barge": "*53"}
_ABSENT = frozenset({"", "UNAVAILABLE", "INVALID", "UNKNOWN"})
_FREE = "NOT_INUSE"

Result = Mapping[str, str | int]


class Desk(Protocol):
    """The requests in the directory, as far as they concern this node. Every method raises Unavailable."""

    async def open(self) -> Sequence[Request]:
        """What this node may still take, the oldest first."""
        ...

    async def take(self, request: int) -> bool:
        """Claims the request for this node; True once at most, among all nodes."""
        ...

    async def finish(self, request: int, result: Result | None, reason: str) -> None: ...

    async def decline(self, request: int, reason: str) -> None: ...


class Rings(Protocol):
    """Rings a device whose call then goes on in the dialplan. Raises Refused or Unavailable."""

    async def ring(
        self, device: str, context: str, extension: str, *, variables: Mapping[str, str], seconds: int
    ) -> str:
        """Returns the Uniqueid of the new channel."""
        ...


class Requests:
    """Carries out the requests about running calls that come through the directory: record, listen, dial, hang up,
    answer.

    active: whether this daemon acts for its node; while it does not, no request is taken.
    """

    def __init__(
        self,
        desk: Desk,
        link: Asks,
        rings: Rings,
        recorder: Recorder,
        board: Board,
        policy: Policy,
        around: Surroundings,
        *,
        active: Callable[[], bool],
        up: Callable[[], bool],
    ) -> None:
        self._desk, self._link, self._rings, self._recorder = desk, link, rings, recorder
        self._board, self._policy, self._around, self._active, self._up = board, policy, around, active, up
        self._running: set[int] = set()
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Wakes `run`: there may be a request."""
        self._wake.set()

    async def run(self) -> NoReturn:
        """Takes open requests and carries each out in a task of its own, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:

            async def work() -> None:
                for request in await self._open():
                    self._running.add(request.id)
                    tasks.create_task(self._serve(request), name=f"request-{request.id}")

            await repeat(
                work,
                self._wake,
                name="requests",
                retry_seconds=RETRY_SECONDS,
                idle_seconds=lambda: LOOK_EVERY_SECONDS,
            )
        raise AssertionError("a loop without an end has ended")

    async def _open(self) -> Sequence[Request]:
        """Returns open requests, no more than may run at once. Raises Unavailable."""
        if not self._active():
            return ()
        room = AT_ONCE - len(self._running)
        return [request for request in await self._desk.open() if request.id not in self._running][:room]

    async def _serve(self, request: Request) -> None:
        """Carries out a request within its deadline; logs one that can't be answered."""
        try:
            async with asyncio.timeout(request.seconds_left):
                await self._answer(request)
        except (Unavailable, TimeoutError) as away:
            self._tell(request, "timed out", str(away) or "the deadline is over")
        finally:
            self._running.discard(request.id)

    async def _answer(self, request: Request) -> None:
        """Carries out a request, or declines it, and writes the result into the directory. Raises Unavailable."""
        if elsewhere := self._not_here(request):
            await self._desk.decline(request.id, elsewhere)
            return
        if not await self._desk.take(request.id):
            return  # another node has it, or it is late
        try:
            result = await self._execute(request)
        except Refused as refused:
            await self._desk.finish(request.id, None, str(refused))
            self._tell(request, "refused", str(refused))
            return
        await self._desk.finish(request.id, result, "")
        self._tell(request, "done")

    def _tell(self, request: Request, result: str, reason: str = "") -> None:
        """Counts and logs the result of a request."""
        metrics.REQUESTS.labels(request.verb.value, result).inc()
        told = {"request": request.id, "verb": request.verb.value, "agent": request.internal}
        if result == "done":
            log.info("request.done", **told)
        else:
            log.warning("request.refused" if result == "refused" else "request.timed_out", **told, reason=reason)

    # ------------------------------------------------------------ whose it is

    def _not_here(self, request: Request) -> str:
        """Returns why another node must do the request; '' when this one can."""
        if not self._up():
            return "Asterisk is away: nothing was done"
        agent = request.internal
        match request.verb:
            case Verb.DIAL:
                return self._no_device(agent)
            case Verb.SPY:
                target = EndpointId(request.arguments.get("target", ""))
                talks = any(call.answered_at is not None for call in self._board.calls_of(target))
                return self._no_device(agent) or ("" if talks else f"{target}: is in no call")
            case _ if self._board.calls_of(agent):
                return ""
            case Verb.RECORDING_START:
                return f"{agent}: is in no call that could be recorded"
            case Verb.HANGUP:
                return f"{agent}: is in no call"
            case Verb.ANSWER:
                return f"{agent}: no call rings"
            case Verb.RECORDING_STOP | Verb.RECORDING_PAUSE | Verb.RECORDING_RESUME:
                return f"{agent}: nothing is being recorded"

    def _no_device(self, agent: EndpointId) -> str:
        """Returns why the agent's device can't be rung; '' where it can."""
        device = self._device(agent)
        if not device:
            return f"{agent}: is not logged in"
        if self._around.device_state(device) in _ABSENT:
            return f"{agent}: the device {device} is not registered"
        return ""

    def _device(self, agent: EndpointId) -> EndpointId:
        return EndpointId(self._policy(f"agent/{agent}/device"))

    # ------------------------------------------------------------ what is done

    async def _execute(self, request: Request) -> Result:
        """Does what the request asks; returns the result for whoever asked. Raises Refused or Unavailable."""
        agent = request.internal
        match request.verb:
            case Verb.RECORDING_START:
                return {"file": await self._recorder.start(agent)}
            case Verb.RECORDING_STOP:
                return {"files": len(await self._recorder.stop(agent))}
            case Verb.RECORDING_PAUSE:
                return {"files": len(await self._recorder.pause(agent))}
            case Verb.RECORDING_RESUME:
                return {"files": len(await self._recorder.resume(agent))}
            case Verb.HANGUP:
                return await self._hang_up(agent)
            case Verb.ANSWER:
                return await self._pick_up(agent)
            case Verb.DIAL:
                return await self._dial(agent, request.arguments["number"])
            case Verb.SPY:
                code = SPY_CODES[request.arguments["mode"]]
                return await self._ring(agent, FEATURES, f"{code}{request.arguments['target']}")

    async def _hang_up(self, agent: EndpointId) -> Result:
        """Hangs up the agent's calls that are talked on; without any those that ring; else those on hold. Returns how
        many."""
        calls = self._board.channel_names(agent)
        speaking = [
            name
            for name, call in calls
            if call.held_at is None and (call.answered_at is not None or call.direction is Direction.OUT)
        ]
        ringing = [name for name, call in calls if call.answered_at is None]
        chosen = speaking or ringing or [name for name, _ in calls]
        for name in chosen:
            await hang_up(self._link, name)
        return {"calls": len(chosen)}

    async def _pick_up(self, agent: EndpointId) -> Result:
        """Makes the agent's ringing telephone answer by itself, with SIP event `talk` in the dialog of its INVITE.

        Asterisk does not tell how the telephone responded, so this returns when the call is seen answered. Raises
        Refused where none rings, where the ringing ends, and where the telephone does not answer in time.
        """
        ringing = [
            (name, call.channel)
            for name, call in self._board.channel_names(agent)
            if call.answered_at is None and call.direction is Direction.IN
        ]
        if not ringing:
            raise Refused(f"{agent}: no call rings")
        name, uniqueid = ringing[0]
        await self._link.action("PJSIPNotify", {"Channel": name, "Variable": "Event=talk"}, timeout=TIMEOUT_SECONDS)
        for _ in range(round(PICKS_UP_SECONDS / SEES_SECONDS)):
            call = next((call for call in self._board.calls_of(agent) if call.channel == uniqueid), None)
            if call is None:
                raise Refused(f"{agent}: the call has ended")
            if call.answered_at is not None:
                return {"calls": 1}
            await asyncio.sleep(SEES_SECONDS)
        raise Refused(f"{agent}: the telephone did not answer; it must know the SIP event talk")

    async def _dial(self, agent: EndpointId, number: str) -> Result:
        """Rings the agent's device and connects it to the number. Raises Refused where the agent is in a call."""
        if self._board.calls_of(agent) or self._around.device_state(self._device(agent)) != _FREE:
            raise Refused(f"{agent}: is in a call; end it first")
        return await self._ring(agent, OUTBOUND, number, number)

    async def _ring(self, agent: EndpointId, context: str, extension: str, shown: str = "") -> Result:
        """Rings the agent's device; when it answers, its call goes on at that extension. Raises Refused or Unavailable.

        shown: the number that the device shows meanwhile.
        """
        device = self._device(agent)
        # what the telephone shows while it rings: whom it is going to call
        variables = {"CONNECTEDLINE(num,i)": shown} if shown else {}
        uniqueid = await self._rings.ring(device, context, extension, variables=variables, seconds=RING_SECONDS)
        self._board.expect(uniqueid, extension)
        return {"device": device}
