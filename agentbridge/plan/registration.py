"""Which registered clients must not stay: over a transport that their row does not allow (A5), or of another agent.

Pure.
"""

from __future__ import annotations

import re

from agentbridge.model import DesiredState, EndpointId, ObjectKind, ObservedState

_TRANSPORT = re.compile(r";transport=([a-z]+)", re.IGNORECASE)
# RFC 7118 writes `ws` in the URI of either, so that a contact can't tell them apart
_WEBSOCKETS = frozenset({"ws", "wss"})


def transport_of(uri: str) -> str:
    """Returns the transport in a contact's URI, in lower case; udp where the URI names none."""
    found = _TRANSPORT.search(uri)
    return found[1].lower() if found else "udp"


def changes_hands(key: EndpointId, wanted: DesiredState, found: ObservedState) -> bool:
    """Whether this number belongs to another agent than before, or to nobody any more.

    The phone that is registered with it is the former agent's, and would go on being called.
    """
    holder = f"agent/{key}/id"
    return holder in found.policy and found.policy[holder] != wanted.policy.get(holder)


def has_moved(wanted: DesiredState, found: ObservedState) -> bool:
    """Whether the device has registered with another node after this one, so that its contact here is out of date.

    A reading that is older than the contact here says nothing of it.
    """
    return wanted.moved_at is not None and found.located_at is not None and wanted.moved_at >= found.located_at


def strays(wanted: DesiredState, found: ObservedState) -> list[str]:
    """Returns the URIs of registered contacts that are to be deleted: those over a transport that the row does not
    allow.

    The contact of a phone with a fixed address is part of the row itself and never one of them.
    """
    if not found.contacts or not wanted.transports:
        return []
    fixed = wanted.objects.get(ObjectKind.AOR, {}).get("contact", "")
    return sorted(uri for uri in found.contacts if uri != fixed and not _allowed(transport_of(uri), wanted))


def complaint(wanted: DesiredState, found: ObservedState) -> str:
    """Returns what is wrong with the key's registrations, for its problem in the directory; '' when nothing is.

    A client came over a transport that is not allowed, or two devices register with one secret.
    """
    return "; ".join(filter(None, (_wrong_way(wanted, found), _displaced(wanted, found))))


def _displaced(wanted: DesiredState, found: ObservedState) -> str:
    """Returns the message about two devices that displace one another by registering with one secret; '' where none
    do."""
    if not found.displaced or ObjectKind.ENDPOINT not in wanted.objects:
        return ""
    return (
        f"contact: two devices register with one secret and push each other out, {' and '.join(found.displaced)}; "
        "switch one of them off, or give it an agent or telephone of its own"
    )


def _wrong_way(wanted: DesiredState, found: ObservedState) -> str:
    """Returns the message about a client that registered over a transport that is not allowed, '' for none.

    Also '' where another client of the key is registered as it should be.
    """
    stray = strays(wanted, found)
    way = transport_of(stray[0]) if stray else found.turned_away
    if not way or not wanted.transports or _allowed(way, wanted) or len(found.contacts) > len(stray):
        return ""
    allowed = " or ".join(sorted(wanted.transports))
    return f"transport: a client registered over {way} and was turned away; this one must use {allowed}"


def _allowed(transport: str, wanted: DesiredState) -> bool:
    """Whether a client may register over this transport; ws and wss count alike."""
    if transport in _WEBSOCKETS:
        return bool(wanted.transports & _WEBSOCKETS)
    return transport in wanted.transports
