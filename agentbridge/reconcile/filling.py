"""How a pass over very many keys adds what Asterisk has nothing of: at a cold start, or after an import.

All that is to be written of 10,000 agents, each step an object, would be 40 MB that are left behind in pieces, and the
first of them would wait until the last is compared. So keys that are only added to are written slice by slice:

1. while others are still compared, call policy and AORs: Asterisk walks all its endpoints for each AOR that is made,
   and there are none yet;
2. when all are compared, auths, endpoints and mailboxes;
3. at last, together, the queue members: app_queue looks at all of them at each change of an endpoint's state.

In between what should be of a key is kept packed. A key that changes meanwhile leaves the pass, as always.
"""

from __future__ import annotations

import asyncio
import pickle
import zlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

from agentbridge.model import ABSENT, AddMember, EndpointId, PutMailbox, PutObject, PutPolicy, Step
from agentbridge.plan.difference import Plan
from agentbridge.reconcile.comparison import Comparer, Comparison, merged
from agentbridge.reconcile.work_queue import Batch, WorkQueue
from agentbridge.reconcile.writer import Writer, is_new_aor

SLICE = 500
"""keys that are written together"""
AT_ONCE = 3
"""slices that are written side by side"""


class Conclude(Protocol):
    """Notes what the keys of a comparison came to; see Reconciler."""

    def __call__(
        self, compared: Comparison, failures: Mapping[EndpointId, str], batch: Batch, proof: Plan, /
    ) -> None: ...


class Filling:
    """Writes the keys of one pass that are only added to: `split` and `add` while the pass compares, then `finish`.

    To be used as a context, at whose end nothing is being written any more. with_aors: whether AORs are among what is
    added, one by one. check: called before each write; what it raises ends the pass. conclude: told of keys that are
    done.
    """

    def __init__(
        self,
        comparer: Comparer,
        writer: Writer,
        work: WorkQueue,
        batch: Batch,
        check: Callable[[], None],
        conclude: Conclude,
        *,
        with_aors: bool,
    ) -> None:
        self._comparer, self._writer, self._work = comparer, writer, work
        self._with_aors = with_aors
        self._batch, self._check, self._conclude = batch, check, conclude
        self._gathered: list[Comparison] = []
        self._writing: set[asyncio.Task[None]] = set()
        self._objects: list[bytes] = []
        """what should be of keys with policy and AOR, a slice each"""
        self._last: list[bytes] = []
        """the same of those of which their members are left, or what somebody else has made necessary"""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writing in self._writing:
            writing.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    def split(self, compared: Comparison) -> tuple[Comparison | None, Comparison | None]:
        """Returns two parts of a comparison, the keys that are only added to and the others; None for a part without
        keys."""
        planned = compared.plan
        others = {step.key for step in planned.steps if not _adds(step) or (is_new_aor(step) and not self._with_aors)}
        others |= planned.waiting.keys() | planned.problems.keys()
        new = set(compared.keys) - others
        return compared.of(new) if new else None, compared.of(others) if others else None

    async def add(self, compared: Comparison) -> None:
        """Takes a comparison of keys that are only added to; once there are enough, begins to write their policy and
        AORs, while the caller goes on. Raises Unavailable when Asterisk is gone."""
        self._gathered.append(compared)
        if sum(len(part.keys) for part in self._gathered) >= SLICE:
            await self._begin_first()

    async def finish(self) -> Comparison | None:
        """Writes what is left but for queue members; returns the comparison of the keys that have any, or of which more
        is to be done. Raises Unavailable when Asterisk is gone."""
        await self._begin_first()
        await self._until_fewer(1)
        self._objects.reverse()
        while self._objects:  # each is forgotten before it is written
            await self._begin(self._write_objects(self._objects.pop()))
        await self._until_fewer(1)
        return merged([await self._unpacked(some) for some in self._last]) if self._last else None

    async def _begin_first(self) -> None:
        """Begins to write policy and AORs of the keys that were gathered."""
        if self._gathered:
            compared, self._gathered = merged(self._gathered), []
            await self._begin(self._write(compared, _is_first, self._objects))

    async def _begin(self, writing: Coroutine[Any, Any, None]) -> None:
        """Begins to write a slice when there is room for one more: while one is prepared, Asterisk has the others to
        do. Raises what another has raised."""
        try:
            await self._until_fewer(AT_ONCE)
        except BaseException:
            writing.close()
            raise
        self._writing.add(asyncio.create_task(writing, name="filling"))

    async def _until_fewer(self, slices: int) -> None:
        """Waits until fewer slices are being written; raises what one of them has raised."""
        while len(self._writing) >= slices:
            await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
            done = {writing for writing in self._writing if writing.done()}
            self._writing -= done
            for failure in filter(None, await asyncio.gather(*done, return_exceptions=True)):
                raise failure

    async def _write_objects(self, packed: bytes) -> None:
        """Writes what is to be added but members, of a slice's keys that are still in the pass.

        Where somebody else has written meanwhile there is more to be done: it is left for the end, and so for the
        filters that members go through.
        """
        compared = await self._unpacked(packed)
        await self._write(compared, lambda step: _adds(step) and not isinstance(step.action, AddMember), self._last)

    async def _write(self, compared: Comparison, is_due: Callable[[Step], bool], rest: list[bytes]) -> None:
        """Writes the steps that are due; is done with the keys of which nothing is left, and packs what should be of
        the others."""
        steps = compared.plan.steps
        written = await self._writer.write([step for step in steps if is_due(step)], self._batch, self._check)
        left = {step.key for step in steps if not is_due(step)} - written.failures.keys()
        if left:
            rest.append(_packed(compared.of(left)))
            self._work.set_aside(self._batch, left)
        if done := set(compared.keys) - left:
            ended = compared.of(done)
            proof = await self._comparer.compare_again(ended.desired, ended.queues)
            self._conclude(ended, written.failures, self._batch, proof)
            self._work.release(self._batch, done)

    async def _unpacked(self, packed: bytes) -> Comparison:
        """Compares the keys of a slice again, of which Asterisk has more by now; without those that left the pass."""
        kept: Comparison = pickle.loads(zlib.decompress(packed))  # noqa: S301 - our own, from this process
        compared = kept.of(self._batch.begin(kept.keys).keys())
        return replace(compared, plan=await self._comparer.compare_again(compared.desired, compared.queues))


def _adds(step: Step) -> bool:
    return step.was == ABSENT and isinstance(step.action, PutPolicy | PutObject | PutMailbox | AddMember)


def _is_first(step: Step) -> bool:
    return isinstance(step.action, PutPolicy) or is_new_aor(step)


def _packed(compared: Comparison) -> bytes:
    """Returns the comparison without its plan as bytes, which leave no gaps in the memory when they are freed."""
    return zlib.compress(pickle.dumps(replace(compared, plan=Plan())), level=1)
