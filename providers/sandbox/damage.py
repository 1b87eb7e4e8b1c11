"""Behaviours that damage an answer: cut, errors inside it, nothing in it, broken JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

from providers.sandbox.answer import Answer, Tokens
from providers.sandbox.reply import (
    ABRUPT_BYTES,
    Ending,
    Framing,
    Kind,
    Phase,
    Piece,
    Reply,
    position,
    stopped,
)
from providers.sandbox.stage import Bend, Inner, Stage


@dataclass(frozen=True, slots=True)
class Cut(Bend):
    """The connection ends too early.

    `how`: `fin` a close-delimited body that just ends; `rst` a reset; `chunk` inside a chunk; `length` short
    of its Content-Length; `end` a well-formed end of the body, only without finish and `[DONE]`.
    A whole (not streamed) body is cut in half. `mid_event` sends half of the next event too.
    """

    after_events: int | Phase = 0
    how: Literal["fin", "rst", "chunk", "length", "end"] = "fin"
    mid_event: bool = False
    of: Inner = None

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        pieces = _kept(list(reply.pieces), self.after_events, self.mid_event)
        if self.how == "end":
            return replace(reply, pieces=pieces)
        if self.how == "rst":
            return stopped(reply, pieces, Ending.RST)
        if self.how == "fin":
            return replace(reply, pieces=pieces, framing=Framing.CLOSE, ending=Ending.FIN)
        framing = Framing.CHUNKED if self.how == "chunk" else Framing.LENGTH
        return replace(reply, pieces=pieces, framing=framing, ending=Ending.FIN, missing=ABRUPT_BYTES)


def _kept(pieces: list[Piece], after: int | Phase, mid_event: bool) -> tuple[Piece, ...]:
    at = position(pieces, after)
    whole = next((piece for piece in pieces if piece.kind is Kind.BODY), None)
    if whole is not None and at > 0:
        return (_half(whole),)
    rest = (_half(pieces[at]),) if mid_event and at < len(pieces) else ()
    return (*pieces[:at], *rest)


def _half(piece: Piece) -> Piece:
    return replace(piece, data=piece.data[: len(piece.data) // 2])


Shape = Literal[
    "top_level", "choices_empty", "finish_error", "finish_only", "string", "no_code", "native", "event", "groq", "body"
]


@dataclass(frozen=True, slots=True)
class ErrorInStream(Bend):
    """An error inside a 200. Not streamed, or shape `body`: an error object in place of the completion.

    Shapes: `top_level` {"error": {…}}; `choices_empty` the same in a chunk with `choices: []`; `finish_error`
    OpenRouter's, error and a choice with finish_reason "error"; `finish_only` that finish without an error
    object; `native` only in native_finish_reason; `string` {"error": "…"}; `no_code` an error with nothing
    but a message; `event` `event: error` and a message; `groq` `event: error` and an error object.
    """

    after_events: int | Phase = 0
    shape: Shape = "top_level"
    code: int = 502
    message: str = "Upstream provider failed"
    done: bool = True
    of: Inner = None

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        if not reply.streams or self.shape == "body":
            return stage.provider.json_reply(200, stage.provider.error_body(self.code, self.message))
        pieces = list(reply.pieces)
        kept = pieces[: position(pieces, self.after_events)]
        error = Piece(self._event(stage), Kind.CONTENT)
        end = [piece for piece in pieces if piece.kind is Kind.DONE] if self.done else []
        return replace(reply, pieces=(*kept, error, *end))

    def _event(self, stage: Stage) -> bytes:
        error = json.loads(stage.provider.error_body(self.code, self.message))["error"]
        finish = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
        native = [{"index": 0, "delta": {}, "finish_reason": None, "native_finish_reason": "error"}]
        chunk = stage.provider.chunk(stage.asked, [])
        values: dict[str, object] = {
            "top_level": {"error": error},
            "choices_empty": {**chunk, "error": error},
            "finish_error": {
                **chunk,
                "error": {"code": self.code, "message": self.message},
                "choices": finish,
            },
            "finish_only": {**chunk, "choices": finish},
            "native": {**chunk, "choices": native},
            "groq": {"error": error},
            "string": {"error": self.message},
            "no_code": {"error": {"message": self.message}},
            "event": {"message": self.message},
        }
        name = b"event: error\n" if self.shape in ("event", "groq") else b""
        return name + b"data: " + _json(values[self.shape]) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Empty(Bend):
    """A 200 with nothing in it: a finished answer without text, no choices, or no body at all."""

    how: Literal["text", "choices", "body"] = "text"

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(Answer(content="", finish_reason="stop", tokens=Tokens(completion=0)))
        if self.how == "text":
            return reply
        if self.how == "body":
            return replace(reply, pieces=())
        if not reply.streams:
            completion = stage.provider.completion(stage.answer, stage.asked)
            return replace(reply, pieces=(Piece(_json({**completion, "choices": []}), Kind.BODY),))
        chunk = _json(stage.provider.chunk(stage.asked, []))
        return replace(reply, pieces=(Piece(b"data: " + chunk + b"\n\n", Kind.USAGE), *_done(reply)))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _done(reply: Reply) -> tuple[Piece, ...]:
    return tuple(piece for piece in reply.pieces if piece.kind is Kind.DONE)


@dataclass(frozen=True, slots=True)
class MalformedJson(Bend):
    """Broken JSON: an extra event after `after_events`, or (None) every content event; a whole body: half."""

    after_events: int | Phase | None = 0
    of: Inner = None

    def reply(self, stage: Stage) -> Reply:
        reply = stage.reply(self.of)
        pieces = list(reply.pieces)
        broken = Piece(b'data: {"id":"broken","choices":[{"index":0,"delta":{"content":"hal\n\n', Kind.CONTENT)
        if not reply.streams:
            return replace(reply, pieces=tuple(_half(piece) for piece in pieces))
        if self.after_events is None:
            return replace(reply, pieces=tuple(broken if p.kind is Kind.CONTENT else p for p in pieces))
        at = position(pieces, self.after_events)
        return replace(reply, pieces=(*pieces[:at], broken, *pieces[at:]))
