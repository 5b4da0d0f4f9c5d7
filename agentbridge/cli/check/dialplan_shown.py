"""What `dialplan show` prints, read back: contexts, what they include, and where a call in them may come. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_CONTEXT = re.compile(r"\[ Context '(.+)' created by ")
_INCLUDE = re.compile(r"  Include => +'([^',|]+)")
_SWITCH = re.compile(r"  (?:Alt\. )?Switch => ")
_STEP = re.compile(r"(?:  '.+' => |) +(?:\[\w+\])? +\d+\. (\w+)\((.*)\) +\[[^\[\]]*\]$")
_GLOBAL = re.compile(r"   (\w+)=(.*)")
_WORD = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Step:
    """One priority of an extension: an application and its data, before any substitution."""

    application: str
    data: str

    @property
    def arguments(self) -> list[str]:
        """Splits the data at commas outside parentheses, brackets and braces."""
        parts, depth = [""], 0
        for letter in self.data:
            depth += (letter in "([{") - (letter in ")]}")
            if letter == "," and depth <= 0:
                parts.append("")
            else:
                parts[-1] += letter
        return [part.strip() for part in parts]


@dataclass(slots=True)
class Context:
    """A dialplan context: what it includes, and its steps. elsewhere: a switch asks another place for extensions."""

    includes: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Dialplan:
    """The dialplan as Asterisk shows it: contexts by their name."""

    contexts: Mapping[str, Context]

    def leads(self, start: str, target: str, *, around: str) -> bool:
        """Whether a call may come from context `start` to `target` without passing one that begins with `around`.

        By includes, and by every context that a step names: it finds a way too many rather than one too few.
        """
        seen, waiting = {start}, [start]
        while waiting:
            name = waiting.pop()
            context = self.contexts.get(name, Context())
            if name == target:
                return True
            if name.startswith(around):
                continue
            if context.elsewhere:
                return True
            new = self.named_in(context) - seen
            seen |= new
            waiting += new
        return False

    def named_in(self, context: Context) -> set[str]:
        """Returns the contexts that this one includes or that its steps mention."""
        words = {word for step in context.steps for word in _WORD.findall(step.data)}
        return {*context.includes, *(words & self.contexts.keys())}

    def calls_of(self, application: str) -> Iterator[tuple[str, Step]]:
        """Yields context and step of each use of an application."""
        for name, context in self.contexts.items():
            for step in context.steps:
                if step.application.lower() == application.lower():
                    yield name, step


def read(shown: str) -> Dialplan:
    """Parses the output of `dialplan show`."""
    contexts: dict[str, Context] = {}
    current = Context()
    for line in shown.splitlines():
        if found := _CONTEXT.match(line):
            current = contexts.setdefault(found[1], Context())
        elif found := _INCLUDE.match(line):
            current.includes.append(found[1])
        elif _SWITCH.match(line):
            current.elsewhere = True
        elif found := _STEP.match(line):
            current.steps.append(Step(found[1], found[2]))
    return Dialplan(contexts)


def variables(shown: str) -> dict[str, str]:
    """Returns the variables that `dialplan show globals` prints."""
    return {found[1]: found[2] for line in shown.splitlines() if (found := _GLOBAL.fullmatch(line))}
