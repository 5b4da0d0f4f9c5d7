"""SIP, SDP, digest and tones, without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.phones.audio import LINEAR, PACKET, SILENCE, TONES, encode_ulaw, heard_in, tone_packets
from lab.phones.digest import Credentials, choose, parse_challenge
from lab.phones.sdp import Direction, Sdp, answer_to, parse_sdp
from lab.phones.sip_message import (
    Request,
    Response,
    SipSyntaxError,
    StreamParser,
    acknowledge_refusal,
    cancel,
    parse,
    parse_name_addr,
)

INVITE = (
    b"INVITE sip:1001@127.0.0.1:5070 SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bKaa\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKbb\r\n"
    b'f: "Ann; B" <sip:0301234@127.0.0.1>;tag=one\r\n'
    b"t: <sip:1001@127.0.0.1>\r\n"
    b"i: abc@host\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"Subject: first\r\n  second\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)


def invite() -> Request:
    message = parse(INVITE)
    assert isinstance(message, Request)
    return message


def test_a_request_is_taken_apart_compact_and_folded_headers_included() -> None:
    request = invite()
    assert (request.method, request.uri, request.body) == ("INVITE", "sip:1001@127.0.0.1:5070", b"body")
    assert (request.call_id, request.cseq_number, request.cseq_method) == ("abc@host", 7, "INVITE")
    assert request.branch == "z9hG4bKaa"
    assert request.first("subject") == "first second"
    assert (request.sender.display, request.sender.user, request.sender.tag) == ("Ann; B", "0301234", "one")


def test_an_answer_keeps_every_via_and_gets_a_tag_once() -> None:
    answer = invite().answer(486, tag="mine")
    assert answer.all("Via") == invite().all("Via")
    assert (answer.status, answer.reason, answer.receiver.tag) == (486, "Busy Here", "mine")
    again = parse(answer.encode())
    assert isinstance(again, Response)
    assert again.first("Content-Length") == "0"
    assert invite().answer(200, tag="a").receiver.tag == "a"


def test_a_refusal_is_acknowledged_and_a_call_cancelled_in_the_invites_own_transaction() -> None:
    request = invite()
    ack = acknowledge_refusal(request, request.answer(486, tag="theirs"))
    assert (ack.method, ack.branch, ack.first("CSeq")) == ("ACK", request.branch, "7 ACK")
    assert ack.receiver.tag == "theirs"
    stopped = cancel(request)
    assert (stopped.branch, stopped.first("CSeq"), stopped.uri) == (request.branch, "7 CANCEL", request.uri)


@pytest.mark.parametrize(
    ("value", "user", "display"),
    [
        ("<sip:1001@host:5060;transport=tcp>;expires=5", "1001", ""),
        ('"Ann" <sip:ann@host>', "ann", "Ann"),
        ("sip:bob@host;tag=x", "bob", ""),
        ("<sip:host>", "", ""),
    ],
)
def test_the_number_and_the_name_of_a_caller_are_found(value: str, user: str, display: str) -> None:
    found = parse_name_addr(value)
    assert (found.user, found.display) == (user, display)


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"HELLO\r\n\r\n", b"SIP/2.0 200 OK\r\nno colon\r\n\r\n"])
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        parse(data)


@given(st.lists(st.integers(1, 80), max_size=40))
def test_a_tcp_stream_gives_the_same_messages_however_it_is_cut(sizes: list[int]) -> None:
    stream, parser, got = b"\r\n\r\n" + INVITE + INVITE.replace(b"aa", b"cc"), StreamParser(), []
    for size in sizes:
        got += parser.feed(stream[:size])
        stream = stream[size:]
    got += parser.feed(stream)
    assert [message.branch for message in got] == ["z9hG4bKaa", "z9hG4bKcc"]
    assert all(message.body == b"body" for message in got)


def test_the_digest_of_the_rfcs_own_example_comes_out() -> None:
    """RFC 2617, 3.5."""
    challenge = parse_challenge(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    credentials = Credentials("Mufasa", "Circle Of Life")
    value = credentials.answer(challenge, "GET", "/dir/index.html", "0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in value


def test_a_scheme_other_than_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="Digest"):
        parse_challenge('Basic realm="x"')


def test_of_several_challenges_the_one_with_md5_is_answered() -> None:
    offered = [f'Digest realm="asterisk", nonce="{n}", algorithm={n}, qop="auth"' for n in ("SHA-256", "MD5")]
    assert choose(offered).nonce == "MD5"
    with pytest.raises(ValueError, match="SHA-256"):
        choose(offered[:1])


def test_a_session_description_is_read_as_it_was_written() -> None:
    written = Sdp("127.0.0.1", 4000, Direction.SENDONLY, 101)
    assert parse_sdp(written.encode(1, 1)) == written


def test_an_offer_without_ulaw_is_seen() -> None:
    offer = b"v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 5000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n"
    assert parse_sdp(offer) == Sdp("10.0.0.1", 5000, Direction.SENDRECV, 96, has_ulaw=False)


@pytest.mark.parametrize(
    ("offered", "held", "answer"),
    [
        (Direction.SENDRECV, False, Direction.SENDRECV),
        (Direction.SENDONLY, False, Direction.RECVONLY),
        (Direction.RECVONLY, False, Direction.SENDONLY),
        (Direction.SENDRECV, True, Direction.SENDONLY),
        (Direction.SENDONLY, True, Direction.INACTIVE),
        (Direction.INACTIVE, False, Direction.INACTIVE),
    ],
)
def test_an_offer_is_answered_with_its_mirror_image(offered: Direction, held: bool, answer: Direction) -> None:
    assert answer_to(offered, held=held) is answer


def test_ulaw_there_and_back_loses_less_than_one_step() -> None:
    for sample in range(-32000, 32000, 37):
        assert abs(LINEAR[encode_ulaw(sample)] - sample) <= max(8, abs(sample) / 16)


@pytest.mark.parametrize("frequency", TONES)
def test_every_tone_is_told_from_all_others(frequency: int) -> None:
    first, second = tone_packets(frequency)
    assert heard_in([first, second] * 4, TONES) == {frequency}
    assert heard_in([second, first] * 4, TONES) == {frequency}


def test_three_voices_at_once_are_all_heard() -> None:
    voices = [[LINEAR[byte] for byte in b"".join(tone_packets(f))] for f in (400, 1450, 3225)]
    mixed = bytes(encode_ulaw(sum(samples)) for samples in zip(*voices, strict=True))
    assert heard_in([mixed[:PACKET], mixed[PACKET:]] * 4, TONES) == {400, 1450, 3225}


def test_nobody_is_heard_in_silence_or_in_too_little() -> None:
    assert heard_in([SILENCE] * 8, TONES) == frozenset()
    assert heard_in([tone_packets(400)[0]], TONES) == frozenset()
