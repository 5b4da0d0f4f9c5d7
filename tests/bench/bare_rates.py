"""`bare.py` for changes that may come faster than they are read: it reads all that are newer than the last.

That loses changes where two clients write at the same time; in this bench one does.
"""

import asyncio
import sys

import asyncpg

from tests.bench.bare import drain, pause

QUERY = """
SELECT c.seq, a.internal, s.paused, s.pause_reason FROM agentbridge.changes c CROSS JOIN unnest(c.keys) k
JOIN agentbridge.agents a ON a.internal = k JOIN agentbridge.sessions s ON s.agent_id = a.id
WHERE c.seq > $1 ORDER BY c.seq
"""


async def main(dsn: str, port: str, user: str, secret: str, queue: str) -> None:
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
                writer.write(pause(queue, *member))
                last = seq


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
