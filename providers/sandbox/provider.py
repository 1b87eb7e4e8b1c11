"""What all simulated providers have in common: routes, envelope, and how an answer becomes a reply."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from providers.sandbox.answer import Answer, Delta
from providers.sandbox.faults import Refusal, Spelled
from providers.sandbox.reply import MARK, Framing, Header, Kind, Piece, Reply
from providers.splice import encode

Json = dict[str, Any]

JSON_TYPE: Header = ("Content-Type", "application/json")
STREAM_TYPE: Header = ("Content-Type", "text/event-stream")
DONE = Piece(b"data: [DONE]\n\n", Kind.DONE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts of a request that shape its answer."""

    model: str = "unknown"
    stream: bool = False
    include_usage: bool = False
    prompt_tokens: int = 0
    prefix: str = ""
    """Text of a last assistant message that the provider is to carry on from."""

    @classmethod
    def of(cls, body: Mapping[str, Any], size: int, prefix: str) -> Asked:
        options = body.get("stream_options")
        return cls(
            model=str(body.get("model")),
            stream=body.get("stream") is True,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            prompt_tokens=max(1, size // 4),
            prefix=prefix,
        )


class Provider(ABC):
    """One simulated provider. Stateless: the same question gives the same bytes, but for id and time."""

    name: ClassVar[str]
    base_path: ClassVar[str] = "/v1"
    listed: ClassVar[tuple[str, ...]]
    """The ids `GET /models` names unless the sandbox was given its own."""

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        """The answer as this provider gives it, streamed or whole."""
        answer = carried_on(answer, asked.prefix)
        if asked.stream:
            pieces = tuple(self.events(answer, asked))
            return Reply(200, (STREAM_TYPE, *self.headers()), pieces, Framing.CHUNKED)
        return self.json_reply(200, encode(self.completion(answer, asked)))

    def json_reply(self, status: int, body: bytes, headers: tuple[Header, ...] = ()) -> Reply:
        """Any JSON answer."""
        piece = Piece(body, Kind.BODY)
        return Reply(status, (JSON_TYPE, *self.headers(), *headers), (piece,), Framing.LENGTH)

    def refuse(self, refusal: Refusal, model: str) -> Reply:
        """A refusal in this provider's words."""
        spelled = self.spell(refusal, model)
        return self.json_reply(spelled.status, spelled.body, spelled.headers)

    def models(self, ids: tuple[str, ...]) -> Reply:
        """The answer to `GET /models`."""
        return self.json_reply(200, encode({"object": "list", "data": [self.model(name) for name in ids]}))

    def events(self, answer: Answer, asked: Asked) -> Iterator[Piece]:
        """The whole stream."""
        yield from self.opening(asked)
        for delta in answer.deltas():
            yield self.event(asked, self.delta(answer, delta), None, Kind.CONTENT)
        yield from self.closing(answer, asked)
        yield DONE

    def event(self, asked: Asked, delta: Json, finish: str | None, kind: Kind) -> Piece:
        return sse(self.chunk(asked, [self.choice(delta, finish)]), kind)

    def choice(self, delta: Json, finish: str | None) -> Json:
        """One choice of a chunk."""
        return {"index": 0, "delta": delta, "finish_reason": finish}

    def usage(self, answer: Answer, asked: Asked) -> Json:
        """Token counts, as OpenAI names them."""
        prompt = asked.prompt_tokens if answer.tokens.prompt is None else answer.tokens.prompt
        completion = answer.completion_tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def prefix(self, body: Mapping[str, Any]) -> str:
        """The text this request wants carried on; "" where there is none, or the provider does not do so."""
        return ""

    def check(self, body: Mapping[str, Any]) -> Refusal | None:
        """What this provider's own validation refuses."""
        return None

    @abstractmethod
    def headers(self) -> tuple[Header, ...]:
        """Headers of every answer."""

    @abstractmethod
    def opening(self, asked: Asked) -> Iterator[Piece]:
        """What precedes the first delta."""

    @abstractmethod
    def closing(self, answer: Answer, asked: Asked) -> Iterator[Piece]:
        """Finish and usage."""

    @abstractmethod
    def chunk(self, asked: Asked, choices: list[Json]) -> Json:
        """The envelope of one event."""

    @abstractmethod
    def delta(self, answer: Answer, delta: Delta) -> Json:
        """One delta."""

    @abstractmethod
    def completion(self, answer: Answer, asked: Asked) -> Json:
        """A whole answer."""

    @abstractmethod
    def spell(self, refusal: Refusal, model: str) -> Spelled:
        """Status, body and headers of a refusal."""

    @abstractmethod
    def error_body(self, status: int, message: str) -> bytes:
        """This provider's error object for any other status."""

    @abstractmethod
    def model(self, name: str) -> Json:
        """One item of `GET /models`."""


def sse(value: Json, kind: Kind) -> Piece:
    """A JSON value as an event."""
    return Piece(b"data: " + encode(value) + b"\n\n", kind)


def answer_id(prefix: str) -> str:
    """The id of an answer, filled in when it is sent."""
    return prefix + MARK.decode()


def now() -> int:
    """Unix seconds."""
    return int(time.time())


def tool_delta(answer: Answer, delta: Delta) -> list[Json]:
    """`tool_calls` of a delta: id, type and name once, then only arguments."""
    if delta.call is None or delta.index is None:
        return [{"index": delta.index, "function": {"arguments": delta.arguments}}]
    function = {"name": delta.call.name, "arguments": delta.arguments}
    opened = {"index": delta.index, "id": answer.call_id(delta.index), "type": "function"}
    return [{**opened, "function": function}]


def carried_on(answer: Answer, prefix: str) -> Answer:
    """The rest of an answer whose beginning is already known; unchanged where the beginning differs."""
    if not prefix or not answer.content.startswith(prefix):
        return answer
    return replace(
        answer,
        content=answer.content[len(prefix) :],
        content_fragments=None,
        reasoning="",
        reasoning_fragments=None,
        reasoning_details=(),
        whole_reasoning_details=None,
    )


def last_assistant_text(body: Mapping[str, Any], flag: str | None) -> str:
    """The content of a last message that is the assistant's own (and bears `flag`), else ""."""
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant" or last.get("tool_calls"):
        return ""
    if flag is not None and last.get(flag) is not True:
        return ""
    content = last.get("content")
    return content if isinstance(content, str) else ""
