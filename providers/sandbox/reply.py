"""An HTTP answer as a value that can be bent by faults, and the bytes and pauses it becomes on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

Header = tuple[str, str]

MARK = b"%SANDBOX-ANSWER-ID%%"
"""Stands for the answer's id in kept renderings; as long as an id, so that lengths hold."""

ABRUPT_BYTES = 64
"""How many bytes a cut body or chunk had announced and never sent."""

_BATCH_BYTES = 64 * 1024


class Kind(Enum):
    """What a piece of a body is."""

    COMMENT = "comment"
    ROLE = "role"
    CONTENT = "content"
    FINISH = "finish"
    USAGE = "usage"
    DONE = "done"
    BODY = "body"
    """A body that is not a stream of events."""


class Phase(Enum):
    """A moment of an answer; a whole number n means: after n content events."""

    REQUEST = "request"
    """The request was read, nothing was sent."""
    PART_OF_HEAD = "part of head"
    HEAD = "head"
    ROLE = "role"
    """After the role chunk and comments, before any content."""


class Framing(Enum):
    """How the body's end is told."""

    CHUNKED = "chunked"
    LENGTH = "length"
    CLOSE = "close"


class Ending(Enum):
    """What becomes of the connection after the last byte."""

    KEEP = "keep"
    FIN = "fin"
    RST = "rst"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a body. `delay` seconds pass before it; `alone`: its write begins a new turn of the loop."""

    data: bytes
    kind: Kind
    delay: float = 0.0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `pieces` may be endless unless the framing is LENGTH."""

    status: int
    headers: tuple[Header, ...]
    pieces: Iterable[Piece]
    framing: Framing
    ending: Ending = Ending.KEEP
    head_delay: float = 0.0
    head_bytes: int | None = None
    """Send only so many bytes of the head and nothing after it."""
    missing: int = 0
    """Bytes of the body announced and never sent."""

    @property
    def streams(self) -> bool:
        """Whether the body is events."""
        return any(name.lower() == "content-type" and "event-stream" in value for name, value in self.headers)


class Write(NamedTuple):
    """`data` to be written after `delay` seconds; `alone`: in a new turn of the loop."""

    delay: float
    data: bytes
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """What a connection performs."""

    writes: Iterable[Write]
    ending: Ending


def script_of(reply: Reply) -> Script:
    """A reply as writes, those without a pause between them put together."""
    return Script(_batched(_writes(reply)), reply.ending)


def position(pieces: Sequence[Piece], after: int | Phase) -> int:
    """The index of the piece before which a fault happens; with too few events, that of the finish.

    A moment before the body is its beginning.
    """
    if after == 0 or after in (Phase.REQUEST, Phase.PART_OF_HEAD, Phase.HEAD):
        return 0
    content = [index for index, piece in enumerate(pieces) if piece.kind is Kind.CONTENT]
    if not isinstance(after, int):
        return content[0] if content else _before_finish(pieces)
    return content[after - 1] + 1 if after <= len(content) else _before_finish(pieces)


def stopped(reply: Reply, pieces: Sequence[Piece], ending: Ending) -> Reply:
    """The reply with only these pieces of a body that announces more."""
    missing = ABRUPT_BYTES if reply.framing is Framing.LENGTH else 0
    return replace(reply, pieces=tuple(pieces), ending=ending, missing=missing)


def _before_finish(pieces: Sequence[Piece]) -> int:
    kinds = (Kind.FINISH, Kind.DONE)
    return next((index for index, piece in enumerate(pieces) if piece.kind in kinds), len(pieces))


def _writes(reply: Reply) -> Iterator[Write]:
    pieces = list(reply.pieces) if reply.framing is Framing.LENGTH else reply.pieces
    head = _head(reply, pieces)
    if reply.head_bytes is not None:
        yield Write(reply.head_delay, head[: reply.head_bytes])
        return
    yield Write(reply.head_delay, head)
    if reply.framing is Framing.CHUNKED:
        yield from _chunks(reply, pieces)
    else:
        yield from (Write(piece.delay, piece.data, piece.alone) for piece in pieces)


def _chunks(reply: Reply, pieces: Iterable[Piece]) -> Iterator[Write]:
    for piece in pieces:
        if piece.data:
            yield Write(piece.delay, b"%x\r\n%b\r\n" % (len(piece.data), piece.data), piece.alone)
        else:
            yield Write(piece.delay, b"", piece.alone)
    if reply.missing:
        yield Write(0.0, b'%x\r\ndata: {"' % (reply.missing + 8))
    elif reply.ending is Ending.KEEP:
        yield Write(0.0, b"0\r\n\r\n")


def _head(reply: Reply, pieces: Iterable[Piece]) -> bytes:
    reason = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in reply.headers)]
    if reply.framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked")
    elif reply.framing is Framing.LENGTH:
        lines.append(f"Content-Length: {sum(len(piece.data) for piece in pieces) + reply.missing}")
    else:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def _batched(writes: Iterator[Write]) -> Iterator[Write]:
    first = next(writes, None)
    if first is None:
        return
    delay, parts, size, alone = first.delay, [first.data], len(first.data), first.alone
    for write in writes:
        if write.delay or write.alone or alone or size > _BATCH_BYTES:
            yield Write(delay, b"".join(parts), alone)
            delay, parts, size, alone = write.delay, [], 0, write.alone
        parts.append(write.data)
        size += len(write.data)
    yield Write(delay, b"".join(parts), alone)
