"""A pass over very many keys of which Asterisk has nothing yet: the order of its writes, and what comes meanwhile."""

import asyncio
from collections.abc import Iterator

import pytest

from agentbridge.model import AddMember, AgentId, CallOptions, EndpointId, ObjectKind, PutObject, PutPolicy, Step
from agentbridge.reconcile import filling, reconciler
from agentbridge.reconcile.ports import Outcome
from tests.unit.test_reconcile import Loop, log_in

NUMBERS = range(1001, 1201)
KEYS = {EndpointId(str(number)) for number in NUMBERS}


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A directory of two hundred agents, which is many here, and an Asterisk that knows nothing of them yet."""
    monkeypatch.setattr(reconciler, "BIG", 20)
    monkeypatch.setattr(filling, "SLICE", 20)
    loop = Loop()
    loop.directory.hint = lambda _: None
    for number in NUMBERS:
        log_in(loop, number)
    yield loop
    assert loop.asterisk.offences == []
    loop.clock.end()


def _kind(step: Step) -> str:
    match step.action:
        case PutObject(kind=kind):
            return str(kind)
        case PutPolicy():
            return "policy"
        case AddMember():
            return "member"
        case _:
            raise AssertionError(step)


def test_aors_come_before_all_endpoints_and_members_after_them(loop: Loop) -> None:
    loop.look_again()
    kinds = [_kind(step) for step in loop.written]
    first, last = kinds.index, lambda kind: len(kinds) - 1 - kinds[::-1].index(kind)
    assert last("aor") < first("auth")
    assert last("policy") < first("auth")
    assert first("auth") < first("endpoint") < last("auth")  # slice by slice
    assert last("endpoint") < first("member")
    assert kinds.count("member") == kinds.count("endpoint") == kinds.count("aor") == len(NUMBERS)
    assert loop.directory.outcomes == dict.fromkeys(KEYS, Outcome())


def test_a_second_look_at_many_writes_nothing(loop: Loop) -> None:
    loop.look_again()
    loop.written.clear()
    loop.look_again()
    assert loop.written == []


def test_what_changes_meanwhile_does_not_wait_and_is_not_overwritten(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent's option changes when the first endpoint is written: it is set before the last one."""
    apply = loop.asterisk.apply
    changed: list[Step] = []

    async def watched(step: Step) -> None:
        if not changed and _kind(step) == "endpoint":
            changed.append(step)
            key = EndpointId("1200")
            loop.directory.change(AgentId(1200), options=CallOptions(chanspy=True))
            loop.reconciler.mark([key], reconciler.Cause.CHANGE)
        await asyncio.sleep(0.01)
        await apply(step)

    monkeypatch.setattr(loop.asterisk, "apply", watched)
    loop.look_again()
    option = [step.action for step in loop.written].index(PutPolicy("agent/1200/chanspy", "1"))
    kinds = [_kind(step) for step in loop.written]
    assert option < len(kinds) - 1 - kinds[::-1].index("endpoint")
    assert loop.directory.outcomes == dict.fromkeys(KEYS, Outcome())


def test_a_key_that_asterisk_refuses_is_told_and_tried_again(loop: Loop) -> None:
    refused = EndpointId("1005")
    loop.asterisk.faults.refuse.add(refused)
    loop.clock.run(loop.look())
    loop.pass_time(1)
    assert loop.directory.outcomes[refused].error
    assert len(loop.asterisk.members) == len(NUMBERS) - 1
    loop.asterisk.faults.refuse.clear()
    loop.settle()
    assert loop.directory.outcomes == dict.fromkeys(KEYS, Outcome())


@pytest.mark.parametrize("writes", [5, 470, 950, 1500])
def test_nothing_is_missing_after_asterisk_was_lost_in_the_midst_of_it(loop: Loop, writes: int) -> None:
    loop.asterisk.faults.lose_link_in = writes
    loop.clock.run(loop.look())
    loop.pass_time(5)
    loop.asterisk.faults.lose_link_in = None
    loop.asterisk.restore_link()
    loop.look_again()
    assert len(loop.asterisk.members) == len(NUMBERS)
    assert loop.directory.outcomes == dict.fromkeys(KEYS, Outcome())


def test_everything_is_in_asterisk_when_the_agents_are_there_already_too(loop: Loop) -> None:
    """Some have drifted, and the others are new."""
    loop.look_again()
    for number in range(1001, 1006):
        del loop.asterisk.objects[ObjectKind.ENDPOINT, EndpointId(str(number))]
    del loop.asterisk.entries["agent/1010/id"]
    loop.look_again()
    assert (ObjectKind.ENDPOINT, EndpointId("1003")) in loop.asterisk.objects
    assert loop.asterisk.entries["agent/1010/id"] == "1010"
