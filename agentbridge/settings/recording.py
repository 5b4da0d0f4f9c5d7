"""The settings of recordings: section `[recording]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentbridge.settings.section import Section


class Recording(Section):
    """How recordings of calls are handled while they run."""

    resume_after_seconds: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = 120.0
    """Seconds after which a paused recording goes on by itself: long enough to read out a card number, and a
    pause that was forgotten does not lose the rest of the call."""
