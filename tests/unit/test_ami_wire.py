"""What goes onto the AMI wire and what comes off it, each case whole and byte by byte."""

from collections.abc import Callable

import pytest

from agentbridge.asterisk.ami.wire import HEADERS, LINE_BYTES, Message, Wire, WireBroken, encode
from agentbridge.errors import InvalidValue

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
Feed = Callable[[Wire, bytes], list[Message]]


def whole(wire: Wire, data: bytes) -> list[Message]:
    wire.receive_data(data)
    return drain(wire)


def byte_by_byte(wire: Wire, data: bytes) -> list[Message]:
    return [message for byte in data for message in whole(wire, bytes([byte]))]


def drain(wire: Wire) -> list[Message]:
    messages = []
    while (message := wire.next_message()) is not None:
        messages.append(message)
    return messages


@pytest.fixture(params=[whole, byte_by_byte])
def feed(request: pytest.FixtureRequest) -> Feed:
    feed: Feed = request.param
    return feed


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        pytest.param(
            b"Response: Success\r\nActionID: a-1\r\nPing: Pong\r\n\r\n",
            [[("Response", "Success"), ("ActionID", "a-1"), ("Ping", "Pong")]],
            id="answer",
        ),
        pytest.param(
            b"Event: A\r\n\r\nEvent: B\r\nX: 1\r\n\r\n",
            [[("Event", "A")], [("Event", "B"), ("X", "1")]],
            id="two events",
        ),
        pytest.param(
            b"Response: Success\r\nOutput: a\r\nOutput:   b: c\r\nOutput: \r\nOutput:\r\n\r\n",
            [
                [
                    ("Response", "Success"),
                    ("Output", "a"),
                    ("Output", "  b: c"),
                    ("Output", ""),
                    ("Output", ""),
                ]
            ],
            id="command output keeps order, indent and empty lines",
        ),
        pytest.param(
            "Event: A\r\nMemberName: Zoë Ünal 张\r\n\r\n".encode(),
            [[("Event", "A"), ("MemberName", "Zoë Ünal 张")]],
            id="UTF-8",
        ),
        pytest.param(
            b"Event: A\r\nName: a\xff\xc3b\r\n\r\n",
            [[("Event", "A"), ("Name", "a\ufffd\ufffdb")]],
            id="broken UTF-8 is replaced",
        ),
        pytest.param(
            b"Event: A\r\nVal: one\ntwo\rthree\r\n\r\n",
            [[("Event", "A"), ("Val", "one\ntwo\rthree")]],
            id="a bare LF or CR belongs to the value",
        ),
        pytest.param(
            b"Event: A\r\nVal: one\r\ntwo\r\n\r\n",
            [[("Event", "A"), ("Val", "one\ntwo")]],
            id="a line without a colon continues the value",
        ),
        pytest.param(
            b"\r\n\r\n\r\nEvent: A\r\n\r\n\r\n\r\nEvent: B\r\n\r\n",
            [[("Event", "A")], [("Event", "B")]],
            id="empty lines between messages",
        ),
        pytest.param(b"rubbish\r\n\r\nEvent: A\r\n\r\n", [[], [("Event", "A")]], id="rubbish is an empty message"),
        pytest.param(b"Event: A\r\nhalf", [], id="half a message is none"),
    ],
)
def test_messages_come_out_as_asterisk_sent_them(feed: Feed, data: bytes, headers: list[list[tuple[str, str]]]) -> None:
    wire = Wire()
    assert [list(message.headers) for message in feed(wire, BANNER + data)] == headers
    assert wire.banner == "Asterisk Call Manager/11.0.0"


def test_look_ups_ignore_case_and_give_the_first_of_repeated_headers() -> None:
    [message] = whole(Wire(), BANNER + b"Event: Hangup\r\nActionId: x\r\nVariable: a=1\r\nvariable: b=2\r\n\r\n")
    assert (message.event, message.action_id, message.response) == ("Hangup", "x", None)
    assert message.get("VARIABLE") == "a=1"
    assert message.get_all("Variable") == ["a=1", "b=2"]
    assert message.get("missing") == ""
    assert "hangup" not in message
    assert "EVENT" in message


def test_another_service_on_the_port_is_named(feed: Feed) -> None:
    with pytest.raises(WireBroken, match="not an AMI port"):
        feed(Wire(), b"SSH-2.0-OpenSSH_9.2\r\n")


def test_a_banner_without_end_is_refused(feed: Feed) -> None:
    with pytest.raises(WireBroken, match="does not end"):
        feed(Wire(), b"Asterisk Call Manager/" + b"1" * 2000)


def test_a_message_without_end_is_refused_at_its_limit(feed: Feed) -> None:
    with pytest.raises(WireBroken, match="more than 300 bytes"):
        feed(Wire(limit=300), BANNER + b"Event: A\r\n" + b"Output: filler\r\n" * 30)


def test_many_messages_in_one_read_may_be_more_than_one_message_may() -> None:
    assert len(whole(Wire(limit=300), BANNER + b"Event: A\r\nX: 1\r\n\r\n" * 1000)) == 1000


def test_a_message_of_megabytes_comes_whole_out_of_small_reads() -> None:
    wire, lines = Wire(), [f"Output: line {n} " + "x" * 60 for n in range(40_000)]
    data = BANNER + ("Response: Success\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()
    messages = [m for at in range(0, len(data), 4096) for m in whole(wire, data[at : at + 4096])]
    assert len(messages) == 1
    assert messages[0].output.count("\n") == 39_999


def test_an_action_is_its_headers_in_order_with_repeats() -> None:
    assert encode("QueueAdd", [("Queue", "sales"), ("Variable", "a"), ("Variable", "b")], "x-1") == (
        b"Action: QueueAdd\r\nActionID: x-1\r\nQueue: sales\r\nVariable: a\r\nVariable: b\r\n\r\n"
    )


@pytest.mark.parametrize("breaker", ["\r", "\n", "\0", "\r\n", "\r\n\r\nAction: Command\r\nCommand: core stop now"])
def test_a_line_break_is_refused_wherever_it_stands(breaker: str) -> None:
    with pytest.raises(InvalidValue, match="MemberName: must not contain CR, LF or NUL"):
        encode("QueueAdd", {"MemberName": f"Eve{breaker}"}, "1")
    with pytest.raises(InvalidValue, match="Action: must not"):
        encode(f"Ping{breaker}", {}, "1")
    with pytest.raises(InvalidValue, match="ActionID: must not"):
        encode("Ping", {}, f"1{breaker}")
    with pytest.raises(InvalidValue, match="its name may have letters"):
        encode("Ping", {f"Queue{breaker}": "x"}, "1")


@pytest.mark.parametrize("key", ["", "Member Name", "Queue:", "Größe", "a_b", " Queue"])
def test_a_header_name_is_letters_digits_and_hyphens(key: str) -> None:
    with pytest.raises(InvalidValue, match="its name may have letters"):
        encode("QueueAdd", {key: "x"}, "1")


@pytest.mark.parametrize("value", [None, 5, True, b"x", ["a"]])
def test_only_text_is_sent(value: object) -> None:
    with pytest.raises(InvalidValue, match=r"Penalty: .* must be text"):
        encode("QueueAdd", {"Penalty": value}, "1")  # type: ignore[dict-item]


@pytest.mark.parametrize("key", ["Action", "actionid", "ACTIONID"])
def test_a_field_cannot_replace_the_action_or_its_id(key: str) -> None:
    with pytest.raises(InvalidValue, match="is set by the link"):
        encode("Ping", {key: "Command"}, "1")


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidValue, match="UTF-8"):
        encode("QueueAdd", {"MemberName": "\ud800"}, "1")


def test_a_line_is_measured_in_bytes_with_its_end() -> None:
    room = LINE_BYTES - len("Val: \r\n")
    assert b"x" * room in encode("DBPut", {"Val": "x" * room}, "1")
    assert encode("DBPut", {"Val": "é" * (room // 2)}, "1")
    with pytest.raises(InvalidValue, match="Val: the line is 1025 bytes long"):
        encode("DBPut", {"Val": "x" * (room + 1)}, "1")
    with pytest.raises(InvalidValue, match="Val: the line is"):
        encode("DBPut", {"Val": "é" * (room // 2 + 1)}, "1")


def test_headers_are_counted() -> None:
    assert encode("Originate", [("Variable", "x=1")] * (HEADERS - 2), "1")
    with pytest.raises(InvalidValue, match="129 headers"):
        encode("Originate", [("Variable", "x=1")] * (HEADERS - 1), "1")
