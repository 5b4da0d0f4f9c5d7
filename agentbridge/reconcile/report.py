"""The log line of each action that was done: `member.paused`, `endpoint.pushed`, `drift.repaired`, ..."""

from __future__ import annotations

import structlog

from agentbridge import metrics
from agentbridge.model import (
    Action,
    AddMember,
    DeleteMailbox,
    DeleteObject,
    DeletePolicy,
    DropContact,
    ObjectKind,
    PauseMember,
    PutMailbox,
    PutObject,
    PutPolicy,
    RemoveMember,
    SetPenalty,
    SetRingInUse,
    Step,
)
from agentbridge.plan.difference import shown_member
from agentbridge.plan.registration import transport_of
from agentbridge.reconcile.work_queue import Cause

log = structlog.get_logger()


def log_step(step: Step, *, cause: Cause, seconds: float) -> None:
    """Logs one line for a step that was done, at a level that depends on its cause.

    A drift is logged as `drift.repaired` with both values. AORs and auths are written along with their endpoint and
    logged at debug. What is absent when everything is compared is new and no drift: so it is at a first start.
    """
    name, now, where = _described(step.action)
    fields = {"agent": step.key, **where, "now": now, "duration_ms": round(seconds * 1000, 1)}
    if isinstance(step.action, DropContact):
        log.warning(name, was=step.was, **fields)
    elif isinstance(step.action, PutObject | DeleteObject) and step.action.kind is not ObjectKind.ENDPOINT:
        log.debug(name, **fields)
    elif cause is Cause.EVENT or (cause is Cause.RESYNC and step.was != "absent"):
        metrics.DRIFT_REPAIRED.labels(name).inc()
        log.warning("drift.repaired", what=name, was=step.was, **fields)
    else:
        log.info(name, was=step.was, **fields)


def _described(action: Action) -> tuple[str, str, dict[str, str]]:
    """Returns how an action is logged: the event's name, the new value, and further fields such as the queue."""
    match action:
        case AddMember(member):
            return "member.added", shown_member(member), {"queue": member.queue}
        case RemoveMember(member):
            return "member.removed", "absent", {"queue": member.queue}
        case PauseMember(queue, _, paused, reason):
            name = "member.paused" if paused else "member.unpaused"
            return name, f"paused reason={reason!r}" if paused else "unpaused", {"queue": queue}
        case SetPenalty(queue, _, penalty):
            return "member.penalty_set", f"penalty={penalty}", {"queue": queue}
        case SetRingInUse(queue, _, ring_in_use):
            return "member.ring_in_use_set", f"ring_in_use={ring_in_use}", {"queue": queue}
        case _:
            return _described_otherwise(action)


def _described_otherwise(
    action: PutObject | DeleteObject | PutPolicy | DeletePolicy | PutMailbox | DeleteMailbox | DropContact,
) -> tuple[str, str, dict[str, str]]:
    """Returns the same as `_described` for an action that concerns no queue member."""
    match action:
        case PutObject(kind, _, fields):
            return f"{kind}.pushed", ",".join(fields), {}
        case DeleteObject(kind, _):
            return f"{kind}.removed", "absent", {}
        case PutPolicy(path, value):
            return "policy.set", value, {"path": path}
        case DeletePolicy(path):
            return "policy.removed", "absent", {"path": path}
        case PutMailbox(_, fields):
            return "mailbox.pushed", ",".join("PIN" if name == "password" else name for name in fields), {}
        case DeleteMailbox():
            return "mailbox.removed", "absent", {}
        case DropContact(_, uri):
            return "contact.refused", "absent", {"transport": transport_of(uri)}
