"""Agents log in and out, pause and unpause from a telephone, and nobody waits for a daemon that is not there."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from agentbridge.directory.passwords import hash_password
from lab.phones import Call, Phone
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre
from tests.acceptance.desk import (
    PROMPT_TONES,
    PROMPTS,
    SORRY,
    desk_agent,
    seat,
    sit_down,
    switched_on,
    telephones,
    until_registered,
)

INPUT_SECONDS = 5.0
LOGIN, LOGOUT, PAUSE, UNPAUSE = "*54", "*55", "*56", "*57"
PIN, WRONG_PIN = "48215", "11111"
# an extension of the administrator's own that leads past our dialplan
SNEAK = """
[callers](+)
exten => sneak,1,Answer()
 same => n,Stasis(agentbridge,login)
"""


@asynccontextmanager
async def opened(postgres: Postgres) -> AsyncIterator[Centre]:
    """Prompts that are tones."""
    sections = {
        "phone": {"digit_seconds": 1.0, "input_seconds": INPUT_SECONDS},
        "log": {"level": "debug"},  # not even there may a PIN be read
        **PROMPT_TONES,
    }
    async with Centre(postgres, sections=sections, extra={"extensions.conf": SNEAK}) as centre:
        await centre.bridge.logged("ari.connected", app="agentbridge")
        yield centre


@pytest_asyncio.fixture(scope="module")
async def standing(postgres: Postgres) -> AsyncIterator[Centre]:
    async with opened(postgres) as centre:
        yield centre


@pytest_asyncio.fixture
async def desk(reused: Centre) -> AsyncIterator[Centre]:
    """Two telephones that are on."""
    await telephones(reused, "desk-1", "desk-2")
    yield reused
    await reused.db.execute("UPDATE agentbridge.settings SET lock_after = DEFAULT")


@pytest_asyncio.fixture
async def phone(desk: Centre) -> Phone:
    (phone,) = await switched_on(desk, "desk-1")
    return phone


@pytest_asyncio.fixture
async def own_desk(postgres: Postgres) -> AsyncIterator[Centre]:
    """As `desk`, for a test that breaks it."""
    async with opened(postgres) as centre:
        await telephones(centre, "desk-1")
        yield centre


@pytest_asyncio.fixture
async def own_phone(own_desk: Centre) -> Phone:
    (phone,) = await switched_on(own_desk, "desk-1")
    return phone


async def hears(call: Call, prompt: str, within: float = 8.0) -> None:
    await call.hears(PROMPTS[prompt], within)


async def enter(call: Call, prompt: str, digits: str) -> None:
    await hears(call, prompt)
    await call.send_digits(digits, 10)


async def log_in(phone: Phone, number: str, pin: str) -> Call:
    call = await phone.call(LOGIN, 5)
    await enter(call, "number", f"{number}#")
    await enter(call, "pin", f"{pin}#")
    return call


async def test_an_agent_logs_in_with_number_and_pin_and_the_telephone_takes_its_calls(
    desk: Centre, phone: Phone
) -> None:
    internal = await desk_agent(desk, "ana", "sales", pin=PIN)
    call = await log_in(phone, internal, PIN)
    await hears(call, "logged_in")
    await call.ended(5)
    assert await seat(desk, "ana") == "desk-1"
    assert await desk.db.fetchval("SELECT source FROM agentbridge.sessions") == "phone"
    # it was said when Asterisk had it, not before
    assert await desk.member("sales", "desk-1") is not None
    customer = await desk.caller()
    queue = await customer.call("sales", 5)
    assert phone.tone
    await queue.hears(phone.tone, 5)
    await queue.hangup()


async def test_a_phone_that_is_the_agents_own_is_asked_for_the_pin_alone(desk: Centre) -> None:
    internal = await desk.agent("olga", "sales", typology="external", pin_hash=hash_password(PIN))
    await desk.settled()
    own = await desk.phone("olga")
    call = await own.call(LOGIN, 5)
    await enter(call, "pin", f"{PIN}#")
    await hears(call, "logged_in")
    assert await desk.member("sales", internal) is not None


async def test_an_agent_with_a_device_of_its_own_can_not_take_a_telephone(desk: Centre, phone: Phone) -> None:
    internal = await desk.agent("olga", "sales", typology="external", pin_hash=hash_password(PIN))
    call = await log_in(phone, internal, PIN)
    await hears(call, "refused")
    await call.ended(5)
    assert not (await desk.status("olga"))["logged_in"]
    refused = await desk.bridge.logged("phone.refused", agent="olga")
    assert "has a device of its own" in refused["reason"]


async def test_a_telephone_that_is_taken_is_refused_and_stays_with_its_agent(desk: Centre, phone: Phone) -> None:
    await desk_agent(desk, "ana", "sales")
    internal = await desk_agent(desk, "ben", "sales", pin=PIN)
    await sit_down(desk, "ana", "desk-1")
    call = await log_in(phone, internal, PIN)
    await hears(call, "refused")
    await call.ended(5)
    assert await seat(desk, "ana") == "desk-1"
    assert not (await desk.status("ben"))["logged_in"]


async def test_three_wrong_pins_end_the_call_count_towards_the_lock_and_are_never_logged(
    desk: Centre, phone: Phone
) -> None:
    internal = await desk_agent(desk, "ana", "sales", pin=PIN)
    await desk.db.execute("UPDATE agentbridge.settings SET lock_after = 3")
    call = await phone.call(LOGIN, 5)
    for _ in range(3):
        await enter(call, "number", f"{internal}#")
        await enter(call, "pin", f"{WRONG_PIN}#")
        await hears(call, "wrong")
    await hears(call, "goodbye")
    await call.ended(5)
    row = await desk.db.fetchrow("SELECT failed_logins, locked_at FROM agentbridge.agents")
    assert row is not None
    assert (row["failed_logins"], row["locked_at"] is not None) == (3, True)
    locked = await log_in(phone, internal, PIN)
    await hears(locked, "wrong")
    await locked.hangup()
    assert not (await desk.status("ana"))["logged_in"]
    assert len(desk.bridge.events("phone.not_identified", telephone="desk-1")) == 4
    assert not [line for line in desk.bridge.lines() if PIN in line or WRONG_PIN in line]
    assert PIN not in desk.asterisk.log_path.read_text()


async def test_a_second_try_with_the_right_pin_succeeds(desk: Centre, phone: Phone) -> None:
    internal = await desk_agent(desk, "ana", "sales", pin=PIN)
    call = await log_in(phone, internal, WRONG_PIN)
    await hears(call, "wrong")
    await enter(call, "number", f"{internal}#")
    await enter(call, "pin", f"9*{PIN}#")  # a star begins the input anew
    await hears(call, "logged_in")
    assert await desk.db.fetchval("SELECT failed_logins FROM agentbridge.agents") == 0


async def test_who_types_nothing_is_asked_three_times_and_then_released(desk: Centre, phone: Phone) -> None:
    await desk_agent(desk, "ana", "sales", pin=PIN)
    call = await phone.call(LOGIN, 5)
    began = time.monotonic()
    for _ in range(3):
        await hears(call, "number")
        await hears(call, "wrong")
    await hears(call, "goodbye")
    await call.ended(5)
    assert time.monotonic() - began < 3 * (INPUT_SECONDS + 2) + 2
    assert await desk.db.fetchval("SELECT failed_logins FROM agentbridge.agents") == 0


async def test_pause_with_a_reason_number_unpause_and_logout(desk: Centre, phone: Phone) -> None:
    await desk_agent(desk, "ana", "sales")
    await sit_down(desk, "ana", "desk-1")
    await desk.until_member("sales", "desk-1", paused=False)

    call = await phone.call(f"{PAUSE}2", 5)
    await hears(call, "paused")
    await desk.until_member("sales", "desk-1", within=0.5, paused=True, reason="lunch")
    await call.ended(5)

    call = await phone.call(UNPAUSE, 5)
    await hears(call, "unpaused")
    await desk.until_member("sales", "desk-1", within=0.5, paused=False)
    await call.ended(5)

    call = await phone.call(PAUSE, 5)
    await enter(call, "reason", "77#")
    await hears(call, "wrong")
    await enter(call, "reason", "1#")
    await hears(call, "paused")
    await desk.until_member("sales", "desk-1", within=0.5, paused=True, reason="break")
    await call.ended(5)

    call = await phone.call(LOGOUT, 5)
    await hears(call, "logged_out")
    assert await desk.member("sales", "desk-1") is None
    assert not (await desk.status("ana"))["logged_in"]


async def test_a_telephone_that_nobody_is_on_can_not_pause_anybody(desk: Centre, phone: Phone) -> None:
    await desk_agent(desk, "ana", "sales")
    (other,) = await switched_on(desk, "desk-2")
    await sit_down(desk, "ana", "desk-2")
    for code in (f"{PAUSE}1", UNPAUSE, LOGOUT):
        call = await phone.call(code, 5)
        await hears(call, "refused")
        await call.ended(5)
    status = await desk.status("ana")
    assert (status["logged_in"], status["paused"]) == (True, False)
    assert other.registered


async def test_ten_agents_log_in_from_ten_telephones_at_once(desk: Centre) -> None:
    names = [f"row-{number}" for number in range(10)]
    await telephones(desk, *names)
    phones = await switched_on(desk, *names)
    numbers = [await desk_agent(desk, f"agent{n}", "sales", pin=f"{PIN}{n}") for n in range(10)]

    async def one(phone: Phone, number: str, pin: str) -> None:
        call = await log_in(phone, number, pin)
        await hears(call, "logged_in", within=15)
        await call.ended(5)

    async with asyncio.TaskGroup() as calls:
        for n, phone in enumerate(phones):
            calls.create_task(one(phone, numbers[n], f"{PIN}{n}"))
    assert [await seat(desk, f"agent{n}") for n in range(10)] == names
    assert {interface for _, interface in await desk.members("sales")} == {f"PJSIP/{name}" for name in names}


# ---------------------------------------------------------------- without a daemon that answers


async def released(call: Call, began: float, within: float) -> None:
    """The caller hears that it doesn't work, and is let go."""
    await call.hears(SORRY, within)
    await call.ended(5)
    assert time.monotonic() - began < within + 4


async def test_with_the_daemon_dead_the_caller_hears_so_at_once(own_desk: Centre, own_phone: Phone) -> None:
    await own_desk.bridge.kill()

    async def forgotten() -> bool:
        return "agentbridge" not in await own_desk.asterisk.cli("ari show apps")

    await until(forgotten, within=5, what="Asterisk knowing that the application is gone")
    began = time.monotonic()
    call = await own_phone.call(LOGIN, 5)
    await released(call, began, within=8)


async def test_with_the_daemon_hung_the_caller_hears_so_within_seconds(own_desk: Centre, own_phone: Phone) -> None:
    own_desk.bridge.send(signal.SIGSTOP)
    began = time.monotonic()
    call = await own_phone.call(LOGIN, 5)
    await released(call, began, within=12)
    own_desk.bridge.send(signal.SIGCONT)

    async def served() -> bool:
        call = await own_phone.call(LOGIN, 5)
        try:
            await hears(call, "number", within=2)
        except TimeoutError:  # its websocket has to come back first
            return False
        finally:
            await call.hangup()
        return True

    await until(served, within=20, what="the daemon serving a caller again")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP], ids=["stop", "reload"])
async def test_a_stop_or_a_reload_in_the_middle_of_a_conversation_releases_the_caller_at_once(
    own_desk: Centre, own_phone: Phone, how: signal.Signals
) -> None:
    call = await own_phone.call(LOGIN, 5)
    await hears(call, "number")
    began = time.monotonic()
    own_desk.bridge.send(how)
    # Asterisk's own words come before the tone
    await released(call, began, within=6)


async def test_a_daemon_that_hangs_in_the_middle_of_a_conversation_loses_it(own_desk: Centre, own_phone: Phone) -> None:
    call = await own_phone.call(LOGIN, 5)
    await hears(call, "number")
    own_desk.bridge.send(signal.SIGSTOP)
    await call.send_digits("1000#", 10)
    await released(call, time.monotonic(), within=INPUT_SECONDS + 3 + 6)
    own_desk.bridge.send(signal.SIGCONT)


async def test_with_the_database_gone_the_caller_hears_so_and_is_released(own_desk: Centre, own_phone: Phone) -> None:
    server = await asyncpg.connect(own_desk.postgres.dsn("postgres", "postgres"))
    database = own_desk.dsn.rpartition("/")[2]
    await server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    await server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    await server.close()
    await own_desk.bridge.logged("database.lost")
    began = time.monotonic()
    call = await own_phone.call(LOGIN, 5)
    await released(call, began, within=12)


async def test_a_caller_who_hangs_up_in_the_middle_leaves_nothing_behind(desk: Centre, phone: Phone) -> None:
    internal = await desk_agent(desk, "ana", "sales", pin=PIN)
    call = await phone.call(LOGIN, 5)
    await enter(call, "number", f"{internal}#")
    await hears(call, "pin")
    await call.hangup()

    async def quiet() -> bool:
        return "0 active channels" in await desk.asterisk.cli("core show channels count")

    await until(quiet, within=5, what="the end of the call")
    await desk.bridge.logged("phone.call_unserved", telephone="desk-1")
    call = await log_in(phone, internal, PIN)
    await hears(call, "logged_in")


async def test_after_a_restart_of_asterisk_the_feature_codes_work_again(own_desk: Centre, own_phone: Phone) -> None:
    internal = await desk_agent(own_desk, "ana", "sales", pin=PIN)
    before = len(own_desk.bridge.lines())
    await own_desk.asterisk.restart()
    await own_desk.bridge.logged("ari.connected", app="agentbridge", since=before, within=20)
    await until_registered(own_desk, ["desk-1"], True, within=20)
    call = await log_in(own_phone, internal, PIN)
    await hears(call, "logged_in")


async def test_asterisks_own_sounds_are_heard_where_it_has_them(own_desk: Centre, own_phone: Phone) -> None:
    await own_desk.bridge.stop()
    del own_desk.bridge.sections["phone.prompts"]
    own_desk.bridge.write_config(own_desk.bridge.sections)
    before = len(own_desk.bridge.lines())
    await own_desk.bridge.start()
    await own_desk.bridge.logged("ari.connected", app="agentbridge", since=before)
    call = await own_phone.call(LOGIN, 5)

    async def playing() -> bool:
        return "agent-user" in own_desk.asterisk.log_path.read_text()

    await until(playing, within=5, what="Asterisk playing agent-user")
    await call.hangup()


async def test_a_conversation_has_a_limit_in_all(own_desk: Centre, own_phone: Phone) -> None:
    await own_desk.bridge.stop()
    own_desk.bridge.sections["phone"]["call_seconds"] = 2.0
    own_desk.bridge.write_config(own_desk.bridge.sections)
    before = len(own_desk.bridge.lines())
    await own_desk.bridge.start()
    await own_desk.bridge.logged("ari.connected", app="agentbridge", since=before)
    began = time.monotonic()
    call = await own_phone.call(LOGIN, 5)
    await hears(call, "number")
    await released(call, began, within=9)
    assert (await own_desk.bridge.logged("phone.failed", telephone="desk-1"))["reason"] == "time is up"


async def test_a_customer_who_gets_past_the_dialplan_is_not_asked_for_a_pin(desk: Centre) -> None:
    customer = await desk.caller()
    call = await customer.call("sneak", 5)
    await call.ended(5)
    assert await desk.bridge.logged("phone.refused", reason="no device of the directory")
