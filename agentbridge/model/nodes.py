"""The Asterisk nodes of a centre, as the directory lists them."""

from __future__ import annotations

from dataclasses import dataclass

from agentbridge.model.directory import SIP_PORT


@dataclass(frozen=True, slots=True)
class Node:
    """Where the other nodes reach an Asterisk node by SIP. `name` is `[node] name` of its daemon's configuration."""

    name: str
    sip_host: str
    """an IP address or a host name"""
    sip_port: int = SIP_PORT
