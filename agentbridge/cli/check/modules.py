"""Findings about Asterisk's modules: those that must run, and the applications and functions of our dialplan."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable

from agentbridge.cli.check import dialplan_shown
from agentbridge.cli.check.findings import Finding
from agentbridge.cli.check.inspection import Inspection

NEEDED = {
    "res_sorcery_astdb": "pushed endpoints can't be kept, whatever sorcery.conf says",
    "res_sorcery_config": "the static objects of pjsip.conf are gone",
    "res_sorcery_memory_cache": "every call and REGISTER searches the AstDB for its endpoint",
    "res_http_websocket": "nobody can log in from a telephone, and browsers can't register",
    "res_pjsip": "no phone can register",
    "chan_pjsip": "no phone can call or be called",
    "res_pjsip_session": "no phone can call or be called",
    "res_pjsip_registrar": "no phone can register",
    "res_pjsip_authenticator_digest": "no phone can log in with its password",
    "res_pjsip_endpoint_identifier_user": "a phone that registers is taken for nobody",
    "res_pjsip_sdp_rtp": "calls have no audio",
    "res_rtp_asterisk": "calls have no audio",
    "res_ari": "endpoints can't be pushed",
    "res_ari_asterisk": "endpoints can't be pushed",
    "res_ari_events": "nobody can log in or pause from a telephone",
    "res_ari_channels": "nobody can log in or pause from a telephone",
    "app_stasis": "nobody can log in or pause from a telephone",
    "pbx_loopback": "no number exists in our contexts: nobody can call an agent, nor an agent anybody",
    "res_pjsip_notify": "a message lamp shows the last agent's box until the telephone registers again",
}
"""module → what happens without it; what others need comes first, since they then decline to load as well"""
ROOTS = frozenset({"res_sorcery_astdb", "res_sorcery_config", "res_pjsip"})
"""without one of them there is no PJSIP to look at"""
APPLICATIONS = {
    "ChanSpy": ("app_chanspy", "nobody can listen"),
    "Dial": ("app_dial", "nobody can call an agent"),
    "Echo": ("app_echo", "the echo test fails"),
    "ExecIf": ("app_exec", "feature codes and voicemail fail"),
    "Gosub": ("app_stack", "queues ring paused agents, nothing is recorded, and calls end in the middle"),
    "Log": ("app_verbose", "an attempt to listen that no device can be named for leaves no line in Asterisk's log"),
    "MixMonitor": ("app_mixmonitor", "nothing is recorded"),
    "MusicOnHold": ("res_musiconhold", "after a transfer that fails the telephone keeps the call it gave away"),
    "Playback": ("app_playback", "no prompt is heard"),
    "Playtones": ("app_playtones", "no tone is heard"),
    "Queue": ("app_queue", "nobody gets a call of a queue"),
    "Return": ("app_stack", "queues ring paused agents, nothing is recorded, and calls end in the middle"),
    "Stasis": ("app_stasis", "nobody can log in or pause from a telephone"),
    "TryExec": ("app_exec", "which prefixes an agent may choose is not said"),
    "UserEvent": ("app_userevent", "the daemon does not hear of recordings and listening"),
    "VoiceMail": ("app_voicemail", ""),
}
"""application → its module, and what happens without it"""
FUNCTIONS = {
    "CALLERID": ("func_callerid", "agents call with the telephone's own caller id"),
    "CHANNEL": ("func_channel", "no call is known as an agent's"),
    "CHANNELS": ("func_channel", "nobody can listen"),
    "CONNECTEDLINE": ("func_callerid", "no number is masked"),
    "CUT": ("func_cut", "no call is known as an agent's"),
    "DB": ("func_db", "calls don't obey the agents' options"),
    "DB_EXISTS": ("func_db", "no agent's number can be called"),
    "DEVICE_STATE": ("func_devstate", "a busy agent is rung"),
    "DIALPLAN_EXISTS": ("func_dialplan", "nobody can call outside"),
    "FIELDQTY": ("func_strings", "no call is let through"),
    "FILTER": ("func_strings", "no call is let through"),
    "FRAME_DROP": ("func_frame_drop", "the digits of a supervisor who listens end it or move it to another call"),
    "GLOBAL": ("func_global", "nobody can call outside"),
    "IF": ("func_logic", "no call is let through"),
    "IFMODULE": ("func_module", "the digits of a supervisor who listens end it or move it to another call"),
    "IMPORT": ("func_import", "nobody can listen"),
    "LEN": ("func_strings", "no call is let through"),
    "LOCAL": ("app_stack", "queues ring paused agents, nothing is recorded, and calls end in the middle"),
    "PJSIP_DTMF_MODE": ("chan_pjsip", "the digits of a supervisor who listens end it or move it to another call"),
    "PJSIP_HEADER": ("res_pjsip_header_funcs", "no phone answers by itself"),
    "QUEUE_MEMBER": ("app_queue", "paused agents are rung"),
    "REDIRECTING": ("func_callerid", "a forwarded call does not say by whom"),
    "REGEX": ("func_strings", "no call is let through"),
    "STAT": ("func_env", "a recording is written over when the call comes back"),
    "STRFTIME": ("func_strings", "recordings have no folder"),
    "TIMEOUT": ("func_timeout", "a log-in by telephone waits for ever when the daemon is dead"),
    "TRYLOCK": ("func_lock", "two nodes that call an agent at the same moment both ring"),
    "UNLOCK": ("func_lock", "two nodes that call an agent at the same moment both ring"),
    "VM_INFO": ("app_voicemail", ""),
}
"""function → its module, and what happens without it"""
ACTIONS = {
    "CoreShowChannels": ("", "running calls are not known"),
    "DBDel": ("", "options that an agent no longer has stay in force"),
    "DBGet": ("", "an option that is there already is not known to be"),
    "DBGetTree": ("", "what Asterisk has can't be read, so that nothing is done at all"),
    "DBPut": ("", "calls don't obey the agents' options"),
    "DeviceStateList": ("res_manager_devicestate", "busy lamps are wrong after a restart"),
    "Getvar": ("", "recordings can't be paused"),
    "Hangup": ("", "a phone goes on ringing for an agent who left, and who listens is not cut off"),
    "MailboxCount": ("", "message lamps are wrong"),
    "MixMonitor": ("app_mixmonitor", "no second recording can be started"),
    "MixMonitorMute": ("app_mixmonitor", "recordings can't be paused"),
    "PJSIPNotify": (
        "res_pjsip_notify",
        "a message lamp shows the last agent's box until the telephone registers again",
    ),
    "PJSIPShowAuths": ("res_pjsip", "phones that can't log in are not seen"),
    "PJSIPShowContacts": ("res_pjsip", "which phones are registered is not known"),
    "PJSIPShowEndpoints": ("res_pjsip", "phones that can't be called are not seen"),
    "QueueAdd": ("app_queue", "nobody gets a call of a queue"),
    "QueueMemberRingInUse": ("app_queue", "ring in use (P3) is as queues.conf says"),
    "QueuePause": ("app_queue", "nobody can pause"),
    "QueuePenalty": ("app_queue", "penalties are not obeyed"),
    "QueueRemove": ("app_queue", "who logs out is rung on"),
    "QueueStatus": ("app_queue", "the members of queues are not known"),
    "Setvar": ("", "busy lamps don't follow, and listening that is allowed in a call is not"),
    "Status": ("", "a phone goes on ringing for an agent who left"),
    "StopMixMonitor": ("app_mixmonitor", "recordings can't be stopped"),
}
"""action of AMI that the daemon sends → its module ('' for Asterisk itself), and what happens without it"""
ELSEWHERE = frozenset({"app_voicemail", "app_queue"})
"""modules that have a finding of their own: voicemail.py, where agents have boxes, and queues_and_dialplan.py"""
OURS = "agentbridge-"
_FUNCTION = re.compile(r"(?<![A-Za-z_])[A-Z][A-Z_]+(?=\()")
UNKNOWN = "a part of the dialplan of agentbridge fails"


async def findings(inspection: Inspection) -> AsyncIterator[Finding]:
    """Yields the modules of Asterisk that agentbridge needs and that are not loaded."""
    if inspection.modules is None:
        return  # said once for all that needs the console
    missing = {name: without for name, without in NEEDED.items() if name not in inspection.modules}
    async for module, without in _of_the_dialplan(inspection):
        if module not in ELSEWHERE:
            missing.setdefault(module, without)
    async for name, module, without in _of_the_daemon(inspection):
        if module and module not in inspection.modules:
            if module not in ELSEWHERE:
                missing.setdefault(module, without)
        else:
            yield _no_action(name, without)
    for module, without in missing.items():
        yield not_loaded(module, without)


def _no_action(name: str, without: str) -> Finding:
    """Returns the finding about an AMI action that Asterisk does not know. without: what does not work then."""
    return Finding(
        f"action.{name}",
        f"this Asterisk has no AMI action {name}: {without}",
        "a newer Asterisk: docs/installing.md names the oldest that will do",
    )


def not_loaded(module: str, without: str) -> Finding:
    """Returns the finding about a module that is not loaded. without: what does not work then."""
    return Finding(
        f"module.{module}",
        f"Asterisk has not loaded {module}: {without}",
        f"`asterisk -rx 'module load {module}.so'`, take its noload out of modules.conf, and look into Asterisk's log "
        "for why it declined to load",
    )


async def _of_the_dialplan(inspection: Inspection) -> AsyncIterator[tuple[str, str]]:
    """Yields the missing modules that provide what our dialplan calls, each with what does not work without it."""
    manager = inspection.manager
    applications, functions = _used(inspection.dialplan)
    for kind, names, table in (("application", applications, APPLICATIONS), ("function", functions, FUNCTIONS)):
        for name in sorted(names):
            shown = await manager.console(f"core show {kind} {name}")
            if "is (are) not registered" in shown or "No function by that name registered" in shown:
                yield table.get(name, (f"the module of {kind} {name}", UNKNOWN))


async def _of_the_daemon(inspection: Inspection) -> AsyncIterator[tuple[str, str, str]]:
    """Yields the AMI actions that the daemon sends and Asterisk does not know: name, module, and what does not work
    without it."""
    for name, (module, without) in ACTIONS.items():
        # those that this account may not do are not listed either; its permissions are a finding of their own
        if name not in inspection.manager.actions and not await _describes(inspection, name):
            yield name, module, without


async def _describes(inspection: Inspection, action: str) -> bool:
    """An action that is not there is described by nothing at all."""
    return f"Action: {action}" in await inspection.manager.console(f"manager show command {action}")


def _used(dialplan: dialplan_shown.Dialplan) -> tuple[set[str], set[str]]:
    """Returns the applications and functions that our dialplan's contexts call; hints, which name a device, don't
    count."""
    ours: Iterable[dialplan_shown.Step] = (
        step for name, context in dialplan.contexts.items() if name.startswith(OURS) for step in context.steps
    )
    applications: set[str] = set()
    functions: set[str] = set()
    for step in ours:
        applications.add(step.application)
        functions.update(_FUNCTION.findall(step.data))
    return applications, functions
