"""What a recording's name says, and that nothing else is taken for one."""

import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridge.model import EndpointId, Recording
from agentbridge.model.calls import recording_file, recording_path

GOOD = "monitor/agentbridge/2026/11/24/lab-1795530769.12-1001-1.wav"


def test_a_name_says_call_agent_part_format_and_when_the_call_began() -> None:
    file = recording_file(GOOD)
    assert file is not None
    assert (file.linkedid, file.internal, file.part, file.format) == ("lab-1795530769.12", "1001", 1, Recording.WAV)
    assert file.call_began == datetime.fromtimestamp(1795530769, UTC)
    assert file.stem == GOOD.removesuffix(".wav")


@pytest.mark.parametrize("where", ["/var/spool/asterisk/monitor/", "/srv/monitor/", "monitor/", ""])
def test_the_same_file_is_the_same_however_it_is_told(where: str) -> None:
    file = recording_file(f"{where}agentbridge/2026/11/24/lab-1795530769.12-1001-1.wav")
    assert file is not None
    assert file.path == GOOD


@pytest.mark.parametrize(("suffix", "kind"), [("wav", Recording.WAV), ("WAV", Recording.WAV49), ("gsm", Recording.GSM)])
def test_the_suffix_is_the_format(suffix: str, kind: Recording) -> None:
    file = recording_file(f"monitor/agentbridge/2026/11/24/1795530769.12-1001-2.{suffix}")
    assert file is not None
    assert file.format is kind


@pytest.mark.parametrize(
    "path",
    [
        "",
        "monitor/agentbridge/2026/11/24/lab-1795530769.12-1001-3.wav",
        "monitor/agentbridge/2026/11/24/lab-1795530769.12-1001-1.mp3",
        "monitor/agentbridge/2026/11/24/lab-1795530769.12-1001-1.wav.tmp",
        "monitor/agentbridge/2026/11/24/lab-1795530769.12-ana-1.wav",
        "monitor/agentbridge/2026/11/24/lab-1795530769.12-1001-1.wav\n",
        "monitor/agentbridge/2026/11/24/../lab-1795530769.12-1001-1.wav",
        "monitor/agentbridge/26/1/4/lab-1795530769.12-1001-1.wav",
        "monitor/agentbridge/2026/11/24/a,b-1795530769.12-1001-1.wav",
        "monitor/agentbridge/2026/11/24/$(id)-1795530769.12-1001-1.wav",
        "monitor/other/2026/11/24/lab-1795530769.12-1001-1.wav",
        "/home/agentbridge/2026/11/24/lab-1795530769.12-1001-1.wav",
    ],
)
def test_whatever_else_lies_there_is_no_recording(path: str) -> None:
    assert recording_file(path) is None


@given(
    linkedid=st.one_of(st.text(max_size=40), st.from_regex(r"[a-z-]{0,20}-?[0-9]{9,11}\.[0-9]{1,9}", fullmatch=True)),
    internal=st.one_of(st.text(max_size=20), st.text(string.digits, min_size=1, max_size=16)),
    part=st.integers(-1, 4),
    kind=st.sampled_from(Recording),
)
def test_a_path_that_is_made_is_read_back_as_what_it_was_made_of(
    linkedid: str, internal: str, part: int, kind: Recording
) -> None:
    path = recording_path(linkedid, EndpointId(internal), part, kind)
    if path is None:
        return
    file = recording_file(path)
    assert file is not None
    assert (file.linkedid, file.internal, file.part, file.format) == (linkedid, internal, part, kind)
    # what begins MixMonitor's options, or leaves the folder, is in none
    assert path.startswith("monitor/agentbridge/")
    assert path.count("/") == 5
    assert not set(path.rpartition("/")[2]) & set(",;|&$(){}\"'` /\r\n\0")
