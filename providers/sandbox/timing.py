"""Behaviours that take their time: a pace, silence, and keep-alive comments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from providers.sandbox.answer import Answer
from providers.sandbox.reply import (
    Ending,
    Framing,
    Kind,
    Phase,
    Piece,
    Reply,
    Script,
    position,
    script_of,
    stopped,
)
from providers.sandbox.stage import Bend, Inner, Stage


@dataclass(frozen=True, slots=True)
class Slow(Bend):
    """An answer at a pace, in seconds. Not streamed: the head waits for as long as the stream would take."""

    first_token: float = 0.0
    between: float = 0.0
    head: float = 0.0
    of: Inner = None

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        if not reply.streams:
            count = stage.answer.completion_tokens
            if isinstance(self.of, Answer):
                count = self.of.completion_tokens
            return replace(reply, head_delay=self.head + self.first_token + self.between * max(0, count - 1))
        return replace(reply, head_delay=self.head, pieces=self._paced(reply))

    def _paced(self, reply: Reply) -> Iterator[Piece]:
        pause = self.first_token
        for piece in reply.pieces:
            if piece.kind is not Kind.CONTENT:
                yield piece
                continue
            yield replace(piece, delay=piece.delay + pause, alone=True)
            pause = self.between


@dataclass(frozen=True, slots=True)
class Hang(Bend):
    """Silence from a moment on, for ever or for `for_s` seconds. Phase, or a number of content events."""

    after: int | Phase = Phase.REQUEST
    for_s: float = math.inf
    of: Inner = None

    def perform(self, stage: Stage) -> Script:
        if self.after is Phase.REQUEST and self.for_s == math.inf:
            return Script((), Ending.HANG)
        return script_of(self.reply(stage))

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        if self.after is Phase.REQUEST:
            return replace(reply, head_delay=reply.head_delay + self.for_s)
        if self.after is Phase.PART_OF_HEAD:
            return replace(reply, head_bytes=20, ending=Ending.HANG)
        pieces = list(reply.pieces)
        at = position(pieces, self.after)
        if self.for_s == math.inf:
            return stopped(reply, pieces[:at], Ending.HANG)
        pieces[at] = replace(pieces[at], delay=pieces[at].delay + self.for_s)
        return replace(reply, pieces=tuple(pieces))


@dataclass(frozen=True, slots=True)
class KeepAlive(Bend):
    """A comment every so many seconds, for `for_s` seconds, then the rest. Not streamed: blank lines."""

    every: float
    for_s: float = math.inf
    form: str = ": OPENROUTER PROCESSING"
    after: int | Phase = Phase.HEAD
    of: Inner = None

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        comment = f"{self.form}\n\n" if reply.streams else "\n         \n"
        framing = Framing.CHUNKED if reply.framing is Framing.LENGTH else reply.framing
        return replace(reply, pieces=self._woven(list(reply.pieces), comment.encode()), framing=framing)

    def _woven(self, pieces: list[Piece], comment: bytes) -> Iterator[Piece]:
        at = position(pieces, self.after)
        yield from pieces[:at]
        left = self.for_s
        while left > 0:
            yield Piece(comment, Kind.COMMENT, delay=self.every)
            left -= self.every
        yield from pieces[at:]
