"""What should be in Asterisk for one endpoint id, from what the directory says. Pure.

Every managed field is always stated, defaults included: a PUT merges into the object that is there, so a
field that is only left out would keep its old value for ever.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from agentbridge.model import (
    Agent,
    EndpointId,
    Fields,
    Interface,
    Line,
    Member,
    Membership,
    ObjectKind,
    QueueName,
    Recording,
    Session,
    SipType,
    State,
    Subject,
)

NO_CALLS_CONTEXT = "agentbridge-nothing"
"""V4: the context of a `peer`, which is called and never calls: it has no extension."""
# persistentmembers writes a queue's members as one string, split at these
_SPLITS_MEMBERS = str.maketrans({";": " ", ",": " ", "|": " "})
MAILBOX_CONTEXT = "agentbridge"
NO_PIN = "none"
"""of a box without a PIN: no telephone can dial letters, while an empty one would let everybody in"""
TEXT_BYTES = 79
"""what Asterisk keeps of a member's name, a pause's reason and each half of a caller id (char[80])"""
# what Asterisk itself takes out of a number
_NOT_DIALLED = str.maketrans("", "", " ()-.")
_NUMBER = re.compile(r"[0-9*#+]+")
_BRACKETED = re.compile(r"(?P<name>[^<>]*)<(?P<number>[^<>]*)>\s*")
_ESCAPES = 5
"""how many quotes and backslashes of a name Asterisk's own buffer has room to write escaped"""
_LAX_NAT = frozenset({"yes", "force_rport", "route"})
_SYMMETRIC_RTP = frozenset({"yes", "comedia"})
_WEBRTC_TRANSPORTS = frozenset({"ws", "wss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SipDefaults:
    """What holds for every endpoint of this node."""

    realm: str = "asterisk"
    qualify_seconds: int = 0
    """how often Asterisk asks a registered phone whether it is there; 0 is never"""


def interface_of(endpoint: EndpointId) -> Interface:
    return Interface(f"PJSIP/{endpoint}")


def desired(subject: Subject, sip: SipDefaults) -> State:
    """The state of `subject.key`; an empty one means that nothing of it should be in Asterisk.

    A line that Asterisk can't have is the problem of its key alone.
    """
    try:
        objects = _objects(subject, sip)
    except ValueError as error:
        return State(problem=f"the directory's row makes no sense: {error}")
    return State(
        objects=objects,
        members=_members(subject.key, subject.carried),
        policy=_policy(subject),
        mailbox=_mailbox(subject.agent),
        transports=_transports(subject),
        agent=subject.carried.id if subject.carried else None,
        problem=subject.problem,
    )


def reserve(sip: SipDefaults) -> State:
    """The state of a number that no agent has yet.

    A new AOR makes Asterisk walk all endpoints; one that is there before its endpoint costs nothing later.
    """
    return State(objects={ObjectKind.AOR: _aor(Line(secret=""), EndpointId(""), sip)})


def digest(endpoint: EndpointId, realm: str, secret: str) -> str:
    """HA1 of RFC 2617, lower-case hex: what Asterisk holds instead of the secret."""
    # MD5 is what SIP phones of every make can do
    return hashlib.md5(f"{endpoint}:{realm}:{secret}".encode(), usedforsecurity=False).hexdigest()


def member_text(text: str) -> str:
    """A member's name or a pause's reason as app_queue can carry it.

    What would break its persistent form becomes a space, and what it would cut is cut here, at a whole
    character: else what is would never be what should be.
    """
    return clipped(" ".join(text.translate(_SPLITS_MEMBERS).split()))


def clipped(text: str) -> str:
    """The beginning that has room in TEXT_BYTES of UTF-8. Half a character makes Asterisk's JSON fail."""
    return text.encode()[:TEXT_BYTES].decode(errors="ignore").rstrip()


# ---------------------------------------------------------------- PJSIP objects


def _objects(subject: Subject, sip: SipDefaults) -> Mapping[ObjectKind, Fields]:
    line = _line_of(subject)
    if line is None:
        return {}
    objects = {
        ObjectKind.AOR: _aor(line, subject.key, sip),
        ObjectKind.AUTH: _auth(subject.key, line, sip),
        ObjectKind.ENDPOINT: _endpoint(subject, line),
    }
    if line.host != "dynamic":
        objects[ObjectKind.IDENTIFY] = {"endpoint": subject.key, "match": str(ip_address(line.host))}
    return objects


def _line_of(subject: Subject) -> Line | None:
    """A hot-desk agent has no device of its own, and a deactivated or locked one (A10) may not use it."""
    if subject.telephone is not None:
        return subject.telephone.line
    agent = subject.agent
    if agent is None or agent.hot_desk or not agent.active:
        return None
    return agent.line


def _aor(line: Line, key: EndpointId, sip: SipDefaults) -> Fields:
    return {
        "max_contacts": "1",
        "remove_existing": "yes",
        "maximum_expiration": str(line.sip_expires),
        "qualify_frequency": str(sip.qualify_seconds),
        "contact": "" if line.host == "dynamic" else _fixed_contact(key, line),
    }


def _fixed_contact(key: EndpointId, line: Line) -> str:
    """Over the transport of first choice; a WebSocket is opened by the client, so there is nowhere to call."""
    over_tcp = ";transport=tcp" if line.transports[0] == "tcp" else ""
    return f"sip:{key}@{_uri_host(line.host)}{over_tcp}"


def _uri_host(host: str) -> str:
    address = ip_address(host)
    return f"[{address}]" if address.version == 6 else str(address)


def _auth(key: EndpointId, line: Line, sip: SipDefaults) -> Fields:
    return {
        "auth_type": "digest",
        "username": key,
        "realm": sip.realm,
        "password_digest": f"MD5:{digest(key, sip.realm, line.secret)}",
    }


def _endpoint(subject: Subject, line: Line) -> Fields:
    key = subject.key
    if not line.codecs:
        # Asterisk can neither read nor delete an endpoint without `allow` any more
        raise ValueError("codecs: there is none")
    return {
        "context": NO_CALLS_CONTEXT if line.sip_type is SipType.PEER else line.context,
        "allow": ",".join(line.codecs),
        "callerid": _caller_id(subject, line),
        # without an AOR it can't register and is never called
        "aors": "" if line.sip_type is SipType.USER else key,
        "auth": key,
        # a recording or a spy needs the audio to pass through Asterisk
        "direct_media": "no",
        "mailboxes": _mailbox_of(subject),
        "call_group": groups(line.call_group),
        "pickup_group": groups(line.pickup_group),
        **_nat(line.nat),
        **_media(line.transports),
    }


def _transports(subject: Subject) -> frozenset[str]:
    line = _line_of(subject)
    return frozenset(line.transports) if line else frozenset()


def _caller_id(subject: Subject, line: Line) -> str:
    if line.caller_id or subject.agent is None:
        return caller_id(line.caller_id)
    return _merged(subject.agent.display_name, subject.key)


def caller_id(text: str) -> str:
    """V6 as Asterisk gives it back: `Sales <0800 1>` is `"Sales" <08001>`, `<1>` is `1`."""
    if found := _BRACKETED.fullmatch(text):
        return _merged(_unquoted(found["name"]), found["number"])
    number = text.translate(_NOT_DIALLED)
    return number if _NUMBER.fullmatch(number) else clipped(_unquoted(text).replace('"', ""))


def _merged(name: str, number: str) -> str:
    name, number = member_text(name), clipped(number.translate(_NOT_DIALLED))
    if name and number:
        return f'"{_quoted(name)}" <{number}>'
    return number or name.replace('"', "")


def _unquoted(name: str) -> str:
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def _quoted(text: str) -> str:
    if text.count("\\") + text.count('"') > _ESCAPES:
        return text.replace("\\", "/").replace('"', "'")
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _nat(modes: Iterable[str]) -> Fields:
    """V3 in PJSIP's terms, as Asterisk's own sip_to_pjsip.py translates them."""
    lax = _yes_no(bool(_LAX_NAT & set(modes)))
    return {
        "force_rport": lax,
        "rewrite_contact": lax,
        "rtp_symmetric": _yes_no(bool(_SYMMETRIC_RTP & set(modes))),
    }


def _media(transports: Iterable[str]) -> Fields:
    """What `webrtc=yes` sets, each field stated: taking back only `webrtc` would leave the others behind."""
    browser = bool(_WEBRTC_TRANSPORTS & set(transports))
    on = _yes_no(browser)
    return {
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
    """Lists and ranges of groups, e.g. `1-3,5`, as Asterisk keeps them: `1,2,3,5`."""
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return ",".join(str(number) for number in sorted(numbers))


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


# ---------------------------------------------------------------- queue members


def _members(key: EndpointId, carried: Agent | None) -> Mapping[QueueName, Member]:
    if carried is None or carried.session is None or not carried.active or carried.line.sip_type is SipType.USER:
        return {}
    session = carried.session
    return {m.queue: _member(key, carried, session, m) for m in carried.memberships}


def _member(key: EndpointId, agent: Agent, session: Session, membership: Membership) -> Member:
    paused = session.paused or membership.paused
    reason = session.reason if session.paused else membership.reason
    return Member(
        queue=membership.queue,
        interface=interface_of(key),
        # without a name app_queue takes the interface
        name=member_text(agent.display_name) or interface_of(key),
        penalty=membership.penalty,
        paused=paused,
        reason=member_text(reason) if paused else "",
        state_interface=interface_of(key),
    )


# ---------------------------------------------------------------- voicemail


def _mailbox(agent: Agent | None) -> Fields:
    if agent is None or not agent.options.voicemail:
        return {}
    return {
        "password": agent.options.voicemail_pin or NO_PIN,
        "fullname": mailbox_name(agent.display_name),
    }


def _mailbox_of(subject: Subject) -> str:
    """Whose new messages this endpoint's lamp shows."""
    agent = subject.carried or subject.agent
    return f"{agent.internal}@{MAILBOX_CONTEXT}" if agent and agent.options.voicemail else ""


def mailbox_name(text: str) -> str:
    """What of a name goes into a command line of Asterisk: nothing that a quote or an escape could end."""
    kept = (c if c.isalnum() or unicodedata.category(c).startswith("M") or c in " ._-" else " " for c in text)
    return clipped(" ".join("".join(kept).split()))


# ---------------------------------------------------------------- call policy


def _policy(subject: Subject) -> Fields:
    """AstDB paths of the call policy; they also say that the endpoint id is ours."""
    paths: dict[str, str] = {}
    if subject.agent is not None:
        paths |= _agent_policy(subject.agent)
    if subject.telephone is not None:
        # the empty value keeps the telephone ours while nobody is bound to it
        paths[f"telephone/{subject.key}/agent"] = subject.carried.internal if subject.carried else ""
    return paths


def _agent_policy(agent: Agent) -> Fields:
    values = {"id": str(agent.id), "device": agent.device or "", **_options(agent)}
    return {f"agent/{agent.internal}/{name}": value for name, value in values.items() if value}


def _options(agent: Agent) -> Fields:
    """Only what differs from the safe default is stated; a key that is absent denies or does nothing."""
    options = agent.options
    return {
        "record": "" if options.record is Recording.INACTIVE else options.record.value,
        "chanspy": _flag(options.chanspy),
        "spy": _flag(options.may_spy),
        "mask": "" if options.mask is None else str(options.mask),
        "nodnd": _flag(not options.dnd_in_pause),
        "ringinuse": _flag(options.ring_in_use),
        "autoanswer": "" if options.auto_answer is None else str(options.auto_answer),
        "manual": _flag(options.manual_recording),
        "forward": options.forward_to,
        "voicemail": _flag(options.voicemail),
        "prefix": _flag(options.prefix_required),
        "nocalls": _flag(not options.may_call),
    }


def _flag(value: bool) -> str:
    return "1" if value else ""
