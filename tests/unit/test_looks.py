"""Looking through everything: its lists are read each time, its keys where there is something to be found."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import cast

from agentbridge.model import EndpointId
from agentbridge.reconcile.fence import FenceToken
from agentbridge.reconcile.work_queue import Cause
from agentbridge.service.looks import SPARED, Looks
from agentbridge.service.parts import Parts

KEYS = {EndpointId(str(number)) for number in range(1000, 1050)}


class Centre:
    """The parts of a daemon, as far as a look needs them."""

    def __init__(self) -> None:
        self.written = "nothing"
        """the directory's fingerprint"""
        self.is_in_order = True
        self.has_all_marked = False
        self.lists = 0
        self.marked: set[EndpointId] = set()
        self.looks = Looks()
        # the methods that are not here are those that the parts have in common with this class
        self.looks.parts = cast(Parts, SimpleNamespace(node=self, reconciler=self, directory=self, calls=self))

    async def look_through(self) -> set[EndpointId]:
        """Returns the keys that one look has compared."""
        self.marked = set()
        assert await self.looks.through(0.0) == len(KEYS)
        return self.marked

    # ------------------------------------------------------------ the node

    def reads(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.read_all, self.read_all]

    async def read_all(self) -> None:
        self.lists += 1

    async def finish_new_aors(self) -> None: ...

    def forget_missing_queues(self) -> None: ...

    # ------------------------------------------------------------ the others

    async def fingerprint(self) -> str:
        return self.written

    def token(self) -> FenceToken:
        return FenceToken(0, 0, 0)

    async def everything(self) -> set[EndpointId]:
        return set(KEYS)

    async def resync(self, _since: FenceToken) -> int:
        self.marked |= KEYS
        return len(KEYS)

    def mark(self, keys: Iterable[EndpointId], cause: Cause) -> None:
        assert cause is Cause.RESYNC
        self.marked.update(keys)

    def look_again(self, *, spare_agents: bool = False) -> None:
        assert not (spare_agents and self.marked)


def test_keys_are_spared_while_nothing_is_written_in_the_directory() -> None:
    async def story() -> None:
        centre = Centre()
        assert await centre.look_through() == KEYS
        assert await centre.look_through() == set()
        centre.written = "something"
        assert await centre.look_through() == KEYS
        assert await centre.look_through() == set()
        assert centre.lists == 8  # two each time

    asyncio.run(story())


def test_no_key_is_spared_while_one_is_not_in_order() -> None:
    async def story() -> None:
        centre = Centre()
        await centre.look_through()
        centre.is_in_order = False
        assert await centre.look_through() == KEYS

    asyncio.run(story())


def test_keys_are_not_spared_for_ever() -> None:
    async def story() -> None:
        centre = Centre()
        looks = [await centre.look_through() for _ in range(SPARED + 3)]
        assert looks == [KEYS, *[set()] * SPARED, KEYS, set()]

    asyncio.run(story())


def test_a_look_at_once_counts_as_one_at_all_keys() -> None:
    async def story() -> None:
        centre = Centre()
        assert await centre.looks.at_once(True) == len(KEYS)
        assert await centre.look_through() == set()

    asyncio.run(story())
