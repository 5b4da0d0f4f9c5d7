"""What can be heard in the file of a recording, and when."""

import wave
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from lab.phones.audio import AUDIBLE, PERIOD, RATE, loudness


def samples_of(file: Path) -> list[int]:
    """Reads a wav file of 8000 samples a second, as Asterisk writes it; returns its samples. Raises ValueError for
    another format."""
    with wave.open(str(file)) as sound:
        if sound.getframerate() != RATE:
            raise ValueError(f"{file}: has {sound.getframerate()} samples a second, not {RATE}")
        data = sound.readframes(sound.getnframes())
    return [int.from_bytes(data[at : at + 2], "little", signed=True) for at in range(0, len(data), 2)]


def heard_at(samples: Sequence[int], tone: int | None) -> list[float]:
    """Returns the seconds at which a phone's tone is audible, in steps of 40 ms. Raises ValueError for a phone without
    a tone."""
    if tone is None:
        raise ValueError("a phone without a tone is heard nowhere")
    stretches = range(0, len(samples) - PERIOD + 1, PERIOD)
    return [at / RATE for at in stretches if loudness(samples[at : at + PERIOD], tone) > AUDIBLE]


def longest_gap(times: Sequence[float]) -> float:
    """Seconds between two that follow each other; ValueError for fewer than two."""
    return max(later - earlier for earlier, later in pairwise(times))
