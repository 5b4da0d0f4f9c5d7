"""The Asterisk nodes of a centre, as the directory lists them."""

from __future__ import annotations

from dataclasses import dataclass

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
