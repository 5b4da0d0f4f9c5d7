"""The daemon's own addresses for monitoring: section `[http]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from agentbridge.settings.section import Section


def _address(text: str) -> str:
    """Returns the address unchanged. Raises ValueError unless it is host:port, or empty."""
    if text:
        split_address(text)
    return text


def split_address(text: str) -> tuple[str, int]:
    """Splits `127.0.0.1:8484` or `[::1]:8484` into host and port. Raises ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be as in 127.0.0.1:8484 or [::1]:8484")
    return host, int(port)


Address = Annotated[str, AfterValidator(_address)]


class Http(Section):
    """The HTTP address at which the daemon answers monitoring: health, readiness and metrics."""

    bind: Address = "127.0.0.1:8484"
    """Where the daemon answers /healthz, /readyz and /metrics. Empty: nowhere. They hold no secret and ask for none,
    so keep them on this machine or in a network of your own."""
