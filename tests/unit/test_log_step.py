"""The log line of each thing that was done."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from agentbridge.model import (
    Action,
    AddMember,
    DeleteObject,
    DeletePolicy,
    EndpointId,
    Interface,
    Member,
    ObjectKind,
    PauseMember,
    PutObject,
    PutPolicy,
    QueueName,
    RemoveMember,
    SetPenalty,
    Step,
)
from agentbridge.reconcile.work_queue import Cause
from agentbridge.reconcile.writer import log_step

KEY, SALES, ME = EndpointId("1001"), QueueName("sales"), Interface("PJSIP/1001")
ANN = Member(queue=SALES, interface=ME, name="Ann")


def logged(action: Action, cause: Cause = Cause.CHANGE, was: str = "absent") -> dict[str, Any]:
    with capture_logs() as lines:
        log_step(Step(KEY, action, was), cause=cause, seconds=0.0123)
    [line] = lines
    return dict(line)


@pytest.mark.parametrize(
    ("action", "event"),
    [
        (AddMember(ANN), "member.added"),
        (RemoveMember(ANN), "member.removed"),
        (PauseMember(SALES, ME, True, "lunch"), "member.paused"),
        (PauseMember(SALES, ME, False, ""), "member.unpaused"),
        (SetPenalty(SALES, ME, 3), "member.penalty_set"),
        (PutObject(ObjectKind.ENDPOINT, KEY, {"context": "x"}), "endpoint.pushed"),
        (DeleteObject(ObjectKind.ENDPOINT, KEY), "endpoint.removed"),
        (PutPolicy("agent/1001/record", "wav"), "policy.set"),
        (DeletePolicy("agent/1001/record"), "policy.removed"),
    ],
)
def test_a_change_is_one_line_with_its_name_the_agent_and_its_duration(action: Action, event: str) -> None:
    line = logged(action)
    assert (line["event"], line["agent"], line["duration_ms"], line["log_level"]) == (event, KEY, 12.3, "info")


def test_a_member_is_named_with_its_queue() -> None:
    line = logged(AddMember(ANN))
    assert (line["queue"], line["now"], line["was"]) == (SALES, "unpaused penalty=0 name='Ann'", "absent")


@pytest.mark.parametrize(
    ("cause", "was", "level", "event"),
    [
        (Cause.CHANGE, "unpaused", "info", "member.paused"),
        (Cause.EVENT, "unpaused", "warning", "drift.repaired"),
        (Cause.RESYNC, "unpaused", "warning", "drift.repaired"),
        (Cause.RESYNC, "absent", "info", "member.paused"),
    ],
)
def test_a_drift_says_both_values(cause: Cause, was: str, level: str, event: str) -> None:
    line = logged(PauseMember(SALES, ME, True, "lunch"), cause, was)
    assert (line["log_level"], line["event"], line["was"]) == (level, event, was)
    assert line["now"] == "paused reason='lunch'"


@pytest.mark.parametrize("kind", [ObjectKind.AOR, ObjectKind.AUTH])
def test_what_goes_along_with_an_endpoint_is_only_debug(kind: ObjectKind) -> None:
    assert logged(PutObject(kind, KEY, {"a": "b"}))["log_level"] == "debug"


def test_no_value_of_an_object_is_in_the_log() -> None:
    line = logged(PutObject(ObjectKind.AUTH, KEY, {"password_digest": "MD5:geheim"}))
    assert "geheim" not in str(line)
    assert "password_digest" in line["now"]
