"""The PJSIP objects that a key should have: its endpoint, AOR and auth, field by field. Pure.

Every managed field is always stated, defaults included: a PUT merges into the object that is there, so a
field that is only left out would keep its old value for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from agentbridge.desired.caller_id import caller_id, merged
from agentbridge.desired.voicemail import mailbox_of
from agentbridge.model import SIP_PORT, EndpointId, Fields, Line, ObjectKind, Row, SipType, Subject

NO_CALLS_CONTEXT = "agentbridge-nothing"
"""V4: the context of a `peer`, which is called and never calls: it has no extension."""
FIELD_BYTES = 128
"""Asterisk's buffer for a list of group numbers, with the NUL"""
BROWSER_SILENCE_SECONDS, BROWSER_HOLD_SECONDS = "75", "120"
"""longer than a minute without a network, which a call outlives: the browser comes back to it"""
DIGEST = "password_digest"
"""the field of an auth that holds the digest, with `MD5:` before it"""
_LAX_NAT = frozenset({"yes", "force_rport"})
_SYMMETRIC_RTP = frozenset({"yes", "comedia"})
_WEBRTC_TRANSPORTS = frozenset({"ws", "wss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SipDefaults:
    """The SIP settings of this node that hold for each of its endpoints."""

    realm: str = "asterisk"
    qualify_seconds: int = 0
    """how often Asterisk asks a registered phone whether it is there; 0 is never"""
    browser_qualify_seconds: int = 15
    """the same for a browser"""


def objects(subject: Subject, sip: SipDefaults) -> Mapping[ObjectKind, Fields]:
    """Returns the PJSIP objects that the key should have, by kind.

    An agent without an endpoint has its AOR alone; a key without an agent and telephone has nothing. Raises ValueError
    where the line can't be expressed.
    """
    line = _line_of(subject)
    if line is None:
        # The AOR holds the registration of the agent's phone. It stays while the agent has no endpoint, so that the
        # phone works at once when the agent has one again; a new AOR would be 'Not in use' without a contact.
        return {ObjectKind.AOR: _aor(subject.agent.line, subject.key, sip)} if subject.agent else {}
    # No `identify` for a fixed address (R3): the first one that matches an address takes every call from it, also
    # those of a trunk or of another agent there; the endpoint authenticates by its name anyway.
    return {
        ObjectKind.AOR: _aor(line, subject.key, sip),
        ObjectKind.AUTH: Row(_auth(subject.key, line, sip)),
        ObjectKind.ENDPOINT: Row(_endpoint(subject, line)),
    }


def reserve_aor(sip: SipDefaults) -> Fields:
    """Returns the fields of the AOR of a number that no agent has."""
    return _aor(Line(secret=""), EndpointId(""), sip)


def _line_of(subject: Subject) -> Line | None:
    """Returns the SIP line for the key's endpoint; None where it should have no endpoint.

    A hot-desk agent has no device of its own, and a deactivated or locked one (A10) may not use it.
    """
    if subject.telephone is not None:
        return subject.telephone.line
    agent = subject.agent
    if agent is None or agent.hot_desk or not agent.active:
        return None
    return agent.line


def _aor(line: Line, key: EndpointId, sip: SipDefaults) -> Fields:
    """Returns the fields of the AOR: it takes one registration, or has one fixed contact. Raises ValueError for what
    PJSIP could not read: an AOR that is there goes into the AstDB, which takes anything."""
    if line.sip_expires < 1:
        raise ValueError(f"sip_expires: must be seconds (got {line.sip_expires})")
    browser = bool(_WEBRTC_TRANSPORTS & set(line.transports))
    qualify = sip.browser_qualify_seconds if browser else sip.qualify_seconds
    return _aor_fields(line.sip_expires, qualify, "" if line.host == "dynamic" else _fixed_contact(key, line))


@lru_cache(maxsize=16)
def _aor_fields(expires: int, qualify: int, contact: str) -> Fields:
    """Returns the fields of an AOR; one mapping for all that are equal, as most are."""
    return Row(
        {
            "max_contacts": "1",
            "remove_existing": "yes",
            "maximum_expiration": str(expires),
            "qualify_frequency": str(qualify),
            "contact": contact,
            # behind a SIP proxy the phone is reached by the Path that its REGISTER came with
            "support_path": "yes",
        }
    )


def _fixed_contact(key: EndpointId, line: Line) -> str:
    """Returns the contact URI of a phone with a fixed address, over its first transport; '' where it can't be called.

    A WebSocket is opened by the client, so there is nowhere to call.
    """
    over_tcp = ";transport=tcp" if line.transports[0] == "tcp" else ""
    port = "" if line.sip_port == SIP_PORT else f":{line.sip_port}"
    return f"sip:{key}@{_uri_host(line.host)}{port}{over_tcp}"


def _uri_host(host: str) -> str:
    """Returns an IP address as it stands in a SIP URI: IPv6 in brackets. Raises ValueError for a host name."""
    address = ip_address(host)
    return f"[{address}]" if address.version == 6 else str(address)


def _auth(key: EndpointId, line: Line, sip: SipDefaults) -> Fields:
    """Returns the fields of the auth object, with a digest instead of the secret. Raises ValueError for an empty
    secret."""
    if not line.secret:
        # the digest of an empty secret is one that everybody knows
        raise ValueError("sip_secret: is missing; set one")
    return {
        "auth_type": "digest",
        "username": key,
        "realm": sip.realm,
        DIGEST: f"MD5:{digest(key, sip.realm, line.secret)}",
    }


def _endpoint(subject: Subject, line: Line) -> Fields:
    """Returns the fields of the endpoint. Raises ValueError where the line has no codec."""
    key = subject.key
    if not line.codecs:
        # Asterisk can neither read nor delete an endpoint without `allow` any more
        raise ValueError("codecs: name at least one")
    return {
        "context": NO_CALLS_CONTEXT if line.sip_type is SipType.PEER else line.context,
        "allow": ",".join(line.codecs),
        # else the caller's order would come before the agent's (V5)
        "outgoing_call_offer_pref": "local_merge",
        "callerid": _caller_id(subject, line),
        # without an AOR it can't register and is never called
        "aors": "" if line.sip_type is SipType.USER else key,
        "auth": key,
        # a recording or a spy needs the audio to pass through Asterisk
        "direct_media": "no",
        "mailboxes": mailbox_of(subject),
        # set by hand they would keep the phone out
        "acl": "",
        "contact_acl": "",
        **_groups("call_group", line.call_group),
        # `*8` asks no context: who may not call would call by picking up
        **_groups("pickup_group", line.pickup_group if _may_pick_up(subject, line) else ""),
        # an attended transfer tells the phone later who is there; the dialplan masks it where it must (A11)
        "send_pai": "yes",
        "send_rpid": "no",
        **_nat(line.nat),
        **_media(line.transports),
    }


def _may_pick_up(subject: Subject, line: Line) -> bool:
    caller = subject.carried or subject.agent
    return line.sip_type is not SipType.PEER and (caller is None or caller.options.may_call)


def transports(subject: Subject) -> frozenset[str]:
    """Returns the transports over which the key's phone may register."""
    line = _line_of(subject)
    return _set(line.transports if line else ())


@lru_cache(maxsize=16)
def _set(transports: tuple[str, ...]) -> frozenset[str]:
    """Returns the transports as a set; one set for all lines that have the same ones."""
    return frozenset(transports)


def _caller_id(subject: Subject, line: Line) -> str:
    """Returns the caller id of the line: its own, else the agent's name and number."""
    if line.caller_id or subject.agent is None:
        return caller_id(line.caller_id)
    return merged(subject.agent.display_name, subject.key)


@lru_cache(maxsize=64)
def _groups(name: str, text: str) -> Fields:
    """Returns the endpoint's fields for these call or pickup groups: all as named groups, as many as fit into 127
    bytes as numbers too.

    Numbered groups are shared with the administrator's own phones. Asterisk gives numbers back, and keeps them over its
    restart, in 127 bytes: about 40 groups.
    """
    numbers = groups(text).split(",")
    fitting = [number for count, number in enumerate(numbers, 1) if len(", ".join(numbers[:count])) < FIELD_BYTES]
    return {name: ",".join(fitting), f"named_{name}": ",".join(numbers)}


@lru_cache(maxsize=16)
def _nat(modes: tuple[str, ...]) -> Fields:
    """Returns the endpoint's fields for these NAT modes (V3), as Asterisk's own sip_to_pjsip.py translates them."""
    lax = _yes_no(bool(_LAX_NAT & set(modes)))
    return {
        "force_rport": lax,
        "rewrite_contact": lax,
        "rtp_symmetric": _yes_no(bool(_SYMMETRIC_RTP & set(modes))),
    }


@lru_cache(maxsize=16)
def _media(transports: tuple[str, ...]) -> Fields:
    """Returns the endpoint's media fields for its transports: those of WebRTC, or plain RTP.

    What `webrtc=yes` sets, each field stated: taking back only `webrtc` would leave the others behind.
    """
    ways = set(transports)
    browser = bool(_WEBRTC_TRANSPORTS & ways)
    if browser and ways - _WEBRTC_TRANSPORTS:
        # all media of an endpoint is a browser's or a phone's: the other would register and hear nothing
        raise ValueError("transport: udp and tcp can't be combined with ws and wss")
    on = _yes_no(browser)
    return {
        # a browser that crashed in a call says no BYE: after so many seconds without audio, or on hold, it ends
        "rtp_timeout": BROWSER_SILENCE_SECONDS if browser else "0",
        "rtp_timeout_hold": BROWSER_HOLD_SECONDS if browser else "0",
        "webrtc": on,
        "use_avpf": on,
        "ice_support": on,
        "rtcp_mux": on,
        "bundle": on,
        "dtls_auto_generate_cert": on,
        "media_use_received_transport": on,
        "media_encryption": "dtls" if browser else "no",
    }


def groups(text: str) -> str:
    """Expands lists and ranges of groups, as `1-3,5`, to the form that Asterisk keeps: `1,2,3,5`."""
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return ",".join(str(number) for number in sorted(numbers))


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def digest(endpoint: EndpointId, realm: str, secret: str) -> str:
    """Returns the HA1 of RFC 2617 in lower-case hex, which Asterisk stores instead of the secret."""
    # MD5 is what SIP phones of every make can do
    return hashlib.md5(f"{endpoint}:{realm}:{secret}".encode(), usedforsecurity=False).hexdigest()
