"""Behaviours below JSON: other spellings of the same events, raw bytes, and connections that just end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from providers.sandbox.reply import Ending, Kind, Piece, Reply, Script, Write
from providers.sandbox.stage import Bend, Inner, Stage


@dataclass(frozen=True, slots=True)
class Wire(Bend):
    """The same answer, spelled differently.

    `split`: bytes a write, or the offsets at which the body is divided; then every part goes out alone.
    `ascii`: JSON with \\u escapes. `done` / `final_blank`: whether there is a `[DONE]`, a last blank line.
    """

    split: int | tuple[int, ...] | None = None
    line_end: Literal["\n", "\r\n", "\r"] = "\n"
    space: bool = True
    bom: bool = False
    ascii: bool = False
    done: bool = True
    final_blank: bool = True
    of: Inner = None

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        pieces = [piece for piece in reply.pieces if self.done or piece.kind is not Kind.DONE]
        if reply.streams:
            pieces = [replace(piece, data=self._spelled(piece.data)) for piece in pieces]
        if pieces and not self.final_blank:
            pieces[-1] = replace(pieces[-1], data=pieces[-1].data.rstrip(b"\r\n"))
        if pieces and self.bom:
            pieces[0] = replace(pieces[0], data=b"\xef\xbb\xbf" + pieces[0].data)
        return replace(reply, pieces=tuple(_divided(pieces, self.split)))

    def _spelled(self, data: bytes) -> bytes:
        if not self.space and data.startswith(b"data: "):
            data = b"data:" + data[6:]
        if self.ascii:
            data = re.sub(r"[^\x00-\x7f]+", _escaped, data.decode()).encode()
        return data.replace(b"\n", self.line_end.encode())


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def _divided(pieces: list[Piece], split: int | tuple[int, ...] | None) -> Iterator[Piece]:
    if split is None:
        yield from pieces
    elif isinstance(split, int):
        for piece in pieces:
            for at in range(0, len(piece.data), split):
                delay = 0.0 if at else piece.delay
                yield Piece(piece.data[at : at + split], piece.kind, delay, alone=True)
    else:
        body = b"".join(piece.data for piece in pieces)
        for start, end in zip((0, *split), (*split, len(body)), strict=True):
            yield Piece(body[start:end], Kind.BODY, alone=True)


@dataclass(frozen=True, slots=True)
class RawBytes:
    """Exactly these bytes, head included; then `repeat` so many times; then the ending.

    `split`: bytes a write. The bytes are sent as they are, with no framing of ours.
    """

    data: bytes
    split: int | None = None
    repeat: bytes = b""
    times: int = 0
    ending: Ending = Ending.FIN

    def perform(self, stage: Stage) -> Script:
        return Script(self._writes(), self.ending)

    def _writes(self) -> Iterator[Write]:
        size = self.split or max(1, len(self.data))
        for at in range(0, len(self.data), size):
            yield Write(0.0, self.data[at : at + size], alone=True)
        for _ in range(self.times):
            yield Write(0.0, self.repeat)


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is closed without an answer; `after` seconds."""

    after: float = 0.0

    def perform(self, stage: Stage) -> Script:
        return Script((Write(self.after, b""),), Ending.FIN)


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset without an answer; `after` seconds."""

    after: float = 0.0

    def perform(self, stage: Stage) -> Script:
        return Script((Write(self.after, b""),), Ending.RST)


def event_stream(body: bytes, status: int = 200, content_type: str = "text/event-stream") -> bytes:
    """A close-delimited answer's bytes, to be given to RawBytes."""
    return f"HTTP/1.1 {status} OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode() + body


def json_answer(body: bytes, status: int = 200) -> bytes:
    """A JSON answer's bytes with Content-Length, to be given to RawBytes."""
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
