"""The driver for single contacts of Asterisk's registrar, through ARI, as the registrar itself names and stores them.

A contact that is written counts as registered at once: the device is Not in use, and is called by its path.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

from agentbridge.asterisk.ari.client import Ari, body_of
from agentbridge.model import Contact, EndpointId


class RegistrarContacts:
    """Reads, writes and deletes contacts of devices that register. Every method raises Refused or Unavailable."""

    def __init__(self, ari: Ari) -> None:
        self._ari = ari

    async def read(self, device: EndpointId, uri: str) -> Contact | None:
        """Returns the contact with its path and end; None where it is gone."""
        _, fields = await self._ari.request("GET", _path(device, uri), missing_ok=True)
        if fields is None:
            return None
        values = {field["attribute"]: field["value"] for field in fields}
        ends = int(values.get("expiration_time") or 0)
        return Contact(uri, values.get("path", ""), datetime.fromtimestamp(ends, UTC) if ends else None)

    async def write(self, device: EndpointId, contact: Contact) -> None:
        """Registers the device, as a REGISTER by way of that path would; `contact.ends` must be known."""
        if contact.ends is None:
            raise ValueError(f"the contact of {device} has no end")
        fields = {
            "uri": contact.uri,
            "path": contact.path,
            "expiration_time": str(int(contact.ends.timestamp())),
            "endpoint": device,
            "prune_on_boot": "no",
        }
        await self._ari.request("PUT", _path(device, contact.uri), body_of(fields))

    async def delete(self, device: EndpointId, uri: str) -> None:
        """Deletes the contact alone, without its AOR; one that is gone counts as deleted."""
        await self._ari.request("DELETE", _path(device, uri), missing_ok=True)


def _path(device: EndpointId, uri: str) -> str:
    """Returns the URL path of a contact, which the registrar names by its AOR and MD5 of its URI."""
    name = f"{device};@{hashlib.md5(uri.encode(), usedforsecurity=False).hexdigest()}"
    return f"/asterisk/config/dynamic/res_pjsip/contact/{quote(name, safe='')}"
