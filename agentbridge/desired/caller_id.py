"""Names and numbers as Asterisk holds them: what it would cut or leave out is cut and left out before. Pure."""

from __future__ import annotations

import re

# persistentmembers writes a queue's members as one string, split at these
_SPLITS_MEMBERS = str.maketrans({";": " ", ",": " ", "|": " "})
TEXT_BYTES = 79
"""what Asterisk keeps of a member's name, a pause's reason and each half of a caller id (char[80])"""
# what Asterisk itself takes out of a number
_NOT_DIALLED = str.maketrans("", "", " ()-.")
_NUMBER = re.compile(r"[0-9*#+]+")
_BRACKETED = re.compile(r"(?P<name>[^<>]*)<(?P<number>[^<>]*)>\s*")
_ESCAPES = 5
"""how many quotes and backslashes of a name Asterisk's own buffer has room to write escaped"""


def member_text(text: str) -> str:
    """Returns a member's name or a pause's reason as app_queue can store it.

    What would break its persistent form becomes a space, and a text too long is cut at a whole character: else what is
    observed would never equal what is desired.
    """
    return clipped(" ".join(text.translate(_SPLITS_MEMBERS).split()))


def clipped(text: str) -> str:
    """Returns the beginning of a text that fits into TEXT_BYTES of UTF-8, cut at a whole character.

    Half a character would make Asterisk's JSON fail.
    """
    return text.encode()[:TEXT_BYTES].decode(errors="ignore").rstrip()


def caller_id(text: str) -> str:
    """Returns a caller id (V6) as Asterisk gives it back: `Sales <0800 1>` becomes `"Sales" <08001>`, `<1>` becomes
    `1`."""
    if found := _BRACKETED.fullmatch(text):
        return merged(_unquoted(found["name"]), found["number"])
    number = text.translate(_NOT_DIALLED)
    return number if _NUMBER.fullmatch(number) else clipped(_unquoted(text).replace('"', ""))


def merged(name: str, number: str) -> str:
    """Returns name and number as one caller id, such as `"Ann" <1001>`."""
    name, number = member_text(name), clipped(number.translate(_NOT_DIALLED))
    if name and number:
        return f'"{_quoted(name)}" <{number}>'
    return number or name.replace('"', "")


def _unquoted(name: str) -> str:
    """Returns the name without its quotes and escapes."""
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def _quoted(text: str) -> str:
    """Returns the text as it may stand between quotes."""
    if text.count("\\") + text.count('"') > _ESCAPES:
        return text.replace("\\", "/").replace('"', "'")
    return text.replace("\\", "\\\\").replace('"', '\\"')
