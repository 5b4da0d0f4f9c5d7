"""Digest authentication of a client (RFC 2617: MD5, qop=auth or none). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import md5

_PAIR = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for in WWW-Authenticate or Proxy-Authenticate."""

    realm: str
    nonce: str
    qop: str
    opaque: str
    algorithm: str


def parse_challenge(header: str) -> Challenge:
    """Parses a `WWW-Authenticate` or `Proxy-Authenticate` header. Raises ValueError if it isn't Digest."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "digest":
        raise ValueError(f"only Digest is spoken here, not {scheme!r}")
    found = {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(rest)}
    qop = "auth" if "auth" in found.get("qop", "").replace(" ", "").split(",") else ""
    algorithm = found.get("algorithm", "MD5")
    return Challenge(found.get("realm", ""), found.get("nonce", ""), qop, found.get("opaque", ""), algorithm)


def choose(headers: list[str]) -> Challenge:
    """Returns the challenge that the client answers, of all that came. Raises ValueError without MD5.

    Asterisk 22 may offer SHA-256 beside MD5.
    """
    challenges = [parse_challenge(header) for header in headers]
    for challenge in challenges:
        if challenge.algorithm.upper() == "MD5":
            return challenge
    raise ValueError(f"only MD5 is spoken here, not {[challenge.algorithm for challenge in challenges]}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and its secret."""

    user: str
    secret: str

    def answer(self, challenge: Challenge, method: str, uri: str, cnonce: str) -> str:
        """Returns the value of the `Authorization` header, for the first use of this nonce."""
        first = _md5(f"{self.user}:{challenge.realm}:{self.secret}")
        second = _md5(f"{method}:{uri}")
        middle = f"{challenge.nonce}:00000001:{cnonce}:auth" if challenge.qop else challenge.nonce
        fields = [
            f'username="{self.user}"',
            f'realm="{challenge.realm}"',
            f'nonce="{challenge.nonce}"',
            f'uri="{uri}"',
            f'response="{_md5(f"{first}:{middle}:{second}")}"',
            "algorithm=MD5",
        ]
        if challenge.qop:
            fields += [f'cnonce="{cnonce}"', "nc=00000001", "qop=auth"]
        if challenge.opaque:
            fields.append(f'opaque="{challenge.opaque}"')
        return "Digest " + ", ".join(fields)


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
