"""The values of a record's fields, from text: by the type of their columns, or refused with the field's name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from agentbridge.directory.kinds import Kind
from agentbridge.errors import Refused

Value = str | int | bool | list[str] | None
_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_YES, _NO = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0"})


def parsed(known: Mapping[str, str], kind: Kind, texts: Mapping[str, str]) -> dict[str, Value]:
    """Converts texts to values of the fields' types. Raises Refused, naming the field and the rule."""
    return {name: _value(name, column_type(known, kind, name), text) for name, text in texts.items()}


def column_type(known: Mapping[str, str], kind: Kind, name: str) -> str:
    """Returns the column type of a field. Raises Refused for one that is unknown or set elsewhere."""
    if name in kind.elsewhere:
        raise Refused(f"{name}: can't be set here; it is set by {kind.elsewhere[name]}")
    must_be_known(name, known)
    return known[name]


def must_be_known(name: str, names: Sequence[str] | Mapping[str, str]) -> None:
    """Raises Refused, with the most similar name, for a name that is not among `names`."""
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
        raise Refused(f"{name}: there is no such field; {hint}")


def _value(name: str, type_: str, text: str) -> Value:
    """Converts a text to a value of that column type. Raises Refused, naming the field."""
    match type_:
        case "boolean":
            return _boolean(name, text)
        case "integer":
            return _integer(name, text, _INT32)
        case "bigint":
            return _integer(name, text, _INT64)
        case "text[]":
            return [part.strip() for part in text.split(",") if part.strip()]
        case _ if "\0" in text:
            raise Refused(f"{name}: must not contain NUL")
        case _:
            return text


def _boolean(name: str, text: str) -> bool:
    """Converts a text such as yes or no. Raises Refused, naming the field."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise Refused(f"{name}: must be yes or no (got {text})")
    return word in _YES


def _integer(name: str, text: str, highest: int) -> int | None:
    """Converts a text to a number, an empty one to None. Raises Refused beyond `highest` and for what is no number."""
    if not text.strip():
        return None
    try:
        number = int(text)
    except ValueError:
        raise Refused(f"{name}: must be a whole number (got {text})") from None
    if abs(number) > highest:
        raise Refused(f"{name}: must be at most {highest} (got {text})")
    return number
