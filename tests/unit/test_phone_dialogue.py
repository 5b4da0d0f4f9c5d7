# ruff: noqa: ARG002  (a fake ignores what the real one needs)
"""What a caller is told at the end of a conversation."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentbridge.model import EndpointId
from agentbridge.phone.dialogue import Dialogue, Verb
from agentbridge.phone.line import Line
from agentbridge.settings import Phone, PromptName

DESK, NUMBER = EndpointId("desk-1"), EndpointId("1001")


@dataclass(frozen=True)
class Seated:
    username: str = "ana"
    internal: EndpointId = NUMBER
    own: bool = False


class SpokenLine(Line):
    """Types what it is given, and keeps what was said."""

    def __init__(self, *typed: str) -> None:
        self.channel, self.typed, self.said = "1", list(typed), list[PromptName]()

    async def ask(self, prompt: PromptName, longest: int) -> str:
        return self.typed.pop(0)

    async def say(self, prompt: PromptName) -> None:
        self.said.append(prompt)

    async def wait_for(self, seconds: float) -> None:
        pass

    def forget_digits(self) -> None:
        pass


@dataclass
class FakeDesk:
    """`seated`: who sits at the telephone, at each time that it is asked for; the last answer stays."""

    seated: list[Seated | None]
    known: bool = True
    done: list[str] = field(default_factory=list)

    async def caller(self, device: EndpointId) -> Seated | None:
        return self.seated.pop(0) if len(self.seated) > 1 else self.seated[0]

    async def has_device(self, device: EndpointId) -> bool:
        return self.known

    async def identify(self, internal: EndpointId, pin: str) -> str | None:
        self.done.append("identify")
        return "ana"

    async def log_in(self, username: str, device: EndpointId) -> None:
        self.done.append("log_in")

    async def log_out(self, username: str) -> None:
        raise AssertionError

    async def pause(self, username: str, reason: str) -> None:
        raise AssertionError

    async def unpause(self, username: str) -> None:
        raise AssertionError

    async def in_asterisk(self, username: str, within: float) -> str | None:
        return None


async def test_who_is_still_on_the_telephone_after_the_login_hears_so() -> None:
    line = SpokenLine("1001", "4821")
    await Dialogue(FakeDesk([None, Seated()]), Phone()).hold(line, DESK, Verb.LOGIN, "")
    assert line.said == ["logged_in"]


async def test_of_two_logins_of_one_agent_at_once_the_one_that_was_moved_hears_no() -> None:
    line = SpokenLine("1001", "4821")
    await Dialogue(FakeDesk([None, None]), Phone()).hold(line, DESK, Verb.LOGIN, "")
    assert line.said == ["refused"]


async def test_a_device_that_is_not_in_the_directory_is_asked_nothing_and_told_nothing() -> None:
    line, desk = SpokenLine("1001", "4821"), FakeDesk([None], known=False)
    await Dialogue(desk, Phone()).hold(line, EndpointId(""), Verb.LOGIN, "")
    assert (line.said, desk.done, line.typed) == ([], [], ["1001", "4821"])
