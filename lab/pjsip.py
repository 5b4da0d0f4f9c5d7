"""Devices in an administrator's own pjsip.conf, which no daemon makes."""

from collections.abc import Mapping

NOTHING: Mapping[str, str] = {}
SEEN: Mapping[str, str] = {"send_pai": "yes", "trust_id_outbound": "yes", "direct_media": "no"}
"""of an endpoint: it is told who calls, and its sound goes through Asterisk"""


def phone(user: str, *, secret: str = "", aor: Mapping[str, str] = NOTHING, **endpoint: str) -> str:
    """Returns the sections of a phone that registers: AOR, auth and endpoint.

    secret: left out, `secret-` and the user. aor, endpoint: fields beside those that every phone has.
    """
    return "".join(
        f"\n[{user}]\n" + "".join(f"{name} = {value}\n" for name, value in section.items())
        for section in (
            {"type": "aor", "max_contacts": "1", "remove_existing": "yes", **aor},
            {"type": "auth", "auth_type": "userpass", "username": user, "password": secret or f"secret-{user}"},
            {"type": "endpoint", "context": "from-sip", "allow": "!all,ulaw", "auth": user, "aors": user, **endpoint},
        )
    )
