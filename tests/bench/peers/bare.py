"""The yardstick: the least that could carry a pause from PostgreSQL to Asterisk.

It listens, reads what is new with one SELECT, and writes QueuePause to a socket. No answers, no reconnects, no check,
no log, no agent with two queues. `python -m tests.bench.peers.bare DSN PORT USER SECRET` prints `ready`.
"""

import asyncio
import sys

import asyncpg

QUERY = """
SELECT c.seq, a.internal, s.paused, s.pause_reason, q.name FROM agentbridge.changes c CROSS JOIN unnest(c.keys) k
JOIN agentbridge.agents a ON a.internal = k JOIN agentbridge.sessions s ON s.agent_id = a.id
JOIN agentbridge.queue_members m ON m.agent_id = a.id JOIN agentbridge.queues q ON q.id = m.queue_id
WHERE c.seq > $1 ORDER BY c.seq
"""


async def main(dsn: str, port: str, user: str, secret: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(f"Action: Login\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: off\r\n\r\n".encode())
    woken = asyncio.Event()
    listening, reading = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await listening.add_listener("agentbridge", lambda *_: woken.set())
    last = await reading.fetchval("SELECT coalesce(max(seq), 0) FROM agentbridge.changes")
    query = await reading.prepare(QUERY)
    await query.fetch(last)
    print("ready", flush=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drain(reader))
        while True:
            await woken.wait()
            woken.clear()
            for seq, *member in await query.fetch(last):
                writer.write(pause(*member))
                last = seq


def pause(internal: str, paused: bool, reason: str, queue: str) -> bytes:
    lines = ["Action: QueuePause", f"Queue: {queue}", f"Interface: PJSIP/{internal}", f"Paused: {str(paused).lower()}"]
    return ("\r\n".join([*lines, f"Reason: {reason if paused else ''}"]) + "\r\n\r\n").encode()


async def drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
