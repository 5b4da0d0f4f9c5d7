"""The log: one line an event, readable by machines, without secrets, and never a reason to stop."""

import json
import logging
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import structlog

from agentbridge import logs
from agentbridge.settings import Log

Format = Literal["auto", "console", "logfmt", "json"]


class Output:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)

    def configure(self, form: Format, level: Literal["debug", "info"] = "info") -> None:
        logs.configure(Log(format=form, level=level), "pbx1", descriptor=self._descriptor)

    def lines(self) -> list[str]:
        return self._file.read_text("utf-8").splitlines()

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    output = Output(tmp_path / "log")
    yield output
    output.close()


log = structlog.get_logger()


def test_a_line_has_time_level_event_and_node_before_the_fields(output: Output) -> None:
    output.configure("auto")
    log.info("member.added", agent="1001", queue="sales", duration_ms=3, paused=True, reason=None)
    [line] = output.lines()
    stamp, rest = line.split(" ", 1)
    assert stamp.startswith("timestamp=20")
    assert stamp.endswith("Z")
    assert rest == "level=info event=member.added node=pbx1 agent=1001 queue=sales duration_ms=3 paused=true reason="


@pytest.mark.parametrize(
    "value", ["two\nlevel=error event=fake", 'a "quoted" = b', "\x1b[2J", "back\\slash", "\u2028", ""]
)
def test_no_value_breaks_out_of_its_line_or_its_quotes(output: Output, value: str) -> None:
    output.configure("logfmt")
    log.info("member.added", name=value, after="x")
    [line] = output.lines()
    assert line.isprintable()
    quoted = line.split(" name=", 1)[1].removesuffix(" after=x")
    assert json.loads(quoted) == value


def test_json_is_one_document_a_line(output: Output) -> None:
    output.configure("json")
    log.info("member.added", name="Zoë\n")
    [line] = output.lines()
    document = json.loads(line)
    assert (document["event"], document["name"], document["node"]) == ("member.added", "Zoë\n", "pbx1")


@pytest.mark.parametrize("form", ["logfmt", "json", "console"])
def test_a_secret_by_its_name_is_never_written(output: Output, form: Format) -> None:
    output.configure(form)
    log.info(
        "endpoint.pushed", sip_secret="hunter2", fields={"password_digest": "hunter2", "deep": [{"pin": "hunter2"}]},
        secret="hunter2", dsn="postgresql://u:hunter2@h/d", pins=3, password_changed=True,
    )  # fmt: skip
    [line] = output.lines()
    assert "hunter2" not in line
    assert "[redacted]" in line


@pytest.mark.parametrize("form", ["logfmt", "json", "console"])
def test_a_fault_is_written_without_the_local_variables(output: Output, form: Format) -> None:
    output.configure(form)
    hidden = "hunter2"
    try:
        int(f"x{len(hidden)}")
    except ValueError:
        log.exception("pass.failed")
    text = "\n".join(output.lines())
    assert "ValueError" in text
    assert hidden not in text
    assert form == "console" or len(output.lines()) == 1


def test_a_reload_changes_the_level_of_loggers_that_exist(output: Output) -> None:
    output.configure("logfmt")
    log.debug("pass.started")
    assert output.lines() == []
    output.configure("logfmt", "debug")
    log.debug("pass.started")
    assert len(output.lines()) == 1


def test_what_libraries_say_is_an_event_too(output: Output) -> None:
    output.configure("logfmt")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    logging.getLogger("asyncio").info("not this")
    [line] = output.lines()
    assert 'level=warning event=library.logged node=pbx1 logger=asyncio message="slow callback"' in line


def test_a_terminal_gets_the_console_format_and_no_control_characters() -> None:
    leader, follower = pty.openpty()
    try:
        logs.configure(Log(), "pbx1", descriptor=follower)
        log.info("member.added", name="\x1b]0;owned\x07")
        shown = os.read(leader, 4096).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert not shown.startswith("timestamp=")
    assert "\x1b]0;" not in shown
    assert "\\u001b]0;owned\\u0007" in shown


# ---------------------------------------------------------------- a target that fails


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        logs.configure(Log(), "pbx1", descriptor=descriptor)
        for _ in range(3):
            log.info("member.added")
    finally:
        os.close(descriptor)


def test_a_closed_pipe_costs_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        logs.configure(Log(), "pbx1", descriptor=writer)
        log.info("member.added")
    finally:
        os.close(writer)


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_pipe_that_nobody_reads_is_not_waited_for_and_the_loss_is_told(form: Format) -> None:
    reader, writer = os.pipe()
    try:
        logs.configure(Log(format=form), "pbx1", descriptor=writer)
        for number in range(400):
            log.info("member.added", number=number, filling="x" * 500)
        assert len(os.read(reader, 1 << 20)) <= 1 << 16
        log.info("daemon.ready")
        *_, resumed, ready = os.read(reader, 1 << 20).decode().splitlines()
    finally:
        os.close(reader)
        os.close(writer)
    assert "log.resumed" in resumed
    assert "daemon.ready" in ready
