"""The log: one line an event on standard error, never a secret, and never a reason to stop.

Event names are noun.verb (`member.added`); values are fields. Configured once, and again at a reload.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from agentbridge.settings import Log

STDERR = 2
PATIENCE_MS = 100
"""how long a line may wait for a slow reader of the pipe, while the last line went well"""
CHUNK = select.PIPE_BUF
"""a pipe that is writable takes this many bytes without blocking"""
REDACTED = "[redacted]"
_SECRETS = re.compile(
    r"(^|_)(secrets?|passwords?|passwd|pin|digests?|tokens?|authorization|credentials?|ha1|dsn)(_|$)", re.IGNORECASE
)
_BARE = re.compile(r'[^ ="\\]+')
"""what needs no quotes in logfmt, where it is printable"""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Target:
    """Writes log lines to a file descriptor; it never raises and never blocks.

    A full disk, or a pipe that is closed or that nobody reads, costs lines; they are counted, and reported by the next
    line that gets through.
    """

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._torn = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def msg(self, line: str) -> None:
        """Writes a line; where lines were lost before, that is written first."""
        if self.lost and not self._write(_lost_line(line, self.lost)):
            self.lost += 1
            return
        self.lost = 0 if self._write(line) else 1

    # the names under which structlog calls a logger
    log = debug = info = warn = warning = error = err = critical = fatal = exception = msg

    def _write(self, line: str) -> bool:
        """Writes a line; returns False where it could not be written whole in the time that is left."""
        # what a full disk tore in two must not take the next line with it
        data = (("\n" if self._torn else "") + line + "\n").encode(errors="backslashreplace")
        try:
            while data:
                if not self._takes():
                    return False
                written = os.write(self._descriptor, data[:CHUNK])
                data = data[written:]
                self._torn = bool(data)
        except OSError:  # nowhere to tell it: the next line that gets through does
            return False
        return True

    def _takes(self) -> bool:
        return bool(self._poll.poll(0 if self.lost else PATIENCE_MS))


def _lost_line(line: str, lost: int) -> str:
    """Returns the line that reports lost lines, in the format of the line that follows."""
    if line.startswith("{"):
        return json.dumps({"level": "warning", "event": "log.resumed", "lost": lost})
    return f"level=warning event=log.resumed lost={lost}"


def configure(log: Log, node: str, *, descriptor: int = STDERR) -> None:
    """Makes every logger of structlog, and libraries' from `warning` on, write one line an event in this format."""
    target = Target(descriptor)
    structlog.configure(
        processors=[_node(node), *_COMMON, *_renderers(_format(log.format, descriptor), colours=os.isatty(descriptor))],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[log.level]),
        logger_factory=lambda *_: target,
        # a reload changes the loggers that exist
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


def _format(wanted: str, descriptor: int) -> Literal["console", "logfmt", "json"]:
    """Returns the format: for `auto` console on a terminal, else logfmt."""
    match wanted:
        case "console" | "json" | "logfmt":
            return wanted
        case _:
            return "console" if os.isatty(descriptor) else "logfmt"


def _renderers(chosen: Literal["console", "logfmt", "json"], *, colours: bool) -> list[Processor]:
    """Returns structlog's last steps for a format."""
    match chosen:
        case "json":
            return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
        case "logfmt":
            return [structlog.processors.format_exc_info, logfmt]
        case "console":
            # never the pretty traceback, which shows local variables
            plain = structlog.dev.plain_traceback
            return [_printable, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]


def _node(name: str) -> Processor:
    """Returns the step that adds the node's name to each event."""

    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"node": name, **event}

    return add


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The last net: a field whose name says secret never shows its value, however deep it is."""
    return {key: _redacted(key, value) for key, value in event.items()}


@lru_cache(maxsize=1000)
def _says_secret(key: str) -> bool:
    return _SECRETS.search(key) is not None


def _redacted(key: object, value: Any) -> Any:
    """Returns the value without secrets, at whatever depth they stand."""
    if _says_secret(str(key)) and not isinstance(value, bool):
        return REDACTED
    match value:
        case str() | int() | float():  # first, since a start of thousands of agents is a line for each write
            return value
        case Mapping():
            return {inner: _redacted(inner, deeper) for inner, deeper in value.items()}
        case list() | tuple():
            return [_redacted("", item) for item in value]
        case _:
            return value


_COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    redact,
]


def logfmt(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Renders an event as one line: `timestamp=… level=… event=…`, then its fields in their order."""
    first = [key for key in ("timestamp", "level", "event") if key in event]
    rest = [key for key in event if key not in first]
    return " ".join(f"{_key(key)}={_value(event[key])}" for key in [*first, *rest])


@lru_cache(maxsize=1000)
def _key(key: str) -> str:
    return re.sub(r"[^\w.-]", "_", key)


def _value(value: Any) -> str:
    """Returns the value as logfmt, quoted where it must be."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            text = str(value)
    if text.isprintable() and _BARE.fullmatch(text):
        return text
    # JSON's escapes: no line break, control character or quote of a value gets out of its quotes
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A value must not move the cursor of the terminal that shows it."""
    return {key: _shown(value) for key, value in event.items()}


def _shown(value: Any) -> Any:
    return json.dumps(value)[1:-1] if isinstance(value, str) and not value.isprintable() else value


class _Libraries(logging.Handler):
    """Takes the log records of asyncio, aiohttp and others, and logs them as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs what a library logs, as one event of ours."""
        structlog.get_logger().log(
            record.levelno,
            "library.logged",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info or None,
        )
