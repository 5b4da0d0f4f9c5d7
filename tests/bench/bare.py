"""The yardstick: the least that could carry a pause from PostgreSQL to Asterisk.

It listens, reads the row with one SELECT, and writes QueuePause to a socket. No reconnects, no check, no log,
no second agent at the same time. `python -m tests.bench.bare DSN PORT USER SECRET QUEUE` prints `ready`.
"""

import asyncio
import sys

import asyncpg

QUERY = """
SELECT a.internal, s.paused, s.pause_reason FROM agentbridge.sessions s JOIN agentbridge.agents a ON a.id = s.agent_id
WHERE a.internal = (SELECT keys[1] FROM agentbridge.changes ORDER BY xid DESC LIMIT 1)
"""


async def main(dsn: str, port: str, user: str, secret: str, queue: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(f"Action: Login\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: off\r\n\r\n".encode())
    woken = asyncio.Event()
    listening, reading = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await listening.add_listener("agentbridge", lambda *_: woken.set())
    query = await reading.prepare(QUERY)
    print("ready", flush=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drain(reader))
        while True:
            await woken.wait()
            woken.clear()
            row = await query.fetchrow()
            if row is not None:
                writer.write(pause(queue, *row))


def pause(queue: str, internal: str, paused: bool, reason: str) -> bytes:
    lines = ["Action: QueuePause", f"Queue: {queue}", f"Interface: PJSIP/{internal}", f"Paused: {str(paused).lower()}"]
    return ("\r\n".join([*lines, f"Reason: {reason if paused else ''}"]) + "\r\n\r\n").encode()


async def drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
