"""The driver for call policy: our family in Asterisk's AstDB, over AMI."""

from __future__ import annotations

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.asterisk.observed.policy_tree import PolicyTree
from agentbridge.errors import Refused
from agentbridge.model import DeletePolicy, PutPolicy

FAMILY = "agentbridge"


class PolicyStore:
    """Writes and reads our family in Asterisk's AstDB by AMI; there are no events of it, so a wipe shows at a
    resync."""

    def __init__(self, actions: AmiLink, bulk: AmiLink, seen: Observation, *, timeout: float = 5.0) -> None:
        self._actions = actions
        self._bulk = bulk
        self._seen = seen
        self._timeout = timeout

    async def read_all(self) -> None:
        """Reads our whole AstDB family. Raises Unavailable or Refused."""
        prefix = f"/{FAMILY}/"
        found = PolicyTree()

        def take(item: Message) -> None:
            path = item.get("Key").removeprefix(prefix)
            if "/" in path:  # else it is nothing of ours
                found.put(path, item.get("Val"))

        await self._bulk.action_list("DBGetTree", {"Family": FAMILY}, timeout=60.0, on_item=take)
        self._seen.policy_read(found)

    async def apply(self, action: PutPolicy | DeletePolicy) -> None:
        """Writes or deletes a value; returns when Asterisk has done it. Raises Refused or Unavailable."""
        match action:
            case PutPolicy(path, value):
                await self._actions.action(
                    "DBPut", {"Family": FAMILY, "Key": path, "Val": value}, timeout=self._timeout
                )
                self._seen.policy_put(path, value)
            case DeletePolicy(path):
                await self._delete(path)
                self._seen.policy_deleted(path)

    async def _delete(self, path: str) -> None:
        """Deletes a value; one that is not there counts as deleted. Raises Refused or Unavailable."""
        try:
            await self._actions.action("DBDel", {"Family": FAMILY, "Key": path}, timeout=self._timeout)
        except Refused:
            # Asterisk says the same of a key that is not there and of one that it could not delete
            if await self._is_there(path):
                raise

    async def _is_there(self, path: str) -> bool:
        """Whether the AstDB has a value at the path. Raises Unavailable."""
        try:
            await self._actions.action("DBGet", {"Family": FAMILY, "Key": path}, timeout=self._timeout)
        except Refused:
            return False
        return True
