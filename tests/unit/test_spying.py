"""When the picture of who listens is looked at as a whole."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.spying import Spying
from agentbridge.errors import Unavailable


class Audit:
    async def note_spying(self, _: object) -> None:
        return

    async def unended_spying(self) -> list[object]:
        return []


class Link:
    """Asterisk without a channel, with something that happens while it lists them."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def action_list(self, *_: object, **__: object) -> list[Message]:
        self.asked += 1
        self.meanwhile()
        return []


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def spying(link: Link) -> Spying:
    return Spying(link, Audit(), lambda _: "", now=lambda: datetime.now(UTC))  # type: ignore[arg-type]  # all that is asked of them


def test_a_look_that_is_asked_for_during_another_is_taken_after_it(link: Link, spying: Spying) -> None:
    spying.look_again()
    link.meanwhile = spying.look_again
    asyncio.run(spying._enforce())
    link.meanwhile = lambda: None
    asyncio.run(spying._enforce())
    asyncio.run(spying._enforce())  # nothing is due any more
    assert link.asked == 2


def test_a_look_that_failed_is_taken_again(link: Link, spying: Spying) -> None:
    def lost() -> None:
        raise Unavailable("Asterisk is lost")

    spying.look_again()
    link.meanwhile = lost
    with pytest.raises(Unavailable):
        asyncio.run(spying._enforce())
    link.meanwhile = lambda: None
    asyncio.run(spying._enforce())
    assert link.asked == 2
