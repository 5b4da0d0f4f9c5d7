"""Findings about the administrator's dialplan: each row of "Wiring" and of the globals in docs/calls.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentbridge.cli.check import dialplan_shown
from agentbridge.cli.check.ami import Manager
from agentbridge.cli.check.database import Wanted
from agentbridge.cli.check.dialplan_shown import Context, Dialplan, Step
from agentbridge.cli.check.findings import Finding

AGENTS, OUTBOUND, FEATURES = "agentbridge-agents", "agentbridge-outbound", "agentbridge-features"
ANSWERED, DIALLED = "agentbridge-member-answer", "agentbridge-before-ring"
OLDER = "agentbridge-member-dial"
"""the same subroutine by its older name"""
QUEUES, REMOTE, FROM_NODES = "agentbridge-queue", "agentbridge-remote", "agentbridge-from-nodes"
CONTEXTS = (AGENTS, OUTBOUND, FEATURES, ANSWERED, DIALLED, QUEUES, REMOTE, FROM_NODES)
OURS = "agentbridge-"
RELOAD = "then `asterisk -rx 'dialplan reload'`"
_ASKS = re.compile(rf"b\((?:{DIALLED}|{OLDER})\^s\^1\((.+?)\)\)")
_CHECKS = re.compile(rf"b\((?:{DIALLED}|{OLDER})\b")
_VARIABLE = re.compile(r"\$\{\w+\}")
"""as in ${QUEUE_OPTIONS}, not ${EXTEN:2}"""


async def shown(manager: Manager) -> Dialplan:
    """Empty without the permission to ask."""
    return dialplan_shown.read(await manager.console("dialplan show"))


async def findings(manager: Manager, dialplan: Dialplan, wanted: Wanted) -> list[Finding]:
    """Checks how the administrator's dialplan and ours work together; returns the findings."""
    if missing := [name for name in CONTEXTS if name not in dialplan.contexts]:
        return [_not_included(missing)]
    variables = dialplan_shown.variables(await manager.console("dialplan show globals"))
    return [
        *_from_agents(dialplan, wanted),
        *_to_agents(dialplan),
        *_queue_calls(dialplan, wanted),
        *_dials(dialplan, wanted),
        *_globals(dialplan, variables, wanted),
        *_listening(dialplan),
    ]


def _not_included(missing: list[str]) -> Finding:
    """Returns the finding that these contexts of ours are not in Asterisk's dialplan."""
    return Finding(
        "dialplan.missing",
        f"the dialplan has no context {', '.join(missing)}: calls would not obey the agents' options",
        'extensions.conf needs #include "agentbridge.conf" (dialplan/agentbridge.conf of this package), then '
        "`asterisk -rx 'dialplan reload'`",
    )


def answers(dialplan: Dialplan, subroutine: str) -> bool:
    """Whether a Queue's subroutine is agentbridge's, or one of the administrator's that leads there."""
    name = re.split("[,(]", subroutine)[0].strip()
    return name == ANSWERED or (name in dialplan.contexts and dialplan.leads(name, ANSWERED, around=OURS))


# ---------------------------------------------------------------- where calls of agents start


def _from_agents(dialplan: Dialplan, wanted: Wanted) -> Iterator[Finding]:
    """Checks the contexts in which agents' own calls start."""
    for name in sorted(wanted.contexts):
        if name not in dialplan.contexts:
            yield Finding(
                "dialplan.no_context",
                f"agents' calls start in context {name}, which the dialplan does not have: each of them fails",
                f"make [{name}] in extensions.conf with include => {FEATURES} and include => {OUTBOUND}, {RELOAD}; "
                "or correct `context` of those agents and telephones",
            )
        else:
            yield from _start(dialplan, name)


def _start(dialplan: Dialplan, name: str) -> Iterator[Finding]:
    """Yields where this context, in which agents' calls start, does not lead to what it must."""
    for target, without in _STARTS:
        if not dialplan.leads(name, target, around=OURS):
            yield Finding(
                "dialplan.not_led",
                f"context {name}, where agents' calls start, does not lead to {target}: {without}",
                f"in extensions.conf, section [{name}]: include => {target}, with {OUTBOUND} last; {RELOAD}",
            )
    includes = dialplan.contexts[name].includes
    if OUTBOUND in includes and FEATURES in includes[includes.index(OUTBOUND) :]:
        yield Finding(
            "dialplan.order",
            f"context {name} includes {FEATURES} behind {OUTBOUND}, which takes every number: no code works",
            f"in extensions.conf, section [{name}]: include => {FEATURES} first, {OUTBOUND} last; {RELOAD}",
        )


_STARTS = (
    (OUTBOUND, "their permissions don't hold, and they show the telephone's caller id"),
    (FEATURES, "nobody can listen, or log in from a telephone"),
)


def _to_agents(dialplan: Dialplan) -> Iterator[Finding]:
    """Yields a finding where no context of the administrator's leads calls to an agent's number."""
    theirs = [name for name in dialplan.contexts if not name.startswith(OURS)]
    if not any(_comes_to(dialplan, dialplan.contexts[name], AGENTS) for name in theirs):
        yield Finding(
            "dialplan.no_numbers",
            f"no context of yours comes to {AGENTS}: only agents can call an agent's number",
            f"in extensions.conf, where customers' calls arrive: exten => _1XXX,1,Goto({AGENTS},${{EXTEN}},1), or as "
            f"the last line include => {AGENTS}; {RELOAD}",
        )


def _comes_to(dialplan: Dialplan, context: Context, target: str) -> bool:
    return context.elsewhere or target in dialplan.named_in(context)


# ---------------------------------------------------------------- what rings agents


def _queue_calls(dialplan: Dialplan, wanted: Wanted) -> Iterator[Finding]:
    """Yields the Queue steps that don't run our subroutine before an agent rings."""
    names = {name.lower() for name in wanted.queues}
    for context, step in _theirs(dialplan, "Queue"):
        queue, options = (*step.arguments, "")[:2]
        ours = queue.lower() in names or (wanted.queues and "${" in queue)
        if ours and not _hidden(options) and not _asks_about(queue, options):
            yield Finding(
                "dialplan.queue",
                f"Queue({queue}) in context {context} has no b({DIALLED}^s^1({queue})): a call on its way rings an "
                "agent who has just paused, nothing is masked, and there is no auto answer",
                f"in extensions.conf: Queue({queue},b({DIALLED}^s^1({queue}))), with your other options; {RELOAD}",
            )


def _dials(dialplan: Dialplan, wanted: Wanted) -> Iterator[Finding]:
    """Yields the Dial steps that call agents directly, without our options for them."""
    for context, step in _theirs(dialplan, "Dial"):
        places, options = step.arguments[0], (*step.arguments, "", "")[2]
        ours = any(_device(place) in wanted.devices for place in places.split("&"))
        if ours and not _hidden(options) and not (_CHECKS.search(options) and f"U({ANSWERED}" in options):
            yield Finding(
                "dialplan.dial",
                f"Dial({places}) in context {context} goes past the agent's options: that call is not checked, "
                "masked, or recorded",
                f"in extensions.conf: Goto({AGENTS},NUMBER,1) instead, or the options b({DIALLED}^s^1)U({ANSWERED}); "
                f"{RELOAD}",
            )


def _theirs(dialplan: Dialplan, application: str) -> Iterator[tuple[str, Step]]:
    """Yields context and step of each use of an application in the administrator's contexts; those with __ are
    Asterisk's own."""
    others = (OURS, "__")
    return ((name, step) for name, step in dialplan.calls_of(application) if not name.startswith(others))


def _device(place: str) -> str:
    """Returns what a PJSIP dial string calls: 1001 for `PJSIP/1001`, an agent's device; 1001@provider for a call over a
    trunk.

    '' for other technologies.
    """
    technology, _, device = place.partition("/")
    return device if technology.upper() == "PJSIP" else ""


def _hidden(options: str) -> bool:
    """Whether the options come from a variable, so that they can't be judged."""
    return _VARIABLE.search(options) is not None


def _asks_about(queue: str, options: str) -> bool:
    """Whether this Queue step runs our subroutine with this queue's own name, for which the pause is asked."""
    found = _ASKS.search(options)
    return found is not None and (found[1].lower() == queue.lower() or "${" in found[1])


# ---------------------------------------------------------------- globals


def _globals(dialplan: Dialplan, variables: dict[str, str], wanted: Wanted) -> Iterator[Finding]:
    """Checks the global variables that our dialplan reads."""
    outside = variables.get("AGENTBRIDGE_OUTBOUND", "")
    if outside and outside not in dialplan.contexts:
        yield Finding(
            "dialplan.no_outside",
            f"AGENTBRIDGE_OUTBOUND is {outside}, which the dialplan does not have: no agent can call outside",
            f"in extensions.conf, section [globals]: AGENTBRIDGE_OUTBOUND = your context for outside calls; {RELOAD}",
        )
    if wanted.prefix_missing:
        yield Finding(
            "dialplan.prefix",
            "agents have prefix_required, and there is no prefix to choose from: none of them can call outside",
            "`agentbridge prefix create 9 label='Head office'`, or switch prefix_required off",
        )


# ---------------------------------------------------------------- listening


def _listening(dialplan: Dialplan) -> Iterator[Finding]:
    """Yields each ChanSpy of the administrator's that can hear an agent who may not be listened to.

    The customer's channel has no SPYGROUP of ours: who listens there hears the agent too.
    """
    for application in ("ChanSpy", "ExtenSpy"):
        for context, step in _theirs(dialplan, application):
            yield Finding(
                "dialplan.chanspy",
                f"{application}({step.data}) in context {context} is not agentbridge's: on a customer's channel it "
                "hears agents who may not be listened to",
                f"in extensions.conf: Goto({FEATURES},*51NUMBER,1) instead, which asks the agent's chanspy; {RELOAD}",
            )
