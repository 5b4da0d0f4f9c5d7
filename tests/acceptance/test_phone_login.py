"""Agents log in and out, pause and unpause from a telephone, and nobody waits for a daemon that is not there."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest_asyncio

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
)

LOGIN, LOGOUT, PAUSE, UNPAUSE = "*54", "*55", "*56", "*57"
LIMITS = {"phone": {"digit_seconds": 1.0, "input_seconds": 5.0, "reasons.1": "break"}}
PIN, WRONG_PIN = "48215", "11111"


@pytest_asyncio.fixture
async def desk(postgres: Postgres) -> AsyncIterator[Centre]:
    """Two telephones that are on, and prompts that are tones."""
    sections = {"phone": {"digit_seconds": 1.0, "input_seconds": 5.0}, **PROMPT_TONES}
    async with Centre(postgres, sections=sections) as centre:
        await centre.bridge.logged("ari.connected", app="agentbridge")
        await telephones(centre, "desk-1", "desk-2")
        yield centre


@pytest_asyncio.fixture
async def phone(desk: Centre) -> Phone:
    (phone,) = await switched_on(desk, "desk-1")
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
