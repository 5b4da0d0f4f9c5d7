"""The ordinary script: what an integrator writes in an afternoon, with asyncpg's listener and panoramisk.

It is woken, reads which agents changed since the last one it has seen, and makes their queue members so, one action
after the other, each with its answer. It reconnects as panoramisk does. It never compares, and what it did not see
happen it does not know. `python -m tests.bench.peers.ordinary DSN PORT USER SECRET` prints `ready`.
"""

import asyncio
import sys

import asyncpg
import panoramisk  # type: ignore[import-untyped]  # it has no types

QUERY = """
SELECT c.seq, a.internal, a.full_name, s.agent_id IS NOT NULL AS logged_in, s.paused, s.pause_reason,
    array(SELECT q.name FROM agentbridge.queue_members m JOIN agentbridge.queues q ON q.id = m.queue_id
        WHERE m.agent_id = a.id) AS queues
FROM agentbridge.changes c CROSS JOIN unnest(c.keys) k
JOIN agentbridge.agents a ON a.internal = k LEFT JOIN agentbridge.sessions s ON s.agent_id = a.id
WHERE c.seq > $1 ORDER BY c.seq
"""


class Script:
    """Holds which members it has seen or made."""

    def __init__(self, manager: panoramisk.Manager) -> None:
        self._manager = manager
        self._members: set[tuple[str, str]] = set()

    async def look(self) -> None:
        """Reads which members are there, once at its start."""
        for item in await self._manager.send_action({"Action": "QueueStatus"}):
            if item.get("Event") == "QueueMember":
                self._members.add((item["Queue"], item["Location"]))

    async def agent_changed(self, agent: asyncpg.Record) -> None:
        interface = f"PJSIP/{agent['internal']}"
        wanted = {(queue, interface) for queue in agent["queues"]} if agent["logged_in"] else set()
        for queue, _ in [place for place in self._members if place[1] == interface and place not in wanted]:
            await self._act("QueueRemove", Queue=queue, Interface=interface)
            self._members.discard((queue, interface))
        for queue, _ in wanted:
            paused, reason = str(agent["paused"]).lower(), agent["pause_reason"]
            if (queue, interface) in self._members:
                await self._act("QueuePause", Queue=queue, Interface=interface, Paused=paused, Reason=reason)
            else:
                name = agent["full_name"]
                await self._act("QueueAdd", Queue=queue, Interface=interface, MemberName=name, Paused=paused)
                self._members.add((queue, interface))

    async def _act(self, action: str, **fields: str) -> None:
        # not as a list: else panoramisk waits for ever for the end of one after a QueueAdd
        await self._manager.send_action({"Action": action, **fields}, as_list=False)


async def main(dsn: str, port: str, user: str, secret: str) -> None:
    manager = panoramisk.Manager(host="127.0.0.1", port=int(port), username=user, secret=secret, events="off")
    await manager.connect()
    script = Script(manager)
    await script.look()
    woken = asyncio.Event()
    listening, reading = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await listening.add_listener("agentbridge", lambda *_: woken.set())
    last = await reading.fetchval("SELECT coalesce(max(seq), 0) FROM agentbridge.changes")
    print("ready", flush=True)
    while True:
        await woken.wait()
        woken.clear()
        for agent in await reading.fetch(QUERY, last):
            await script.agent_changed(agent)
            last = agent["seq"]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
