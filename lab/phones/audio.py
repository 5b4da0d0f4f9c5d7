"""Tones in G.711 ulaw, and who is heard in a stretch of it. Pure.

Every tone is a multiple of 25 Hz, so that 40 ms hold a whole number of its periods: two packets are sent
for ever, and any even number of packets separates all tones exactly (they are orthogonal over 40 ms).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from operator import mul

RATE = 8000
PACKET = 160  # samples, and bytes: 20 ms
PERIOD = 2 * PACKET
AMPLITUDE = 8000
# A phone that is mixed with others, or softened by a spy's volume, still counts as heard.
AUDIBLE = AMPLITUDE / 5
SILENCE = b"\xff" * PACKET
# 50 Hz apart first; those in between only when a farm has more than 60 phones. DTMF and the low hum stay out.
TONES: tuple[int, ...] = (*range(400, 3400, 50), *range(425, 3400, 50))
DIGITS = "0123456789*#ABCD"


def _decode_ulaw(byte: int) -> int:
    """Returns the 16 bit sample of a ulaw byte."""
    inverted = ~byte & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)
    return 0x84 - magnitude if inverted & 0x80 else magnitude - 0x84


LINEAR: tuple[int, ...] = tuple(_decode_ulaw(byte) for byte in range(256))


def encode_ulaw(sample: int) -> int:
    """Returns the ulaw byte of a 16 bit sample (G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    exponent = max(magnitude.bit_length() - 8, 0)
    return ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)) & 0xFF


@cache
def tone_packets(frequency: int) -> tuple[bytes, bytes]:
    """Returns the two packets (320 samples) of a tone, to be repeated. Raises ValueError unless it is a multiple of 25
    Hz."""
    if frequency % 25 or not 0 < frequency < RATE // 2:
        raise ValueError(f"a tone is a multiple of 25 Hz below 4000 Hz, not {frequency}")
    step = 2 * math.pi * frequency / RATE
    data = bytes(encode_ulaw(round(AMPLITUDE * math.sin(step * i))) for i in range(PERIOD))
    return data[:PACKET], data[PACKET:]


@cache
def _waves(frequency: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns one cosine and one sine wave of the frequency, for measuring it."""
    step = 2 * math.pi * frequency / RATE
    return (
        tuple(math.cos(step * i) for i in range(PERIOD)),
        tuple(math.sin(step * i) for i in range(PERIOD)),
    )


def fold(packets: Sequence[bytes]) -> list[float]:
    """Returns the mean of all 40 ms stretches: what has a period of 40 ms stays, the rest averages out.

    Of an odd number of packets the oldest is left out; empty for fewer than two.
    """
    # where Asterisk changes from one source to another, a packet may be short
    whole = [packet for packet in packets if len(packet) == PACKET]
    data = b"".join(whole[len(whole) % 2 :])
    stretches = [[LINEAR[byte] for byte in data[i : i + PERIOD]] for i in range(0, len(data), PERIOD)]
    return [sum(column) / len(stretches) for column in zip(*stretches, strict=True)]


def loudness(folded: Sequence[float], frequency: int) -> float:
    """Returns the amplitude of one frequency, in units of 16 bit samples."""
    cosine, sine = _waves(frequency)
    return math.hypot(sum(map(mul, folded, cosine)), sum(map(mul, folded, sine))) * 2 / PERIOD


def heard_in(packets: Sequence[bytes], among: Iterable[int]) -> frozenset[int]:
    """Returns which of these frequencies are audible in the packets."""
    folded = fold(packets)
    if not folded:
        return frozenset()
    return frozenset(frequency for frequency in among if loudness(folded, frequency) > AUDIBLE)
