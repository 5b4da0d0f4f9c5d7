"""A small centre at work, for the console to show: agents in each state, calls, and one of each other thing."""

from __future__ import annotations

import json
import wave
from array import array
from datetime import UTC, datetime, timedelta
from math import pi, sin
from pathlib import Path

from lab.phones import Phone, Ring
from lab.processes import until
from tests.acceptance.desk import switched_on, telephones
from tests.browser.conftest import Floor

NAMES = {
    "anna": "Anna Rossi",
    "ben": "Ben Galo",
    "chiara": "Chiara Neri",
    "david": "David Okoro",
    "elena": "Elena Ivanova",
    "farid": "Farid Hadi",
    "giulia": "Giulia Conti",
    "hugo": "Hugo Blanc-Villeneuve de la Rochefoucauld",
    "ines": "Ines Duarte",
    "jonas": "Jonas Berg",
    "kira": "Kira Novak",
    "luca": "Luca Ferri",
    "maya": "Maya Chen",
    "nils": "Nils Holm",
}
ON_PHONES = ("anna", "ben", "chiara", "elena")
RATE = 8000


async def people(floor: Floor) -> None:
    """Fills the directory; nobody is logged in, no phone is registered."""
    for username in ("boss", "lead", "sue"):
        role = "admin" if username == "boss" else "user"
        more = {"lead": {"agents_permission": True}, "sue": {"may_spy": True, "download_recordings": True}}
        await floor.user(username, role, "sales", **more.get(username, {}))
    for username, name in NAMES.items():
        typology = "webrtc" if username in ("kira", "luca") else "external" if username == "ines" else "phonebar"
        queues = ("support",) if username in ("elena", "giulia") else ("sales", "billing")
        await floor.agent(username, *queues, typology=typology, full_name=name, chanspy=username == "anna")
    db = floor.centre.db
    await db.execute("UPDATE agentbridge.agents SET record_calls = 'wav' WHERE username IN ('anna', 'ben')")
    await db.execute("UPDATE agentbridge.agents SET hot_desk = true WHERE username = 'ines'")
    await db.execute("UPDATE agentbridge.agents SET deactivated = true WHERE username = 'maya'")
    await db.execute("UPDATE agentbridge.agents SET locked_at = now() WHERE username = 'nils'")
    await db.execute("UPDATE agentbridge.queues SET description = 'New customers' WHERE name = 'sales'")
    await telephones(floor.centre, "desk1", "desk2")
    await db.execute("UPDATE agentbridge.telephones SET description = 'by the window' WHERE name = 'desk1'")
    await db.execute("INSERT INTO agentbridge.teams (name, description) VALUES ('north', 'Milan and Turin')")
    await db.execute(
        "INSERT INTO agentbridge.team_members (team_id, agent_id) SELECT t.id, a.id FROM agentbridge.teams t,"
        " agentbridge.agents a WHERE a.username IN ('anna', 'jonas')"
    )
    await db.execute(
        "INSERT INTO agentbridge.api_tokens (id, proof, name, scopes, created_by, expires_at)"
        " VALUES ('wallmach', sha256('x'), 'wallboard in the hall', '{read,events}', 'user:boss', now() + '90 days')"
    )


async def cleared(floor: Floor) -> None:
    """What `emptied` leaves."""
    await floor.centre.db.execute("TRUNCATE agentbridge.teams, agentbridge.api_tokens, agentbridge.recordings CASCADE")


async def at_work(floor: Floor) -> list[Phone]:
    """Puts agents to work: Anna talks, Elena's phone rings, Ben is ready, Chiara has lunch, David has no phone; a
    caller waits."""
    centre = floor.centre
    await centre.settled(within=30)
    phones = dict(zip(ON_PHONES, await centre.phones(ON_PHONES), strict=True))
    phones["elena"].behaviour = Ring()
    await switched_on(centre, "desk1")
    await centre.login("anna")
    await shown(floor, "anna", "ready")
    talker = await centre.caller()
    await talker.call("sales", timeout=15)
    await shown(floor, "anna", "talking")
    await centre.login("ben", "chiara", "david", "elena")
    await centre.pause("chiara", "lunch")
    waiting = await centre.caller()
    waiting.dial("support")
    for username, state in {"ben": "ready", "chiara": "paused", "david": "unreachable", "elena": "ringing"}.items():
        await shown(floor, username, state)
    return [*phones.values(), talker, waiting]


async def shown(floor: Floor, username: str, state: str, within: float = 30) -> None:
    """Waits until the daemon reports this state of the agent."""

    async def so() -> bool:
        found = await floor.centre.db.fetchval(
            "SELECT state FROM agentbridge.live_agent_states WHERE username = $1", username
        )
        return bool(found == state)

    await until(so, within=within, what=f"{username} shown as {state}")


async def recorded(floor: Floor, username: str, seconds: float = 6.0, days_ago: int = 0) -> int:
    """Makes a row and a file of an earlier recording; returns its id."""
    began = datetime.now(UTC) - timedelta(days=days_ago, minutes=7)
    name = f"monitor/agentbridge/{began:%Y/%m/%d}/{username}-{days_ago}-1.wav"
    file = Path(floor.centre.asterisk.spool) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    write_speech(file, seconds)
    number = await floor.centre.db.fetchval(
        "INSERT INTO agentbridge.recordings (node, agent_id, username, internal, linkedid, part, file, format,"
        " started_at, ended_at, bytes) SELECT 'lab', id, username, internal, $2, 1, $3, 'wav', $4, $5, $6"
        " FROM agentbridge.agents WHERE username = $1 RETURNING id",
        username,
        f"call-{days_ago}",
        name,
        began,
        began + timedelta(seconds=seconds),
        file.stat().st_size,
    )
    return int(number)


def write_speech(file: Path, seconds: float) -> None:
    """Writes a sound file with a tone that swells and falls as two people speak."""
    times = (at / RATE for at in range(int(RATE * seconds)))
    loud = (
        24000 * abs(sin(pi * time / 0.9)) ** 3 * sin(2 * pi * (440 if time % 2 > 1 else 300) * time) for time in times
    )
    samples = array("h", (int(sample) for sample in loud))
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())


def live_rows(count: int, states: list[str], since: datetime) -> str:
    """Returns SQL with live rows for so many agents from number 2000 on, as a daemon writes them."""
    return json.dumps(
        [
            {"internal": str(2000 + n), "state": states[n % len(states)], "since": since.isoformat(), "pauses": {},
             "device": str(2000 + n), "contact": True, "calls": 0}
            for n in range(count)
        ]
    )  # fmt: skip
