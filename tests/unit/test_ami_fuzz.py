"""Any bytes, cut anywhere: the wire gives messages or its one error, and never loses a character."""

import itertools
import string

from hypothesis import given
from hypothesis import strategies as st

from agentbridge.asterisk.ami.wire import Message, Wire, WireBroken, encode
from agentbridge.errors import InvalidValue

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
KEYS = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=30).filter(
    lambda key: key.lower() not in {"action", "actionid"}
)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=200)
FIELDS = st.lists(st.tuples(KEYS, VALUES), max_size=100)
AMI_LIKE = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\r\n",
            b"\r\n\r\n",
            b":",
            b": ",
            b"Event",
            b"Response: Error",
            b"ActionID: 1",
            "é".encode()[:1],
            "é".encode()[1:],
            b"\0",
            b"Output: ",
            BANNER,
        ]
    ),
    max_size=60,
).map(b"".join)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def read(wire: Wire, parts: list[bytes]) -> list[Message]:
    messages = []
    for part in parts:
        wire.receive_data(part)
        while (message := wire.next_message()) is not None:
            messages.append(message)
    return messages


def outcome(parts: list[bytes], limit: int) -> list[Message] | str:
    try:
        return read(Wire(limit), parts)
    except WireBroken:
        return "broken"


@given(
    st.one_of(st.binary(max_size=300), AMI_LIKE),
    st.booleans(),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_any_bytes_in_any_pieces_end_the_same(data: bytes, greeted: bool, cuts: list[int]) -> None:
    data = BANNER + data if greeted else data
    assert outcome(pieces(data, cuts), 10_000) == outcome([data], 10_000)


@given(st.one_of(st.binary(max_size=300), AMI_LIKE), st.lists(st.integers(min_value=0), max_size=8))
def test_the_limit_is_met_alike_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    whole = outcome([BANNER + data], 20)
    assert outcome(pieces(BANNER + data, cuts), 20) == whole


@given(FIELDS, st.lists(st.integers(min_value=0), max_size=20))
def test_what_is_encoded_comes_back_the_same_from_any_pieces(fields: list[tuple[str, str]], cuts: list[int]) -> None:
    data = encode("QueueAdd", fields, "x-1")
    [message] = read(Wire(), pieces(BANNER + data, cuts))
    assert list(message.headers) == [("Action", "QueueAdd"), ("ActionID", "x-1"), *fields]


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_one_message_or_refused(action: str, key: str, value: str) -> None:
    try:
        data = encode(action, {key: value}, "x-1")
    except InvalidValue:
        return
    assert data.count(b"\r\n\r\n") == 1
    assert data.count(b"\n") == 4
    assert len(read(Wire(), [BANNER + data])) == 1
