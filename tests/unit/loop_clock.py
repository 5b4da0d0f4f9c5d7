"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
TURNS = 100_000


class _Jumping(selectors.SelectSelector):
    """A selector that does not wait, but moves the clock on by the time that it should have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due any more, and somebody still waits")
        # the smallest step: a timer that is due in less than the clock's resolution must not spin
        self.now += max(timeout, 1e-6) if timeout > 0 else 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and moves only while everybody waits."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def jump(self, seconds: float) -> None:
        """As if the process had been stopped for so long."""
        self._jumping.now += seconds

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.run_until_complete(work)

    def end(self) -> None:
        """Cancels what still runs, and closes the loop."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.wait(tasks))
        self.close()


async def turns(number: int) -> None:
    """Lets the loop run so many turns, in which no time passes unless everybody waits."""
    for _ in range(number):
        await asyncio.sleep(0)
