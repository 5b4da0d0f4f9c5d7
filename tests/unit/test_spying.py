"""When the picture of who listens is looked at as a whole."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.calls.spy_attempts import SpyAttempts
from agentbridge.asterisk.calls.spying import Spying
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId
from agentbridge.model.calls import SpyAttempt

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BEFORE = SpyAttempt(channel="1.7", at=NOW, spyer="1002", target=EndpointId("1001"), allowed=True, started_at=NOW)
"""one that began under the daemon before this one"""


class Audit:
    def __init__(self) -> None:
        self.unended: list[SpyAttempt] = []
        self.written: list[SpyAttempt] = []

    async def note_spying(self, attempts: Sequence[SpyAttempt]) -> None:
        self.written += attempts

    async def unended_spying(self) -> list[SpyAttempt]:
        return self.unended


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


@pytest.mark.parametrize(("thrown_out", "ending"), [(True, "revoked"), (False, "unseen")])
def test_one_that_began_before_the_daemon_and_is_gone_at_its_first_look_ended_for_a_reason_that_is_known(
    thrown_out: bool, ending: str
) -> None:
    """A daemon may throw out before it knows from the directory whom."""
    audit = Audit()
    audit.unended = [BEFORE]
    attempts = SpyAttempts(audit, lambda: NOW)
    if thrown_out:
        attempts.revoke(BEFORE.channel)
    attempts.recall([], ())
    asyncio.run(attempts._write())
    assert [one.ending for one in audit.written] == [ending]
