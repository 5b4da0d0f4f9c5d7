"""What `check` finds, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass

NOT_SEEN = "not_seen"
LACKS = "lacks"


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing that is wrong and what to do about it.

    `name` is stable, as in `ami.permission`; `what` and `to_do` are for the person who reads it.
    """

    name: str
    what: str
    to_do: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}\n  → {self.to_do}"

    @property
    def is_fault(self) -> bool:
        """False where it only says that something was not looked at, or what a version lacks."""
        return not self.name.startswith((f"{NOT_SEEN}.", f"{LACKS}."))

    @property
    def is_unseen(self) -> bool:
        return self.name.startswith(f"{NOT_SEEN}.")


def not_seen(area: str, why: str, to_do: str) -> Finding:
    """Says that `area` was not looked at, since silence about it would read as 'all is well'."""
    return Finding(f"{NOT_SEEN}.{area}", f"not looked at: {why}", to_do)


def lacks(what: str, meaning: str) -> Finding:
    """Makes the finding that this version of Asterisk lacks something; it is no fault, the daemon does without it."""
    name = f"{LACKS}.{what.split()[0]}"
    return Finding(name, f"this Asterisk has no {what}: {meaning}", "nothing, or a newer Asterisk")
