"""Reconnects every link to a server in the same way: AMI, ARI's events, and PostgreSQL.

The waits double from the first to the longest, and half of each is random, so that the daemons of many nodes do not
come back to a restarted server at the same moment. tenacity does the counting and the waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential, wait_random_exponential
from tenacity.wait import wait_base


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The seconds between two tries to connect: after the first failure, and at most."""

    first: float
    longest: float

    def strategy(self) -> wait_base:
        """Returns tenacity's wait: half of it is fixed and half is random, so that a try is never immediate."""
        fixed = wait_exponential(multiplier=self.first / 2, max=self.longest / 2)
        return fixed + wait_random_exponential(multiplier=self.first / 2, max=self.longest / 2)


async def keep_connected(
    session: Callable[[], Awaitable[None]],
    waits: Waits,
    *,
    errors: type[Exception] | tuple[type[Exception], ...],
    on_failure: Callable[[BaseException], None] = lambda _: None,
) -> NoReturn:
    """Runs `session` again and again until it is cancelled.

    session: connects and serves. It returns when a connection that was up has ended, and raises one of `errors` when
    none came up: the waits grow from failure to failure and start over after a connection that was up. Anything else
    that it raises is a bug and ends the loop. on_failure: told of each failure before the wait.
    """

    def failed(state: RetryCallState) -> None:
        if state.outcome is not None and (error := state.outcome.exception()) is not None:
            on_failure(error)

    while True:
        await AsyncRetrying(
            retry=retry_if_exception_type(errors), wait=waits.strategy(), before_sleep=failed, sleep=asyncio.sleep
        )(session)
        await asyncio.sleep(waits.first)
