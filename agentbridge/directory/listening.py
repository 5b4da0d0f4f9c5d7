"""Whether notifications get through to who listens."""

from __future__ import annotations

import asyncio
import random

from agentbridge.directory.connecting import connect, translated

APPLIED_CHANNEL = "agentbridge_applied"
"""some node has written what became of changes"""
ARRIVES_WITHIN_SECONDS = 1.0


async def listen_works(dsn: str, *, deadline: float) -> bool:
    """Whether notifications arrive; False behind a pooler in transaction mode, where LISTEN is lost without a word.

    It needs two connections, since a notification from the same one would arrive with the answer.
    """
    arrived = asyncio.Event()
    channel = f"agentbridge_check_{random.getrandbits(64):x}"
    listening = await connect(dsn, deadline=deadline, name="agentbridge check")
    try:
        notifying = await connect(dsn, deadline=deadline, name="agentbridge check")
        try:
            with translated():
                await listening.add_listener(channel, lambda *_: arrived.set())
                await notifying.execute(f"NOTIFY {channel}")
            return await _within(arrived, ARRIVES_WITHIN_SECONDS)
        finally:
            notifying.terminate()
    finally:
        listening.terminate()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event; returns whether it came within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
