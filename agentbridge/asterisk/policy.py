"""The driver for call policy: our family in Asterisk's AstDB, over AMI."""

from __future__ import annotations

from agentbridge.asterisk.ami import AmiLink
from agentbridge.asterisk.observe import Observation
from agentbridge.errors import Refused
from agentbridge.model import DeletePolicy, PutPolicy

FAMILY = "agentbridge"


class PolicyStore:
    """AstDB is written when the answer comes; there are no events of it, so a wipe shows at a resync."""

    def __init__(self, actions: AmiLink, bulk: AmiLink, seen: Observation, *, timeout: float = 5.0) -> None:
        self._actions = actions
        self._bulk = bulk
        self._seen = seen
        self._timeout = timeout

    async def read_all(self) -> None:
        items = await self._bulk.action_list("DBGetTree", {"Family": FAMILY}, timeout=60.0)
        prefix = f"/{FAMILY}/"
        found = (item for item in items if item.event == "DBGetTreeResponse")
        self._seen.policy_read({item.get("Key").removeprefix(prefix): item.get("Val") for item in found})

    async def apply(self, action: PutPolicy | DeletePolicy) -> None:
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
        try:
            await self._actions.action("DBDel", {"Family": FAMILY, "Key": path}, timeout=self._timeout)
        except Refused as refused:
            if "not found" not in str(refused):
                raise
