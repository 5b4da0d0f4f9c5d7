"""Hot desk in a test's contact centre: telephones, agents who pick them, PINs, and prompts that can be told apart."""

import asyncio
from collections.abc import Iterable
from typing import Any

from agentbridge.directory.passwords import hash_password
from lab.bridge import Sections
from lab.phones import Phone
from lab.processes import until
from tests.acceptance.centre import Centre

# none of them is a phone's own: those get TELEPHONE_TONES
PROMPTS = {
    "number": 1500,
    "pin": 1600,
    "reason": 1700,
    "wrong": 1800,
    "refused": 1900,
    "logged_in": 2000,
    "logged_out": 2100,
    "paused": 2200,
    "unpaused": 2300,
    "late": 2400,
    "goodbye": 2600,
}
SORRY = 425
"""what the dialplan plays when the daemon doesn't take the call"""
# Asterisk has no such sound, so that the tone is what is left
PROMPT_TONES: Sections = {
    "phone.prompts": {name: ["sound:no-such-sound", f"tone:!{hertz}/700"] for name, hertz in PROMPTS.items()}
}
SECRET = "toy-secret-of-the-lab-telephones"


async def telephones(centre: Centre, *names: str, **columns: Any) -> None:
    """Creates hot-desk telephones and waits until Asterisk has their endpoints."""
    columns = {"sip_secret": SECRET, **columns}
    places = ", ".join(f"${number}" for number in range(2, len(columns) + 2))
    await centre.db.execute(
        f"INSERT INTO agentbridge.telephones (name, {', '.join(columns)}) SELECT unnest($1::text[]), {places}",
        [*names],
        *columns.values(),
    )

    async def pushed() -> bool:
        # not by `pjsip show endpoints`: Asterisk 22 was seen to crash of it while an endpoint was being made
        shown = await centre.asterisk.cli("database show ps_endpoints")
        return all(f"/ps_endpoints/endpoint/{name} " in shown for name in names)

    await until(pushed, within=10, what="the telephones' endpoints in Asterisk")


async def switched_on(centre: Centre, *names: str) -> list[Phone]:
    """Registers the devices of these telephones, and waits until the directory knows it."""
    phones = await centre.farm.register(dict.fromkeys(names, SECRET))
    await until_registered(centre, names, True)
    return phones


async def until_registered(centre: Centre, names: Iterable[str], wanted: bool | None, within: float = 10.0) -> None:
    """Waits until the directory has these telephones as registered, unregistered or unknown (None)."""
    names = [*names]

    async def so() -> bool:
        return await centre.db.fetchval(
            "SELECT bool_and(registered IS NOT DISTINCT FROM $2) FROM agentbridge.telephones WHERE name = ANY ($1)",
            names,
            wanted,
        )

    await until(so, within=within, what=f"{names} being registered={wanted}")


async def desk_agent(centre: Centre, username: str, *queues: str, pin: str | None = None, **columns: Any) -> str:
    """Creates an external hot-desk agent; returns its internal number."""
    if pin is not None:
        columns["pin_hash"] = await asyncio.to_thread(hash_password, pin)
    return await centre.agent(username, *queues, typology="external", hot_desk=True, **columns)


async def sit_down(centre: Centre, username: str, telephone: str, **arguments: Any) -> None:
    """Logs the agent in at the telephone, in the directory."""
    steal = arguments.get("steal", False)
    await centre.db.fetchval(
        "SELECT agentbridge.login($1, $2, $3, $4)", username, telephone, arguments.get("source", "admin"), steal
    )


async def seat(centre: Centre, username: str) -> str | None:
    """The telephone that the agent is on."""
    return (await centre.status(username))["telephone"]
