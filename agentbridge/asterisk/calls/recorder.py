"""Pausing, resuming, starting and stopping the recordings of a running call.

Asterisk answers Success to a MixMonitorMute even where nothing records, so that what records is looked up
first, by `mixmonitor list`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agentbridge.asterisk.calls.folder import Missing, Size, Unreadable, size_of
from agentbridge.asterisk.calls.live import TIMEOUT_SECONDS, Asks, Channel, channels, set_variable, variable
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import EndpointId, Recording
from agentbridge.model.calls import PARTS, RECORDINGS, SUFFIXES, recording_file, recording_path

PAUSED = "AGENTBRIDGE_RECORDING_PAUSED"
"""channel variable: since when, in seconds of the epoch; so that a daemon that starts later can resume"""
FILE, MONITOR = "AGENTBRIDGE_RECORDING_FILE", "AGENTBRIDGE_RECORDING_ID"
"""channel variables of the latest recording, as the dialplan sets them"""
LONGEST_CALL_DAYS = 7
_INTERNAL = re.compile(r"[0-9]{1,16}")
_SPOOL = re.compile(r"^\s*Spool directory:\s+(/\S.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A running recording of an agent's call: its channel, its MixMonitor id and its file's path without suffix.

    `stem` is below the spool; Asterisk does not list the suffix.
    """

    channel: str
    id: str
    stem: str


async def spool_folder(link: Asks) -> Path:
    """Asks Asterisk for its spool folder (astspooldir). Raises Refused or Unavailable."""
    shown = _SPOOL.search(await link.command("core show settings", timeout=TIMEOUT_SECONDS))
    if shown is None:
        raise Refused("`core show settings` of Asterisk does not say where its spool directory is")
    return Path(shown[1])


class SpoolFolder:
    """Asterisk's spool folder, asked for once."""

    def __init__(self, link: Asks) -> None:
        self._link = link
        self._folder: Path | None = None

    async def get(self) -> Path:
        """Returns Asterisk's spool folder. Raises Unavailable or Refused where Asterisk does not tell it."""
        if self._folder is None:
            self._folder = await spool_folder(self._link)
        return self._folder

    def forget(self) -> None:
        """Asks again at the next `get`."""
        self._folder = None


async def monitors(link: Asks, channel: str) -> list[Monitor]:
    """What records this channel into our folder; nothing when the channel is gone."""
    return ours(channel, await listed(link, channel))


async def listed(link: Asks, channel: str) -> list[tuple[str, str]]:
    """Returns id and path of all recordings (MixMonitors) that run on this channel, whoever began them."""
    shown = await link.command(f"mixmonitor list {channel}", timeout=TIMEOUT_SECONDS)
    rows = (line.split("\t") for line in shown.splitlines() if line.startswith("0x"))
    return [(row[0], row[1]) for row in rows if len(row) > 1 and row[1]]


def ours(channel: str, rows: Iterable[tuple[str, str]]) -> list[Monitor]:
    """Returns those of the listed recordings that are in our folder."""
    return [Monitor(channel=channel, id=id_, stem=stem) for id_, path in rows if (stem := _stem(path)) is not None]


def _stem(path: str) -> str | None:
    """Returns a recording's path without suffix, relative to the spool; None for a file that is not ours."""
    # older versions list the suffix
    named = path if re.search(r"\.(wav|WAV|gsm)$", path) else f"{path}.wav"
    file = recording_file(named)
    return file.stem if file else None


async def mute(link: Asks, monitor: Monitor, *, muted: bool) -> None:
    """Pauses one recording of a channel (`muted`), in both directions, or resumes it.

    An Asterisk that does not know MixMonitorID does that to all recordings of the channel.
    """
    fields = {
        "Channel": monitor.channel,
        "MixMonitorID": monitor.id,
        "Direction": "both",
        "State": "1" if muted else "0",
    }
    await link.action("MixMonitorMute", fields, timeout=TIMEOUT_SECONDS)


async def resume_channel(link: Asks, channel: str) -> int:
    """Resumes all recordings of a channel; returns how many there are."""
    found = await monitors(link, channel)
    for monitor in found:
        await mute(link, monitor, muted=False)
    await set_variable(link, PAUSED, "", channel)
    return len(found)


class Recorder:
    """Starts, stops, pauses and resumes recordings of an agent's calls, by the agent's internal number.

    All methods raise Refused with the reason for the agent, or Unavailable.
    """

    def __init__(self, link: Asks, *, now: Callable[[], datetime]) -> None:
        self._link = link
        self._now = now
        self._starting = asyncio.Lock()

    async def running(self, agent: EndpointId) -> list[Monitor]:
        """Returns the recordings that run on all calls of the agent. Raises Refused when none does."""
        calls = await self._calls(agent)
        found = [monitor for call in calls for monitor in await monitors(self._link, call.name)]
        if not found:
            raise Refused(f"{agent}: nothing is being recorded")
        return found

    async def pause(self, agent: EndpointId) -> list[Monitor]:
        """Pauses the recordings of the agent's calls and returns them. Raises Refused when none runs.

        Silence is written meanwhile, so that the file's timeline stays right.
        """
        found = await self.running(agent)
        since = str(int(self._now().timestamp()))
        for channel in {monitor.channel for monitor in found}:
            await set_variable(self._link, PAUSED, since, channel)
        for monitor in found:
            await mute(self._link, monitor, muted=True)
        return found

    async def resume(self, agent: EndpointId) -> list[Monitor]:
        """Resumes the recordings of the agent's calls and returns them; safe to repeat. Raises Refused when none
        runs."""
        found = await self.running(agent)
        for channel in {monitor.channel for monitor in found}:
            await resume_channel(self._link, channel)
        return found

    async def stop(self, agent: EndpointId) -> list[Monitor]:
        """Ends the recordings of the agent's calls and returns them. Raises Refused when none runs.

        Whether the agent may do that is checked by the caller.
        """
        found = await self.running(agent)
        for monitor in found:
            fields = {"Channel": monitor.channel, "MixMonitorID": monitor.id}
            await self._link.action("StopMixMonitor", fields, timeout=TIMEOUT_SECONDS)
        return found

    async def start(self, agent: EndpointId) -> str:
        """Starts to record the agent's call into a further file; returns its path below the spool.

        Raises Refused unless the agent may record by hand (P4, W5) or its calls are recorded anyway; without a call;
        and for a third file.
        """
        async with self._starting:  # two at a time would take the same file
            call = await self._call_to_record(agent)
            path = await self._free_path(agent, call)
            # before it begins, so that whoever hears of it can see into which file
            await set_variable(self._link, FILE, path, call.name)
            # below Asterisk's own folder: nothing but checked characters, since a comma would begin the options
            file = path.removeprefix("monitor/")
            fields = {"Channel": call.name, "File": file, "Options": f"i({MONITOR})"}
            paused = await variable(self._link, PAUSED, call.name)
            begun = await self._link.action("MixMonitor", fields, timeout=TIMEOUT_SECONDS)
            if paused:  # Asterisk does not mute what begins during a pause
                # by the id of the answer: the list may not have it yet
                stem = path.rpartition(".")[0]
                monitor = Monitor(channel=call.name, id=begun.get("MixMonitorID"), stem=stem)
                await mute(self._link, monitor, muted=True)
            return path

    # ------------------------------------------------------------ the agent's calls

    async def _calls(self, agent: EndpointId) -> list[Channel]:
        """Returns the channels of the agent's device, the latest first."""
        own = {agent, EndpointId((await self._policy(agent)).get("device", ""))}
        found = [channel for channel in await channels(self._link) if channel.endpoint in own]
        return sorted(found, key=_age, reverse=True)

    async def _call_to_record(self, agent: EndpointId) -> Channel:
        """Returns the channel of the agent's call that can be recorded. Raises Refused where there is none or it is not
        allowed."""
        calls = await self._calls(agent)
        policy = await self._policy(agent)
        if policy.get("manual") != "1" and not policy.keys() & {"record", "recordmade"}:
            raise Refused(f"{agent}: may not record by hand; manual_recording is off, and so is record_calls")
        for call in calls:
            if call.up and call.bridged:
                return call
        raise Refused(f"{agent}: is in no call that could be recorded")

    async def _free_path(self, agent: EndpointId, call: Channel) -> str:
        """Returns the path for the next recording of the call. Raises Refused where it has two already."""
        running = {monitor.stem for monitor in await monitors(self._link, call.name)}
        # one that has just begun is not listed yet, and has no file
        latest = recording_file(await variable(self._link, FILE, call.name))
        if latest is not None:
            running.add(latest.stem)
        # a transfer gives the channel another linkedid; its files stay together under the first
        linkedid = latest.linkedid if latest is not None else call.linkedid
        spool = await spool_folder(self._link)
        for part in PARTS:
            path = await self._path(agent, linkedid, part)
            if path.rpartition(".")[0] not in running and not await asyncio.to_thread(self._exists, spool, path):
                return path
        raise Refused(f"{agent}: this call has its two recordings already")

    async def _path(self, agent: EndpointId, linkedid: str, part: int) -> str:
        """Returns the path for a part of a call's recording. Raises Refused where it can't be a file's name."""
        kind = Recording((await self._policy(agent)).get("record", Recording.WAV))
        path = recording_path(linkedid, agent, part, kind)
        if path is None:
            raise Refused(f"{linkedid}: can't be part of a file's name; set a plain systemname in asterisk.conf")
        return path

    def _exists(self, spool: Path, path: str) -> bool:
        """Whether a file of this part of the call exists, in any format, on any day since the call began."""
        file = recording_file(path)
        if file is None:
            return False
        name = Path(file.stem).name
        for folder in self._days(spool, file.call_began):
            for suffix in SUFFIXES:
                match size_of(folder / f"{name}.{suffix}"):
                    case Size():
                        return True
                    case Unreadable() as why:
                        raise Unavailable(f"{why.folder}: can't be looked at: {why.reason}")
                    case Missing():
                        pass
        return False

    def _days(self, spool: Path, since: datetime) -> Iterable[Path]:
        """Returns the folders of the days from today back to the day on which the call began."""
        today = self._now().astimezone().date()
        days = min((today - since.astimezone().date()).days, LONGEST_CALL_DAYS)
        return (spool / RECORDINGS / f"{today - timedelta(days=back):%Y/%m/%d}" for back in range(max(days, 0) + 1))

    async def _policy(self, agent: EndpointId) -> dict[str, str]:
        """Returns the agent's entries in Asterisk's AstDB, so that the same rules hold as for calls, also without the
        directory."""
        if not _INTERNAL.fullmatch(agent):
            raise Refused(f"{agent}: is no internal number (digits), so no agent whose call could be recorded")
        # Getvar reads DB() only on a channel
        tree = {"Family": "agentbridge", "Key": f"agent/{agent}"}
        items = await self._link.action_list("DBGetTree", tree, timeout=TIMEOUT_SECONDS)
        prefix = f"/agentbridge/agent/{agent}/"
        return {
            item.get("Key").removeprefix(prefix): item.get("Val")
            for item in items
            if item.get("Key").startswith(prefix)
        }


def _age(channel: Channel) -> tuple[float, ...]:
    """Returns the numbers of a channel's Uniqueid, such as `lab-1795530769.12`, by which channels sort from old to
    new."""
    return tuple(float(part) for part in channel.uniqueid.rpartition("-")[2].split(".") if part.isdigit())
