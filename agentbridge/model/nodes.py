"""The Asterisk nodes of a centre, and with which of them a device is registered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agentbridge.model.directory import SIP_PORT


@dataclass(frozen=True, slots=True)
class Node:
    """An Asterisk node as the directory lists it: its name and the SIP address at which the other nodes reach it.

    `name` is `[node] name` in the configuration of the node's daemon.
    """

    name: str
    sip_host: str
    """an IP address or a host name"""
    sip_port: int = SIP_PORT


@dataclass(frozen=True, slots=True)
class Contact:
    """A registered contact: its URI and, where a full read has told them, its SIP path and when the registration
    ends."""

    uri: str
    path: str = ""
    """RFC 3327: the proxies by which the phone is reached"""
    ends: datetime | None = None
    """when it ends without being renewed; None: not read yet"""


@dataclass(frozen=True, slots=True)
class Location:
    """The node with which a device is registered, and since when: seconds since 1970 by the database's clock."""

    node: str
    since: float
