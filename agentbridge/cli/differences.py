"""What the daemon would do now, worked out by the same parts, with connections of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agentbridge.asterisk.ami.link import Account, Timing
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.listener import NoListener
from agentbridge.asterisk.node import Node
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.directory.postgres import Directory
from agentbridge.model import Fate, Loss
from agentbridge.plan.difference import Plan
from agentbridge.plan.limit import Limit, Refusal, all_that_could_be_lost, losses_of, who
from agentbridge.reconcile.comparison import Comparer, in_parts, merged
from agentbridge.reconcile.work_queue import Cause
from agentbridge.settings import Settings

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The steps that would make Asterisk as the directory says, and which of its removals would be held back, if
    any."""

    plan: Plan
    refusal: Refusal | None


async def work_out(settings: Settings) -> Difference:
    """Reads directory and Asterisk once and returns the difference; changes nothing. Raises Unavailable or Refused."""
    directory = Directory(
        settings.database.url(), node=settings.node.name, deadline=settings.database.statement_seconds
    )
    ari = Ari(settings.ari.url, settings.ari.username, settings.ari.password(), deadline=settings.ari.deadline_seconds)
    async with directory, ari:
        node = Node(
            Account(settings.ami.host, settings.ami.port, settings.ami.username, settings.ami.password()),
            ari,
            NoListener(),
            timing=Timing(connect=CONNECT_SECONDS, boot=CONNECT_SECONDS),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                links = tasks.create_task(node.run(), name="links")
                await node.read_all(timeout=CONNECT_SECONDS)
                found = await _compare(settings, directory, node)
                links.cancel()
        except ExceptionGroup as group:
            # the first is the cause; that it comes in a group is the TaskGroup's way
            raise group.exceptions[0] from None
        return found


async def _compare(settings: Settings, directory: Directory, node: Node) -> Difference:
    """Returns the difference between a directory and a node that was read."""
    comparer = Comparer(
        directory,
        node,
        SipDefaults(
            realm=settings.sip.realm,
            qualify_seconds=settings.sip.qualify_seconds,
            browser_qualify_seconds=settings.browser.qualify_seconds,
        ),
    )
    keys = await comparer.all_keys()
    if not keys:
        return Difference(Plan(), None)
    parts = [await comparer.compare(dict.fromkeys(part, Cause.RESYNC)) async for part in in_parts(keys)]
    planned = merged(parts).plan
    return Difference(planned, await _refusal(settings, directory, node, planned))


async def _refusal(settings: Settings, directory: Directory, node: Node, planned: Plan) -> Refusal | None:
    """Returns which removals the daemon's guard would hold back, confirmations left aside; None for none."""
    if not await _vanished(directory, losses_of(planned, node)):
        return None
    limit = Limit(share=settings.limits.removals_share, at_least=settings.limits.removals_at_least)
    vanished = {who(loss) for loss in await _vanished(directory, list(all_that_could_be_lost(node)))}
    owned = len(node.owned())
    return None if limit.allows(len(vanished), owned) else Refusal(len(vanished), owned)


async def _vanished(directory: Directory, losses: list[Loss]) -> list[Loss]:
    return [loss for loss, fate in (await directory.judge(losses)).items() if fate is Fate.VANISHED]
