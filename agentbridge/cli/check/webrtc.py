"""Findings about browsers as phones: HTTPS, its certificate, the way to SIP over it, and ICE."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator

from agentbridge.cli.check import modules
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.check.inspection import Inspection

EXPIRED, SELF_SIGNED = 10, 18
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT"""
SECONDS = 5.0
HTTP = "restart Asterisk when no call is up"


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Checks what browsers need to be agents' telephones: HTTPS, certificate, SIP over WebSocket, ICE."""
    if not inspection.wanted.transports & {"ws", "wss"}:
        return
    if inspection.modules is None or not inspection.modules >= modules.ROOTS:
        return  # it is said already that there is no PJSIP
    if inspection.lacks("res_pjsip_transport_websocket") or not re.search(r"^/\S*ws\b", inspection.http, re.MULTILINE):
        yield Finding(
            "webrtc.no_websocket",
            "agents have a browser for a phone, and Asterisk's HTTP server has no /ws: none can register",
            "load res_http_websocket and res_pjsip_transport_websocket (take their noload out of modules.conf); "
            f"enabled = yes in http.conf; {HTTP}",
        )
    bound = re.search(r"^HTTPS Server Enabled and Bound to (\S+)", inspection.http, re.MULTILINE)
    if "wss" in inspection.wanted.transports and not bound:
        yield Finding(
            "webrtc.no_https",
            "agents have transport wss, and Asterisk's HTTP server has no TLS, or no certificate that it can read",
            "in http.conf: tlsenable = yes, tlsbindaddr = 0.0.0.0:8089, tlscertfile and tlsprivatekey, files that "
            f"Asterisk's user may read; {HTTP}",
        )
    elif bound and (problem := await _certificate(bound[1])):
        yield Finding(
            "webrtc.certificate",
            f"the certificate of Asterisk's HTTPS server at {bound[1]} {problem}: no browser opens /ws",
            f"in http.conf: tlscertfile and tlsprivatekey of an authority that the browsers know; {HTTP}",
        )
    if re.search(r"ICE support: +No", await inspection.manager.console("rtp show settings")):
        yield Finding(
            "webrtc.no_ice",
            "ICE is off: calls of browsers are up and silent",
            "in rtp.conf, section [general]: icesupport = yes; then `asterisk -rx 'module reload res_rtp_asterisk.so'`",
        )


async def _certificate(address: str) -> str:
    """Returns what is wrong with the server's certificate for every browser; '' for nothing.

    An authority that only this machine does not know is no fault.
    """
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - nothing is bound
    context = ssl.create_default_context()
    context.check_hostname = False
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.transport.abort()
    except ssl.SSLCertVerificationError as error:
        return {EXPIRED: "has expired", SELF_SIGNED: "is self-signed"}.get(error.verify_code, "")
    except (OSError, TimeoutError) as error:
        return f"can't be seen ({error or 'no answer'})"
    return ""
