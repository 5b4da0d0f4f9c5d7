"""What our Stasis application does with a call: play, stop, keep it for so long, hang up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from agentbridge.asterisk.ari.client import Ari
from agentbridge.errors import Refused


class Channels:
    """Controls the calls in our Stasis application through ARI.

    Methods raise Refused for a call that is gone, Unavailable when Asterisk doesn't answer.
    """

    def __init__(self, ari: Ari) -> None:
        self._ari = ari

    async def play(self, channel: str, playback: str, media: str) -> None:
        """Starts to play `media` to the call and returns at once; an event tells its end. Tones go on until they are
        stopped."""
        # in the body, since a comma in the query would part the media
        body = json.dumps({"media": [media]}).encode()
        await self._ari.request("POST", f"/channels/{quote(channel, safe='')}/play/{quote(playback, safe='')}", body)

    async def stop(self, playback: str) -> None:
        """Stops a playback; one that has ended is as good as stopped."""
        await self._ari.request("DELETE", f"/playbacks/{quote(playback, safe='')}", missing_ok=True)

    async def keep(self, channel: str, seconds: float) -> None:
        """Sets how many seconds from now the call may stay in the Stasis application.

        After them the dialplan takes it back, also from a daemon that hangs.
        """
        query = urlencode({"variable": "TIMEOUT(absolute)", "value": f"{seconds:.1f}"})
        await self._ari.request("POST", f"/channels/{quote(channel, safe='')}/variable?{query}")

    async def go_on(self, channel: str) -> None:
        """Lets the call go on in the dialplan, after `Stasis()`."""
        await self._ari.request("POST", f"/channels/{quote(channel, safe='')}/continue", missing_ok=True)

    async def ring(
        self, device: str, context: str, extension: str, *, variables: Mapping[str, str], seconds: int
    ) -> str:
        """Calls the endpoint `device`; when it answers, its channel goes on at `extension` of the dialplan context.

        Returns the Uniqueid of the new channel at once. seconds: how long it rings at most.
        """
        query = urlencode(
            {
                "endpoint": f"PJSIP/{device}",
                "context": context,
                "extension": extension,
                "priority": 1,
                "timeout": seconds,
            }
        )
        body = json.dumps({"variables": dict(variables)}).encode()
        _, answer = await self._ari.request("POST", f"/channels?{query}", body)
        return str(answer["id"])

    async def hang_up(self, channel: str) -> None:
        await self._ari.request("DELETE", f"/channels/{quote(channel, safe='')}", missing_ok=True)

    async def has_sound(self, name: str) -> bool:
        """Whether Asterisk has a sound of this name. Raises Unavailable."""
        try:
            status, _ = await self._ari.request("GET", f"/sounds/{quote(name, safe='')}", missing_ok=True)
        except Refused:
            return False
        return status == 200
