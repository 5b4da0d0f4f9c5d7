"""`make demo`: the whole product on private servers, with real calls, in one sitting.

At its end a little centre lives behind the desk in a browser; KEEP=1 leaves it at work until Ctrl-C, with three logins.
AGENTBRIDGE_ASTERISK_ROOTS chooses the Asterisk.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from agentbridge.directory.passwords import hash_password
from agentbridge.errors import AgentbridgeError
from lab.api import Api, Browser
from lab.asterisk import Asterisk, version_of
from lab.bridge import Bridge
from lab.living import AGENTS, LivingCentre
from lab.manager import Seen, members
from lab.phones import Answer, Call, Farm, Phone, RegistrationRefusedError
from lab.phones.audio import RATE
from lab.postgres import API, Postgres
from lab.processes import LabError, until
from lab.recordings import heard_at, longest_gap, samples_of

WITHIN_S = 10.0
WATCHED_S = 1.5
"""how long the phone on pause is watched: the queue tries each second"""
LIVES_S = 30.0
"""until which the wallboard has shown each state"""
CALLERS = 4
SILENT_S = 0.3
"""the pause of the recording lasts as long as the command to resume takes: longer than this"""
FAULTS = (LabError, TimeoutError, OSError, AgentbridgeError, asyncpg.PostgresError, RegistrationRefusedError)
PASSWORD = "demo"
SET_UP = """
UPDATE agentbridge.settings SET internal_from = 1000, internal_to = 1029;
INSERT INTO agentbridge.queues (name) VALUES ('sales'), ('support');
INSERT INTO agentbridge.agents (username, full_name, internal, record_calls, chanspy)
    VALUES ('ana', 'Ana Conda', '1001', 'wav', true);
INSERT INTO agentbridge.agents (username, full_name, internal, login_in_pause)
    VALUES ('ben', 'Ben Galo', '1002', true);
INSERT INTO agentbridge.queue_members (agent_id, queue_id)
    SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q;
INSERT INTO agentbridge.agents (username, full_name, internal, may_spy) VALUES ('sue', 'Sue Pervisor', '1003', true);
"""


class StepFailed(Exception):
    """A step of the demo did not show what was expected; the message says that, and what came instead."""


@contextlib.asynccontextmanager
async def step(what: str) -> AsyncIterator[None]:
    """Runs a step of the demo: prints what it showed and how long it took. Raises StepFailed for its errors."""
    started = time.monotonic()
    try:
        yield
    except (*FAULTS, ExceptionGroup) as fault:
        raise StepFailed(f"expected: {what}\nbut: {first(fault)}") from fault
    print(f"{(time.monotonic() - started) * 1000:7.0f} ms  {what}", flush=True)


def first(fault: BaseException) -> BaseException:
    """Returns the first error that is no group, of what went wrong in a TaskGroup."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The servers, the phones and the daemon of the demo."""

    postgres: Postgres
    asterisk: Asterisk
    bridge: Bridge
    farm: Farm
    api: Api
    dsn: str
    db: "asyncpg.Connection[asyncpg.Record]"

    async def sql(self, statement: str) -> None:
        await self.db.execute(statement)

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        await until(condition, within=WITHIN_S, what=what)

    async def member(self, internal: str, queue: str = "sales") -> Seen | None:
        return (await members(self.asterisk, [queue])).get((queue, f"PJSIP/{internal}"))

    async def until_member(self, internal: str, *, paused: bool) -> None:
        """Waits until the agent is a member of the queue, paused or not."""

        async def there() -> bool:
            seen = await self.member(internal)
            return seen is not None and seen.paused is paused

        await self.until(there, f"{internal} in queue sales, paused={paused}")

    async def in_asterisk(self) -> None:
        """Waits until Asterisk has what the directory says of every agent."""

        async def applied() -> bool:
            query = "SELECT bool_and(applied_at IS NOT NULL) FROM agentbridge.agent_status"
            return bool(await self.db.fetchval(query))

        await self.until(applied, "every agent being in Asterisk")

    async def converged(self) -> bool:
        """Whether `agentbridge status` says that Asterisk has all that the directory says."""
        try:
            await self.bridge.cli("status")
        except LabError:
            return False
        return True

    async def caller(self) -> Phone:
        return await self.farm.phone(self.asterisk.caller_user, self.asterisk.caller_secret)


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[tuple[Postgres, Asterisk]]:
    """Starts PostgreSQL and Asterisk at the same time; both are gone after the block."""
    async with contextlib.AsyncExitStack() as stack:
        asterisk = Asterisk(queues={name: {"servicelevel": "20"} for name in ("sales", "support")})
        version = version_of(asterisk.root)
        what = f"a private PostgreSQL and a private Asterisk {version} run on free ports of 127.0.0.1"
        async with step(what), asyncio.TaskGroup() as both:
            postgres = both.create_task(stack.enter_async_context(Postgres(fsync=False)))
            both.create_task(stack.enter_async_context(asterisk))
        yield postgres.result(), asterisk


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Starts everything that the demo needs, and ends it afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        postgres, asterisk = await stack.enter_async_context(servers())
        dsn = await postgres.create_database("agentbridge")
        bridge = await stack.enter_async_context(Bridge(asterisk, dsn, sections={"log": {"format": "json"}}))
        async with step("agentbridge db migrate: the schema is there"):
            await bridge.cli("db", "migrate")
        db = await asyncpg.connect(dsn)
        stack.callback(db.terminate)
        async with step("agentbridge api: the directory over HTTP, with a database role of its own"):
            wss = f"ws://{asterisk.host}:{asterisk.http_port}/ws"
            sections = {"api": {"spool": str(asterisk.spool), "wss": wss}}
            api = await stack.enter_async_context(Api(postgres.dsn("agentbridge", API), sections=sections))
        farm = await stack.enter_async_context(Farm((asterisk.host, asterisk.sip_port)))
        yield Stage(postgres=postgres, asterisk=asterisk, bridge=bridge, farm=farm, api=api, dsn=dsn, db=db)


# ---------------------------------------------------------------- the story


async def tell(on: Stage) -> None:
    """Runs all steps of the demo in their order."""
    async with step("agentbridge run: the daemon is connected to both"):
        await on.sql(SET_UP)
        await on.bridge.start()
    async with step("three agents of the database are endpoints in Asterisk, with digests for passwords"):
        await on.in_asterisk()
    ana, ben, sue = await their_phones(on)
    call, customer = await first_call(on, ana)
    await listening(on, call, customer, ana, sue)
    await pause_of_the_recording(on)
    await login_in_pause(on, ana, ben)
    await drift(on)
    await the_recording(on, ana, customer)
    await kill_of_asterisk(on, ana)
    await over_http(on)
    async with step("agentbridge status: everything is as the database says"):
        await on.until(on.converged, "`agentbridge status` ending with 0")


async def their_phones(on: Stage) -> list[Phone]:
    """Makes and registers the phones of the demo's agents."""
    async with step("their phones register with what the daemon pushed"):
        rows = await on.db.fetch("SELECT internal, sip_secret FROM agentbridge.agents ORDER BY internal")
        return await on.farm.register({row["internal"]: row["sip_secret"] for row in rows})


async def first_call(on: Stage, ana: Phone) -> tuple[Call, Phone]:
    """Calls a queue as a customer until an agent answers; returns the call, which goes on, and the customer's phone."""
    async with step("ana logs in by SQL: a member of queue sales"):
        await on.sql("SELECT agentbridge.login('ana', source => 'phonebar')")
        await on.until_member("1001", paused=False)
    async with step("a customer calls sales: ana's phone rings, and both hear each other"):
        caller = await on.caller()
        call = await caller.call("sales", timeout=WITHIN_S)
        await hear_each_other(call, caller, await ana.rings(timeout=WITHIN_S), ana)
    return call, caller


async def listening(on: Stage, call: Call, customer: Phone, ana: Phone, sue: Phone) -> None:
    """Shows that a supervisor listens to a call, and is thrown out when that is no longer allowed."""
    async with step("sue, a supervisor, dials *51 and ana's number: she hears both, and nobody hears her"):
        spy = await sue.call("*511001", timeout=WITHIN_S)
        for phone in (ana, customer):
            await spy.hears(phone.tone or 0, timeout=5)
        if any(sue.tone in heard.heard() for heard in (call, *ana.live_calls)):
            raise LabError("sue was heard")
    async with step("ana may not be listened to any more: sue is thrown out, and the call goes on"):
        await on.sql("UPDATE agentbridge.agents SET chanspy = false WHERE username = 'ana'")
        await spy.ended(timeout=1)
        await call.hears(ana.tone or 0, timeout=5)


async def pause_of_the_recording(on: Stage) -> None:
    """Shows that the recording of a call is paused and goes on."""
    async with step("agentbridge recording pause ana: she takes down the number of a card"):
        await on.bridge.cli("recording", "pause", "ana")
        await asyncio.sleep(2 * SILENT_S)  # what she is told: on a fast machine the next command comes sooner
    async with step("agentbridge recording resume ana"):
        await on.bridge.cli("recording", "resume", "ana")


async def login_in_pause(on: Stage, ana: Phone, ben: Phone) -> None:
    """Shows that who logs in on pause is not rung before the pause ends."""
    waiting = await on.caller()
    await waiting.call("sales", timeout=WITHIN_S)
    async with step("ben logs in with a second customer waiting: a member on pause from the first moment"):
        await on.sql("SELECT agentbridge.login('ben', source => 'phonebar')")
        await on.until_member("1002", paused=True)
    async with step("the queue tries again and again, and ben's phone does not ring"):
        await asyncio.sleep(WATCHED_S)
        if ben.invites:
            raise LabError("ben's phone rang while ben was on pause")
    async with step("ben unpauses: the phone rings, and the waiting customer is heard"):
        await on.sql("SELECT agentbridge.unpause('ben', source => 'phonebar')")
        await hear_each_other(waiting.calls[0], waiting, await ben.rings(timeout=WITHIN_S), ben)
    async with step("all calls end; ben goes to lunch"):
        for call in (*ana.live_calls, *ben.live_calls, *waiting.live_calls):
            await call.hangup()
        await on.sql("SELECT agentbridge.pause('ben', 'lunch', source => 'phonebar')")
        await on.until_member("1002", paused=True)


async def drift(on: Stage) -> None:
    """Shows that a change which somebody makes in Asterisk is taken back."""
    async with step("somebody types `queue unpause member PJSIP/1002` into Asterisk: repaired"):
        before = len(on.bridge.lines())
        await on.asterisk.cli("queue unpause member PJSIP/1002 queue sales")
        line = await on.bridge.logged("drift.repaired", since=before, agent="1002")
        await on.until_member("1002", paused=True)
    print(f"{'':12}the log: drift.repaired what={line['what']} was={line['was']!r} now={line['now']!r}")


async def the_recording(on: Stage, ana: Phone, customer: Phone) -> None:
    """Shows the recording of the first call, silent where it was paused."""
    query = "SELECT file FROM agentbridge.recordings WHERE ended_at IS NOT NULL AND username = 'ana'"
    async with step("the recording of the first call: both are heard, and silence where it was paused"):

        async def finished() -> bool:
            return await on.db.fetchval(query) is not None

        await on.until(finished, "the row of the recording with its end")
        file = on.asterisk.spool / await on.db.fetchval(query)
        samples = samples_of(file)
        gaps = [longest_gap(heard_at(samples, phone.tone)) for phone in (ana, customer)]
        if min(gaps) < SILENT_S:
            raise LabError(f"silence of {min(gaps):.1f} s only")
    print(f"{'':12}{len(samples) / RATE:.1f} s with {min(gaps):.1f} s of silence: monitor/…/{file.name}")


async def over_http(on: Stage) -> None:
    """Shows the HTTP API: an administrator pauses ana, and a viewer of the live stream sees it."""
    hashed = hash_password(PASSWORD)
    await on.db.execute(
        "INSERT INTO agentbridge.users (username, role, password_hash) VALUES ('boss', 'admin', $1)", hashed
    )
    await on.db.execute("UPDATE agentbridge.agents SET password_hash = $1", hashed)
    async with Browser(on.api) as boss:
        await boss.log_in("boss", PASSWORD)
        stream = await boss.session.ws_connect(f"{on.api.origin}/v1/events", headers=boss.headers())
        await stream.send_json({"op": "subscribe", "kinds": ["agent"]})
        async with step("PUT /v1/agents/ana/pause with Prefer: wait: answered when Asterisk has it"):
            status, answer = await boss.ask(
                "PUT", "/v1/agents/ana/pause", {"reason": "coffee"}, {"Prefer": f"wait={WITHIN_S:g}"}
            )
            if status != 200:
                raise LabError(f"{status} {answer}")
        async with step("the event stream says so too"), asyncio.timeout(WITHIN_S):
            while not _says_paused(await stream.receive_json(), "ana"):
                continue
        await boss.ask("DELETE", "/v1/agents/ana/pause", {}, {"Prefer": f"wait={WITHIN_S:g}"})
        await stream.close()


def _says_paused(message: dict[str, Any], username: str) -> bool:
    found = (item["data"] for item in message.get("objects", ()) if item["key"] == username and item["data"])
    return any(data["paused"] and data["state"] == "paused" for data in found)


async def kill_of_asterisk(on: Stage, ana: Phone) -> None:
    """Shows that nobody is logged out when Asterisk is killed and boots again."""
    async with step("kill -9 of Asterisk, and it boots again"):
        await on.asterisk.kill()
        await on.asterisk.start()
    async with step("ana works and ben is on lunch, as before: nobody was logged out"):
        await on.until_member("1001", paused=False)
        await on.until_member("1002", paused=True)
        await on.in_asterisk()
    async with step("a customer calls sales again: ana's phone rings, and both hear each other"):
        ana.behaviour = Answer()
        await ana.register(timeout=WITHIN_S)
        caller = await on.caller()
        call = await caller.call("sales", timeout=WITHIN_S)
        await hear_each_other(call, caller, await ana.rings(timeout=WITHIN_S), ana)
        await call.hangup()


async def hear_each_other(call: Call, caller: Phone, answered: Call, agent: Phone) -> None:
    """Checks that each of the two phones hears the other's tone."""
    await call.hears(agent.tone or 0, timeout=5)
    await answered.hears(caller.tone or 0, timeout=5)


# ---------------------------------------------------------------- the desk

THEIR_QUEUES = """
INSERT INTO agentbridge.queue_members (agent_id, queue_id)
    SELECT a.id, q.id FROM agentbridge.agents a, agentbridge.queues q WHERE a.username = ANY ($1)
"""


async def people(on: Stage) -> None:
    """Creates the users and agents of the little centre, with their passwords."""
    hashed = hash_password(PASSWORD)
    await on.db.execute(
        "INSERT INTO agentbridge.users (username, role, may_spy, download_recordings, password_hash)"
        " VALUES ('vera', 'user', true, true, $1)",
        hashed,
    )
    await on.sql("INSERT INTO agentbridge.user_queues (username, queue_id) SELECT 'vera', id FROM agentbridge.queues")
    rows = [(username, name, internal) for internal, (username, name) in AGENTS.items()]
    await on.db.executemany(
        "INSERT INTO agentbridge.agents (username, full_name, internal, chanspy, record_calls)"
        " VALUES ($1, $2, $3, true, 'wav')",
        rows,
    )
    await on.db.execute(
        # vera listens with his phone, the only one here that a person hears
        "INSERT INTO agentbridge.agents (username, full_name, typology, may_spy, password_hash)"
        " VALUES ('wes', 'Wes Browser', 'webrtc', true, $1)",
        hashed,
    )
    await on.db.execute(THEIR_QUEUES, ["wes", *(username for username, _ in AGENTS.values())])


@contextlib.asynccontextmanager
async def little_centre(on: Stage, *, hurry: float) -> AsyncIterator[LivingCentre]:
    """Lets a few agents and customers live in the centre, inside the block."""
    rows = await on.db.fetch("SELECT internal, sip_secret FROM agentbridge.agents WHERE internal = ANY ($1)", [*AGENTS])
    phones = await on.farm.register({row["internal"]: row["sip_secret"] for row in rows})
    callers = [await on.caller() for _ in range(CALLERS)]
    db = await asyncpg.connect(on.dsn)
    centre = LivingCentre(db, phones, callers, hurry=hurry)
    try:
        async with centre.at_work():
            yield centre
    finally:
        await db.close()


async def wallboard(on: Stage) -> None:
    """Shows what a supervisor's live stream receives from the little centre within a few seconds."""
    async with Browser(on.api) as vera:
        await vera.log_in("vera", PASSWORD)
        stream = await vera.session.ws_connect(f"{on.api.origin}/v1/events", headers=vera.headers())
        await stream.send_json({"op": "subscribe", "kinds": ["agent", "queue"]})
        seen: set[str] = set()
        async with step("the desk: a supervisor's wallboard shows agents ready, ringing, talking and on pause"):
            async with asyncio.timeout(LIVES_S):
                while not seen >= {"ready", "ringing", "talking", "paused"}:
                    message = await stream.receive_json()
                    data = [item["data"] for item in message.get("objects", ()) if item["kind"] == "agent"]
                    seen |= {one["state"] for one in data if one}
        await stream.close()


# ---------------------------------------------------------------- looking around


def directions(on: Stage) -> str:
    """Returns the text with what a spectator may type while everything stays up."""
    asterisk, config = on.asterisk, on.bridge.config
    inside = f"nsenter --target={asterisk.pid} --mount --root --wd"
    return f"""
Everything stays up until Ctrl-C. Look around from another terminal:

  psql {on.dsn}
      select * from agentbridge.agent_status;
      select agentbridge.unpause('ben', source => 'admin');
  {sys.executable} -m agentbridge status --config {config}
  {sys.executable} -m agentbridge agent list --config {config}
  {sys.executable} -m agentbridge recording list --config {config}
  {inside} /usr/sbin/asterisk -C {asterisk.etc}/asterisk.conf -rx 'queue show'
  tail -f {on.bridge.log}

The desk in a browser, password {PASSWORD} for each:

  {on.api.origin}/console   boss, the administrator: everything
  {on.api.origin}/console   vera, a supervisor: the wallboard, her queues, recordings, listening
  {on.api.origin}/desk      wes, an agent whose phone is the browser: Start shift, and calls come; vera can
                                          listen to others with it

With curl:

  curl -c /tmp/jar -H 'Origin: {on.api.origin}' {on.api.origin}/v1/session \\
      --json '{{"username": "boss", "password": "{PASSWORD}"}}'
  curl -b /tmp/jar {on.api.origin}/v1/agents
  curl -b /tmp/jar -H 'Origin: {on.api.origin}' -H 'Prefer: wait=5' -X DELETE {on.api.origin}/v1/agents/ben/pause
  curl -b /tmp/jar -N {on.api.origin}/v1/events/stream
  curl {on.api.origin}/openapi.json

A SIP phone of yours: 127.0.0.1:{asterisk.sip_port}, user 1001, with agents.sip_secret as its password.
"""  # noqa: S608 - for people to type


async def keep(on: Stage) -> None:
    print(directions(on), flush=True)
    await asyncio.Event().wait()  # until Ctrl-C cancels


def cancel_on_signals() -> None:
    """Makes SIGINT and SIGTERM cancel the demo, so that all servers are ended in order."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)


async def main() -> None:
    """Runs the demo; with KEEP=1 everything stays up at its end."""
    started = time.monotonic()
    cancel_on_signals()
    async with stage() as on:
        await tell(on)
        async with step("eight more agents, a supervisor, and an agent whose phone is the browser"):
            await people(on)
            await on.in_asterisk()
        kept = bool(os.environ.get("KEEP"))
        async with little_centre(on, hurry=1.0 if kept else 4.0):
            await wallboard(on)
            print(f"{time.monotonic() - started:7.1f} s   in all")
            if kept:
                await keep(on)
        async with step("SIGTERM: the daemon stops, and Asterisk stays as it is"):
            if not await on.bridge.stop():
                raise LabError("the daemon did not stop")
            await on.until_member("1002", paused=True)
    print("Nothing is left running.")


def run() -> int:
    """Runs the demo and returns the exit status."""
    try:
        asyncio.run(main())
    except asyncio.CancelledError:  # Ctrl-C or SIGTERM
        print("\nNothing is left running.")
    except StepFailed as failed:
        print(f"\nThe demo failed.\n{failed}", file=sys.stderr)
        return 1
    except (*FAULTS, ExceptionGroup) as fault:
        print(f"\nThe demo failed outside its steps: {first(fault)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
