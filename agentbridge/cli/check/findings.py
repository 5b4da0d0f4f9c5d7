"""What `check` finds, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` is stable, as in `ami.permission`; `what` and `to_do` are for the person who reads it."""

    name: str
    what: str
    to_do: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}\n  → {self.to_do}"
