"""What this Asterisk lacks, and what it means: no fault, since the daemon does without it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentbridge.asterisk import capabilities
from agentbridge.asterisk.drivers.pjsip_fields import MANAGED
from agentbridge.cli.check import modules
from agentbridge.cli.check.findings import Finding, lacks
from agentbridge.cli.check.sight import Sight


async def findings(sight: Sight) -> AsyncIterator[Finding]:
    """Yields what this Asterisk can't do, and what that means."""
    if sight.modules is None or not sight.modules >= modules.ROOTS:
        return  # said already
    found = await capabilities.ask(sight.manager, MANAGED)
    for lack in found.lacks:
        yield lacks(lack, capabilities.meaning(lack))
