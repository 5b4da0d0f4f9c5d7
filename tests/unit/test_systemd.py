"""systemd hears what the daemon tells it, over a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentbridge.service import systemd


@pytest.fixture(autouse=True)
def _never_lost_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_reachability", systemd._Reachability())


@pytest.fixture(params=["path", "abstract"])
def notify_socket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@agentbridge-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    return listener.recv(4096).decode().splitlines()


def test_ready_stopping_and_watchdog_are_heard(notify_socket: socket.socket) -> None:
    systemd.ready()
    systemd.watchdog()
    systemd.stopping()
    assert [heard(notify_socket) for _ in range(3)] == [["READY=1"], ["WATCHDOG=1"], ["STOPPING=1"]]


def test_a_reload_says_when_it_began(notify_socket: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    word, stamp = heard(notify_socket)
    assert word == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_stays_one_line_and_cannot_say_anything_else(notify_socket: socket.socket) -> None:
    systemd.status("Asterisk away\nREADY=1")
    assert heard(notify_socket) == ["STATUS=Asterisk away READY=1"]


def test_without_systemd_nothing_is_sent_and_nothing_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with capture_logs() as lines:
        systemd.ready()
    assert lines == []


def test_a_socket_that_is_gone_is_told_in_the_log_and_does_not_stop_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with capture_logs() as lines:
        systemd.ready()
        systemd.watchdog()
        systemd.watchdog()
    assert [line["event"] for line in lines] == ["systemd.unreachable"], "once, and not at every message"


def test_a_socket_that_is_lost_a_second_time_is_told_again(
    notify_socket: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.environ["NOTIFY_SOCKET"]
    with capture_logs() as lines:
        for where in (f"{there}-gone", there, f"{there}-gone"):
            monkeypatch.setenv("NOTIFY_SOCKET", where)
            systemd.watchdog()
    assert len(lines) == 2
    assert heard(notify_socket) == ["WATCHDOG=1"]


@pytest.mark.parametrize("microseconds", ["0", "-1", "soon", ""])
def test_a_watchdog_of_no_time_is_none(microseconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_seconds() is None


@pytest.mark.parametrize(("pid", "seconds"), [("", 60.0), ("1", None)])
def test_the_watchdog_is_fed_only_by_the_process_that_it_is_meant_for(
    pid: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.watchdog_seconds() == seconds
