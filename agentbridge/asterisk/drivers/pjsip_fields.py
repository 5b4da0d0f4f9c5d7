"""The fields of PJSIP objects in the words of each side: of `desired`, of ARI, and of the AstDB."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

from agentbridge.asterisk.capabilities import ALGORITHMS, Capabilities
from agentbridge.desired.pjsip import DIGEST
from agentbridge.errors import InvalidValue
from agentbridge.model import EndpointId, Fields, ObjectKind

FAMILIES = {
    ObjectKind.AOR: "ps_aors",
    ObjectKind.AUTH: "ps_auths",
    ObjectKind.ENDPOINT: "ps_endpoints",
}
"""The AstDB family that sorcery.conf gives each kind."""
MANAGED = {
    ObjectKind.AOR: (
        "max_contacts",
        "remove_existing",
        "maximum_expiration",
        "qualify_frequency",
        "contact",
        "support_path",
    ),
    ObjectKind.AUTH: ("auth_type", "username", "realm", DIGEST),
    ObjectKind.ENDPOINT: (
        "context",
        "allow",
        "outgoing_call_offer_pref",
        "callerid",
        "aors",
        "auth",
        "direct_media",
        "send_pai",
        "send_rpid",
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
        "rtp_timeout",
        "rtp_timeout_hold",
        "mailboxes",
        "acl",
        "contact_acl",
    ),
}
"""The fields that agentbridge states; all others are Asterisk's defaults and are not looked at."""
NOT_TAKEN_BACK = frozenset({"acl", "contact_acl"})
"""fields of an endpoint that a PUT with an empty value leaves as they are"""
_MD5 = "MD5:"
_LINE_BYTES = 900
"""of an AOR's JSON: an AMI line has at most 1,024"""


def in_words_of(capabilities: Capabilities, kind: ObjectKind, fields: Fields, *, new: bool) -> Fields:
    """Translates the fields of a desired object into those that this version of Asterisk is told by ARI.

    new: the object does not exist yet. A new auth is told its algorithms too, which a later PUT would only add to.
    """
    if kind is ObjectKind.AUTH:
        fields = fields if capabilities.digest else _in_older_words(fields)
        if new and capabilities.auth_algorithms:
            # only where the object is made: each PUT of the algorithms adds to them
            fields = {**fields, ALGORITHMS: "MD5"}
    return encoded(fields)


def encoded(fields: Fields) -> Fields:
    """Translates values to what ARI expects. Raises InvalidValue for a control character.

    `allow` says first that nothing else is allowed, since a PUT would add.
    """
    for name, value in fields.items():
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise InvalidValue(f"{name}: {value!r} has a control character")
    stated = {name: value for name, value in fields.items() if value or name not in NOT_TAKEN_BACK}
    return {**stated, "allow": f"!all,{fields['allow']}"} if "allow" in fields else stated


def _in_older_words(auth: Fields) -> Fields:
    """Translates an auth for an Asterisk without `password_digest`: the same digest under its older name."""
    words = {name: value for name, value in auth.items() if name != DIGEST}
    return {**words, "auth_type": "md5", "md5_cred": auth[DIGEST].removeprefix(_MD5)}


def _from_older_words(stored: dict[str, object]) -> dict[str, object]:
    """Translates an auth that an older Asterisk has stored back to the fields of `desired`.

    What a newer version has stored means nothing to an older one, so it is shown as differing.
    """
    older = stored.get("auth_type") == "md5"
    digest = f"{_MD5}{stored.get('md5_cred', '')}" if older else ""
    return {**stored, "auth_type": "digest" if older else "", DIGEST: digest}


def decoded(kind: ObjectKind, stored: str, *, digest: bool = True) -> Fields:
    """Parses an object as Asterisk stores it; returns the fields that we manage, as `desired` writes them.

    An object that is no JSON counts as one without fields, so it is written again. digest: whether this Asterisk knows
    `password_digest`.
    """
    values = object_of(stored)
    if not values:
        return {}
    if kind is ObjectKind.AUTH and not digest:
        values = _from_older_words(values)
    return {name: sys.intern(_DECODERS.get(name, _plain)(str(values.get(name, "")))) for name in MANAGED[kind]}


def stored_aor(key: EndpointId, fields: Fields) -> str:
    """Returns an AOR as the AstDB keeps it. Raises InvalidValue where an AMI line can't carry it."""
    text = json.dumps(dict(fields), separators=(",", ":"))
    if len(text.encode()) > _LINE_BYTES:
        raise InvalidValue(f"aor {key}: {len(text.encode())} bytes together, an AMI line carries {_LINE_BYTES}")
    return text


def object_of(stored: str) -> dict[str, object]:
    """Parses a JSON object; returns {} for anything else."""
    try:
        values = json.loads(stored)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _plain(value: str) -> str:
    """Returns the value as `desired` writes it: Asterisk stores a boolean as yes, true or Yes."""
    return {"true": "yes", "false": "no", "Yes": "yes", "No": "no"}.get(value, value)


def _codecs(value: str) -> str:
    return value.strip("()").replace("|", ",")


def _groups(value: str) -> str:
    return value.replace(" ", "")


def _sorted_groups(value: str) -> str:
    """Names come back in the order of a hash."""
    return ",".join(sorted(_groups(value).split(","), key=lambda name: (len(name), name)))


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
}
