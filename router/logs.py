"""The log: one line of JSON a record, or readable colour on a terminal; and a line a request, made of its row."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any, TextIO

import msgspec

from providers.splice import encode
from router.state.values import Row

_COLOURS = {"DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


EVERY = 0.25
"""Seconds a line about a request waits at most, so that many are written at once."""


class Tried(msgspec.Struct, gc=False):
    """One attempt in a request's line."""

    endpoint: str
    result: str
    duration: float


class Line(msgspec.Struct, gc=False):
    """A request's. Unix time, seconds, USD as a decimal string; texts cut to sensible lengths."""

    time: float
    level: str
    message: str
    id: str
    status: int
    requested: str
    model: str | None
    provider: str | None
    stream: bool
    key: str | None
    duration: float
    overhead: float
    first_token: float | None
    prompt_tokens: int
    completion_tokens: int
    cost: str
    attempts: list[Tried]


class RequestLog:
    """One line a request: what was decided and how long it took. Never what was said.

    It writes by itself: a record of the logging module costs as much as the rest of a request.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._say = _sentence if self._stream.isatty() else _json
        self._waiting: list[tuple[float, Row]] = []

    def add(self, row: Row) -> None:
        """Take the row of a request that just ended. Never waits."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(EVERY, self.flush)
        self._waiting.append((time.time(), row))

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            lines = [self._say(line_of(when, row)) for when, row in self._waiting]
            self._waiting.clear()
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


def line_of(when: float, row: Row) -> Line:
    """The line of a request that ended `when` (Unix time)."""
    return Line(
        when,
        "warning" if row.status >= 500 else "info",
        "request",
        row.id,
        row.status,
        row.requested[:200],
        row.model,
        row.provider,
        row.stream,
        row.key_name or None,
        round(row.duration, 6),
        round(row.overhead, 6),
        row.first_token,
        row.prompt,
        row.completion,
        str(row.cost),
        [Tried(one.tag, one.result, round(one.duration, 6)) for one in row.attempts],
    )


def _json(line: Line) -> str:
    return encode(line).decode()


def _sentence(line: Line) -> str:
    """For a person: `12:00:00 200 model  first (overloaded) → second  0.42 s  $0.0012  gen-…`."""
    tries = " → ".join(
        one.endpoint if one.result == "success" else f"{one.endpoint} ({one.result.replace('_', ' ')})"
        for one in line.attempts
    )
    status = line.status
    colour = "31" if status >= 500 else "33" if status >= 400 else "35" if len(line.attempts) > 1 else "32"
    said = f"{line.model or line.requested}  {tries or 'nobody asked'}  {line.duration:.2f} s  ${line.cost}  {line.id}"
    return f"\x1b[2m{_clock(line.time)}\x1b[0m \x1b[{colour}m{status}\x1b[0m {_inert(said)}"


def _clock(unix: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix))


def _inert(text: str) -> str:
    """Control characters are shown, not obeyed."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class JsonLines(logging.Formatter):
    """One JSON object a line, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        value: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return encode(value).decode()


class Readable(logging.Formatter):
    """For a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        colour = _COLOURS.get(record.levelname, "0")
        said = _inert(record.getMessage())
        line = f"\x1b[2m{_clock(record.created)}\x1b[0m \x1b[{colour}m{record.levelname.lower():<7}\x1b[0m {said}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(stream: TextIO | None = None) -> None:
    """Log to `stream` (stderr): colour where it is a terminal, else JSON."""
    to = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(to)
    handler.setFormatter(Readable() if to.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
