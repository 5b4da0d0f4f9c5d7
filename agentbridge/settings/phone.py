"""The settings of agents' devices, and of the telephone as a way in: sections `[hot_desk]`, `[browser]`, `[phone]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agentbridge.settings.section import Section

PROMPTS = {
    "number": ["sound:agent-user", "tone:!600/150,!0/100"],
    "pin": ["sound:agent-pass", "tone:!600/150,!0/100,!600/150,!0/100"],
    "reason": ["sound:beep", "tone:!800/150,!0/100"],
    "wrong": ["sound:agent-incorrect", "tone:!350/400,!0/100"],
    "refused": ["sound:feature-not-avail-line", "tone:!350/200,!0/100,!350/200,!0/100"],
    "logged_in": ["sound:agent-loginok", "tone:!900/150,!1200/300"],
    "logged_out": ["sound:agent-loggedoff", "tone:!1200/150,!900/300"],
    "paused": ["sound:activated", "tone:!1000/200"],
    "unpaused": ["sound:de-activated", "tone:!1000/100,!0/100,!1000/100"],
    "forwarded": ["sound:activated", "tone:!1000/150,!1400/300"],
    "not_forwarded": ["sound:de-activated", "tone:!1400/150,!1000/300"],
    "recording_paused": ["sound:activated", "tone:!700/200"],
    "recording_resumed": ["sound:de-activated", "tone:!700/100,!0/100,!700/100"],
    "recording_started": ["sound:activated", "tone:!700/100,!1100/300"],
    "late": ["sound:please-try-call-later", "tone:!350/200,!0/100,!350/200,!0/100,!350/200"],
    "goodbye": ["sound:vm-goodbye", "tone:!600/100,!0/100,!400/300"],
}
"""prompt → what is played, the first that this Asterisk has"""
REASONS = {"1": "break", "2": "lunch", "3": "meeting", "4": "training", "5": "back office"}

PromptName = Literal[
    "number",
    "pin",
    "reason",
    "wrong",
    "refused",
    "logged_in",
    "logged_out",
    "paused",
    "unpaused",
    "forwarded",
    "not_forwarded",
    "recording_paused",
    "recording_resumed",
    "recording_started",
    "late",
    "goodbye",
]
Reason = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^;,|\x00-\x1f\x7f]+$")]
Digits = Annotated[str, Field(pattern=r"^[0-9]{1,4}$")]
Media = Annotated[
    list[Annotated[str, Field(pattern=r"^(sound|tone|digits|number|characters):[^\x00-\x1f]+$")]], Field(min_length=1)
]
Limit = Annotated[float, Field(ge=0.5, le=600, allow_inf_nan=False)]


class HotDesk(Section):
    """How often telephones' registrations are written, and what happens to an agent whose telephone is lost."""

    settle_seconds: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 5.0
    """Seconds between two writes of the same telephone's registration: what a flapping one costs at most."""
    lost_after_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 30.0
    """Seconds without registration after which an agent's telephone counts as lost."""
    lost_action: Literal["pause", "logout", "nothing"] = "pause"
    """What then happens to the agent; the pause has the reason `telephone lost`. It never rings meanwhile."""
    back_action: Literal["unpause", "nothing"] = "unpause"
    """What happens to an agent of that pause when the telephone is registered again."""


class Browser(Section):
    """How it is noticed that an agent's browser phone (typology webrtc) is lost, and what happens to the agent then."""

    qualify_seconds: Annotated[int, Field(ge=0, le=3600)] = 15
    """Seconds between Asterisk's OPTIONS to each browser: a network that went without a word shows after one that is
    not answered; 0 is never."""
    lost_after_seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)] = 60.0
    """Seconds for which Asterisk can't reach an agent's browser, e.g. a tab that died, before it counts as lost; a page
    that is loaded anew takes a few."""
    lost_action: Literal["pause", "logout", "nothing"] = "pause"
    """What then happens to the agent; the pause has the reason `browser lost`. It never rings meanwhile."""
    back_action: Literal["unpause", "nothing"] = "unpause"
    """What happens to an agent of that pause when its browser is registered again."""


class Phone(Section):
    """Feature codes for login and pause from a telephone: limits of one call and of all together, reasons and
    prompts."""

    enabled: bool = True
    """Whether the feature codes for login, logout and pause are answered."""
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    """How often number and PIN may be entered in one call."""
    digit_seconds: Limit = 4.0
    """Seconds after a digit without another: then the input is complete; `#` completes it at once."""
    input_seconds: Limit = 12.0
    """Seconds for one input in all, the prompt included."""
    call_seconds: Limit = 90.0
    """Seconds for the whole conversation."""
    confirm_seconds: Limit = 5.0
    """Seconds that the caller waits for Asterisk to have the change, before hearing that it is not there yet."""
    calls: Annotated[int, Field(ge=1, le=1000)] = 100
    """Conversations at the same time; a further caller hears that it does not work now."""
    reasons: dict[Digits, Reason] = Field(default_factory=lambda: dict(REASONS))
    """The pause reason for each number."""
    prompts: dict[PromptName, Media] = Field(default_factory=dict)
    """prompt = what is played, the first that Asterisk has: `sound:` a file's name, `tone:` tones."""

    def media(self, prompt: PromptName) -> list[str]:
        return self.prompts.get(prompt) or PROMPTS[prompt]
