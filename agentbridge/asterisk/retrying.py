"""The loop of whoever works when something happened, and tries again what could not be done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from agentbridge.errors import Refused, Unavailable

log = structlog.get_logger()


def until_woken() -> float | None:
    return None


async def repeat(
    work: Callable[[], Awaitable[None]],
    wake: asyncio.Event,
    *,
    name: str,
    retry_seconds: float,
    idle_seconds: Callable[[], float | None] = until_woken,
) -> NoReturn:
    """Calls `work` for ever: whenever `wake` is set, and after `idle_seconds()` without it; None waits for `wake`
    alone.

    What raises Unavailable or Refused is tried again after `retry_seconds`, and logged as `<name>.postponed` once for
    each reason.
    """
    told = ""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(idle_seconds()):
                await wake.wait()
        wake.clear()  # before the work: what comes meanwhile is done next
        try:
            await work()
            told = ""
        except (Unavailable, Refused) as reason:
            if str(reason) != told:
                log.warning(f"{name}.postponed", reason=str(reason), meanwhile="tries again")
            told = str(reason)
            await asyncio.sleep(retry_seconds)
            wake.set()
