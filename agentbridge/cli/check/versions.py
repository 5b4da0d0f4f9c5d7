"""What this Asterisk lacks, and what it means: no fault, since the daemon does without it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentbridge.asterisk import capabilities
from agentbridge.asterisk.drivers.pjsip_fields import MANAGED
from agentbridge.cli.check import modules
from agentbridge.cli.check.findings import Finding, lacks, not_seen
from agentbridge.cli.check.inspection import Inspection


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Yields what this version of Asterisk lacks, and what follows from that."""
    if inspection.modules is None or not inspection.modules >= modules.ROOTS:
        return  # said already
    found = await capabilities.ask(inspection.manager, MANAGED)
    for lack in found.lacks:
        yield lacks(lack, capabilities.meaning(lack))
    for name in found.untold:
        yield not_seen(
            name.split()[0],
            f"Asterisk does not say whether it has {name}. Without it {capabilities.meaning(name)}",
            "docs/installing.md names the releases that have it; `asterisk -V` says which one this is",
        )
