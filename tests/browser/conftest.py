"""A floor: a contact centre with its API and a real Chromium that looks at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser

from agentbridge.directory.passwords import hash_password
from lab.api import Api
from lab.asterisk import Queues
from lab.browser import Seat, chromium
from lab.postgres import Postgres
from lab.processes import until
from tests.acceptance.centre import Centre

PASSWORD = "Lunch-at-12"
HASH = hash_password(PASSWORD)


@dataclass
class Floor:
    """A contact centre with its API and a Chromium."""

    centre: Centre
    api: Api
    browser: Browser
    seats: list[Seat] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return self.api.origin

    def recordings(self) -> list[Path]:
        """Returns all files of recordings, by name."""
        folder = self.centre.asterisk.spool / "monitor/agentbridge"
        return sorted(path for path in folder.rglob("*") if path.is_file())

    async def quiet(self) -> None:
        """Waits until no channel is left, so that recordings are complete."""

        async def silent() -> bool:
            return "0 active channels" in await self.centre.asterisk.cli("core show channels count")

        await until(silent, within=10, what="the end of all channels")

    async def agent(self, username: str, *queues: str, typology: str = "webrtc", **columns: object) -> str:
        return await self.centre.agent(username, *queues, typology=typology, password_hash=HASH, **columns)

    async def user(self, username: str, role: str = "admin", *queues: str, **columns: object) -> None:
        """Creates a user of the console with a password, for whom these queues are enabled."""
        names = ["username", "role", "password_hash", *columns]
        values = [username, role, HASH, *columns.values()]
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await self.centre.db.execute(f"INSERT INTO agentbridge.users ({', '.join(names)}) VALUES ({places})", *values)
        await self.centre.db.execute(
            "INSERT INTO agentbridge.user_queues (username, queue_id)"
            " SELECT $1, id FROM agentbridge.queues WHERE name = ANY ($2)",
            username,
            [*queues],
        )


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


# what a browser sends to Asterisk goes to an address of its own, so that a test can cut just that
MEDIA_ADDRESS = "10.99.0.1"
EXTRA = {
    "http.conf": "[general](+)\nbindaddr = 0.0.0.0\n",
    # a customer's number and name are what its own INVITE says
    "pjsip.conf": "[caller](+)\ntrust_id_inbound = yes\n",
}
QUEUES: Queues = {"sales": {}, "support": {}, "billing": {}}


@pytest_asyncio.fixture(scope="session")
async def standing_floor(postgres: Postgres, browser: Browser) -> AsyncIterator[Floor]:
    # longer than a page takes to be loaded anew on a busy machine
    lost = {"browser": {"lost_after_seconds": 12}}
    async with Centre(postgres, queues=QUEUES, extra=EXTRA, sections=lost) as centre:
        database = centre.dsn.rpartition("/")[2]
        wss = f"ws://{MEDIA_ADDRESS}:{centre.asterisk.http_port}/ws"
        # asked for nothing: nobody here has an e-mail address
        mail = {
            "host": "127.0.0.1",
            "sender": "desk@example.org",
            "link": "https://desk.example.org/reset?token={token}",
        }
        sections = {"api": {"wss": wss, "spool": str(centre.asterisk.spool)}, "mail": mail}
        async with Api(postgres.dsn(database), sections=sections) as api:
            yield Floor(centre, api, browser)


@pytest_asyncio.fixture
async def floor(standing_floor: Floor) -> AsyncIterator[Floor]:
    """The floor for one test, which finds it without agents and users."""
    yield standing_floor
    await standing_floor.centre.db.execute("TRUNCATE agentbridge.web_sessions, agentbridge.users CASCADE")
    await standing_floor.centre.emptied()
    for file in standing_floor.recordings():
        file.unlink()
