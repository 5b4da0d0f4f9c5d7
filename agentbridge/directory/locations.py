"""Where devices are registered, as the directory keeps it where there are several nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agentbridge.directory.queries import QUERIES
from agentbridge.directory.telephones import Acquire
from agentbridge.model import Contact, EndpointId, Location


class LocationStore:
    """Keeps in the directory which devices are registered with one node. Every method raises Unavailable."""

    def __init__(self, acquire: Acquire, node: str) -> None:
        self._acquire = acquire
        self.node = node

    async def registered(self, contacts: Mapping[EndpointId, Contact]) -> dict[EndpointId, Location]:
        """Writes that these devices have just registered with this node; returns where each is registered now."""
        return await self._written("devices_registered", contacts)

    async def gone(self, devices: Collection[EndpointId]) -> None:
        """Writes that these devices are not registered with this node any more."""
        async with self._acquire() as connection:
            await connection.execute(QUERIES["devices_gone"], self.node, list(devices))

    async def replace_all(self, contacts: Mapping[EndpointId, Contact]) -> dict[EndpointId, Location]:
        """Writes that these devices and no others are registered with this node; returns where each is registered
        now."""
        return await self._written("devices_of_node", contacts)

    async def _written(self, query: str, contacts: Mapping[EndpointId, Contact]) -> dict[EndpointId, Location]:
        """Runs the query with these contacts; returns the devices' places that it tells."""
        columns = (
            list(contacts),
            [contact.uri for contact in contacts.values()],
            [contact.path for contact in contacts.values()],
            [contact.ends for contact in contacts.values()],
        )
        async with self._acquire() as connection:
            rows = await connection.fetch(QUERIES[query], self.node, *columns)
        return {EndpointId(row["device"]): Location(row["node"], row["since"]) for row in rows}
