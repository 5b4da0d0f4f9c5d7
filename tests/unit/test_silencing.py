"""What becomes of a pause that app_queue makes because a ringing call was hung up by us."""

import asyncio

from structlog.testing import capture_logs

from agentbridge.asterisk.listener import NoListener
from agentbridge.asterisk.silencing import Silencing
from agentbridge.errors import Unavailable
from agentbridge.model import EndpointId, Interface, Member, PauseMember, QueueName

WAS = Member(queue=QueueName("sales"), interface=Interface("PJSIP/1001"), name="Anna", penalty=0)


class LostMembers:
    """Members over a link that is lost."""

    async def apply(self, action: PauseMember) -> None:
        del action
        raise Unavailable("no answer from Asterisk")


class Told(NoListener):
    def __init__(self) -> None:
        self.ours: list[EndpointId] = []

    def pause_of_ours(self, key: EndpointId) -> None:
        self.ours.append(key)


async def test_a_pause_of_ours_that_stays_is_told_as_no_pause_of_the_agent() -> None:
    told = Told()
    silencing = Silencing(None, LostMembers(), None, told)  # type: ignore[arg-type] # neither is asked for more
    silencing._own_pauses.put_nowait(WAS)
    with capture_logs() as lines:
        running = asyncio.create_task(silencing._take_back_pauses())
        async with asyncio.timeout(5):
            while not told.ours:  # noqa: ASYNC110 - a plain list
                await asyncio.sleep(0)
        running.cancel()
    assert told.ours == [EndpointId("1001")]
    assert [line["event"] for line in lines] == ["autopause.not_undone"]
