"""The driver for PJSIP objects: written by ARI, read in bulk from the AstDB store behind them.

ARI has no request for all objects; the sorcery wizard `astdb` keeps each as JSON in a family of its own,
which AMI reads in one action. Read only: a write there would stay invisible behind Asterisk's cache.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.errors import InvalidValue
from agentbridge.model import DeleteObject, EndpointId, Fields, ObjectKind, PutObject

BULK_SECONDS = 60.0
"""for a whole read; 10,000 endpoints are 36 MB"""
FAMILIES = {
    ObjectKind.AOR: "ps_aors",
    ObjectKind.AUTH: "ps_auths",
    ObjectKind.ENDPOINT: "ps_endpoints",
    ObjectKind.IDENTIFY: "ps_endpoint_id_ips",
}
"""The AstDB family that sorcery.conf gives each kind."""

_MANAGED = {
    ObjectKind.AOR: ("max_contacts", "remove_existing", "maximum_expiration", "qualify_frequency", "contact"),
    ObjectKind.AUTH: ("auth_type", "username", "realm", "password_digest"),
    ObjectKind.ENDPOINT: (
        "context",
        "allow",
        "outgoing_call_offer_pref",
        "callerid",
        "aors",
        "auth",
        "direct_media",
        "call_group",
        "pickup_group",
        "named_call_group",
        "named_pickup_group",
        "force_rport",
        "rewrite_contact",
        "rtp_symmetric",
        "webrtc",
        "use_avpf",
        "ice_support",
        "rtcp_mux",
        "bundle",
        "dtls_auto_generate_cert",
        "media_use_received_transport",
        "media_encryption",
        "mailboxes",
    ),
    ObjectKind.IDENTIFY: ("endpoint", "match"),
}
"""The fields that agentbridge states; all others are Asterisk's defaults and are not looked at."""
_GROWING = frozenset({"contact", "match"})
"""fields that hold a list: a PUT adds to them, and an empty value takes nothing back"""
_ONE_HOST = re.compile(r"/(255\.255\.255\.255|(ffff:){7}ffff)$")


class Endpoints:
    """`apply` returns when ARI has made the object visible to Asterisk."""

    def __init__(self, ari: Ari, bulk: AmiLink, seen: Observation) -> None:
        self._ari = ari
        self._bulk = bulk
        self._seen = seen

    async def read_all(self) -> None:
        for kind, family in FAMILIES.items():
            self._seen.objects_read(kind, await self._read(kind, family))

    async def _read(self, kind: ObjectKind, family: str) -> Mapping[EndpointId, Fields]:
        objects: dict[EndpointId, Fields] = {}

        def take(item: Message) -> None:
            objects[EndpointId(item.get("Key").rpartition("/")[2])] = decoded(kind, item.get("Val"))

        await self._bulk.action_list("DBGetTree", {"Family": family}, timeout=BULK_SECONDS, on_item=take)
        return objects

    async def apply(self, action: PutObject | DeleteObject) -> None:
        match action:
            case PutObject(kind, key, fields):
                await self._put(kind, key, fields)
            case DeleteObject(kind, key):
                await self._ari.delete_object(kind, key)
                self._seen.object_deleted(kind, key)

    async def _put(self, kind: ObjectKind, key: EndpointId, fields: Fields) -> None:
        there = self._seen.state(key).objects.get(kind)
        if there is not None and _GROWING & fields.keys():
            fields = {**there, **fields}
            await self.apply(DeleteObject(kind, key))
        await self._ari.put_object(kind, key, encoded(fields))
        self._seen.object_put(kind, key, fields)


def encoded(fields: Fields) -> Fields:
    """As ARI wants it. `allow` says first that nothing else is allowed, since a PUT would add."""
    for name, value in fields.items():
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise InvalidValue(f"{name}: {value!r} has a control character")
    return {**fields, "allow": f"!all,{fields['allow']}"} if "allow" in fields else fields


def decoded(kind: ObjectKind, stored: str) -> Fields:
    """The managed fields of a stored object in the words of `desired`.

    An object that is no JSON counts as one without fields, so it is written again.
    """
    try:
        values = json.loads(stored)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        name: sys.intern(_DECODERS.get(name, _plain)(str(values.get(name, "")))) for name in _MANAGED[kind]
    }


def _plain(value: str) -> str:
    """Asterisk keeps a boolean as it likes: yes, true, Yes."""
    return {"true": "yes", "false": "no", "Yes": "yes", "No": "no"}.get(value, value)


def _codecs(value: str) -> str:
    return value.strip("()").replace("|", ",")


def _groups(value: str) -> str:
    return value.replace(" ", "")


def _sorted_groups(value: str) -> str:
    """Names come back in the order of a hash."""
    return ",".join(sorted(_groups(value).split(","), key=lambda name: (len(name), name)))


def _match(value: str) -> str:
    """One address comes back with the mask of a single host."""
    return _ONE_HOST.sub("", value)


def _caller_id(value: str) -> str:
    return "" if value == "<unknown>" else value


_DECODERS: Mapping[str, Callable[[str], str]] = {
    "allow": _codecs,
    "call_group": _groups,
    "pickup_group": _groups,
    "named_call_group": _sorted_groups,
    "named_pickup_group": _sorted_groups,
    "callerid": _caller_id,
    "context": str,
    "match": _match,
}
