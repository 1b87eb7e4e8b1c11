"""A simulated OpenAI-compatible server such as vLLM: reasoning under a chosen name, integer error codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from providers.sandbox.answer import Answer, Delta
from providers.sandbox.faults import Fault, Refusal, Spelled, retry_headers
from providers.sandbox.provider import (
    Asked,
    Json,
    Provider,
    answer_id,
    last_assistant_text,
    now,
    sse,
    tool_delta,
)
from providers.sandbox.reply import Header, Kind, Piece
from providers.splice import encode

ReasoningField = Literal["reasoning", "reasoning_content"]

_REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
    Fault.RATE_LIMITED: (429, "RateLimitError", "Rate limit exceeded"),
    Fault.OVERLOADED: (503, "ServiceUnavailableError", "The server is overloaded, please retry later"),
    Fault.QUOTA: (402, "PaymentRequiredError", "Insufficient balance"),
    Fault.MODEL_RETIRED: (404, "NotFoundError", "The model `{model}` does not exist."),
    Fault.CONTEXT_EXCEEDED: (
        400,
        "BadRequestError",
        "This model's maximum context length is {context} tokens. However, your request has {over} input "
        "tokens. Please reduce the length of the input messages.",
    ),
    Fault.INVALID_REQUEST: (400, "BadRequestError", "messages: Field required"),
    Fault.CONTENT_FILTER: (400, "BadRequestError", "The request was rejected by the content filter"),
    Fault.SERVER_ERROR: (500, "InternalServerError", "Internal server error"),
}


class OpenAi(Provider):
    """A server of one's own."""

    name: ClassVar[str] = "openai"
    listed: ClassVar[tuple[str, ...]] = ("moonshotai/Kimi-K2-Thinking",)

    def __init__(self, reasoning_field: ReasoningField = "reasoning") -> None:
        self.reasoning_field = reasoning_field

    def headers(self) -> tuple[Header, ...]:
        return (("Server", "uvicorn"),)

    def opening(self, asked: Asked) -> Iterator[Piece]:
        yield self.event(asked, {"role": "assistant", "content": ""}, None, Kind.ROLE)

    def closing(self, answer: Answer, asked: Asked) -> Iterator[Piece]:
        finish = {**self.choice({"content": ""}, answer.finish), "stop_reason": None}
        yield sse(self.chunk(asked, [finish]), Kind.FINISH)
        if asked.include_usage:
            yield sse({**self.chunk(asked, []), "usage": self.usage(answer, asked)}, Kind.USAGE)

    def choice(self, delta: Json, finish: str | None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}

    def chunk(self, asked: Asked, choices: list[Json]) -> Json:
        return {
            "id": answer_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": now(),
            "model": asked.model,
            "choices": choices,
        }

    def delta(self, answer: Answer, delta: Delta) -> Json:
        if delta.index is not None:
            return {"tool_calls": tool_delta(answer, delta)}
        if delta.content is not None:
            return {"content": delta.content}
        return {self.reasoning_field: delta.reasoning or ""}

    def completion(self, answer: Answer, asked: Asked) -> Json:
        message: Json = {"role": "assistant", "content": answer.content or None}
        if answer.reasoning:
            message[self.reasoning_field] = answer.reasoning
        message["tool_calls"] = answer.expected_tool_calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
        return {
            "id": answer_id("chatcmpl-"),
            "object": "chat.completion",
            "created": now(),
            "model": asked.model,
            "choices": [{**choice, "stop_reason": None}],
            "usage": self.usage(answer, asked),
        }

    def usage(self, answer: Answer, asked: Asked) -> Json:
        counts = super().usage(answer, asked)
        if answer.tokens.cached:
            counts["prompt_tokens_details"] = {"cached_tokens": answer.tokens.cached}
        return counts

    def prefix(self, body: Mapping[str, Any]) -> str:
        return last_assistant_text(body, None) if body.get("continue_final_message") is True else ""

    def check(self, body: Mapping[str, Any]) -> Refusal | None:
        return None if body.get("messages") else Refusal(Fault.INVALID_REQUEST)

    def spell(self, refusal: Refusal, model: str) -> Spelled:
        if refusal.fault is Fault.BAD_KEY:
            return Spelled(401, encode({"error": "Unauthorized"}))
        status, kind, words = _REFUSALS[refusal.fault]
        message = refusal.message or words.format(model=model, context=refusal.limit, over=refusal.limit + 1)
        return Spelled(status, _error(message, kind, status), retry_headers(refusal, "Retry-After"))

    def error_body(self, status: int, message: str) -> bytes:
        return _error(message, "BadRequestError" if status < 500 else "InternalServerError", status)

    def model(self, name: str) -> Json:
        return {
            "id": name,
            "object": "model",
            "created": 1762387200,
            "owned_by": "vllm",
            "root": name,
            "parent": None,
            "max_model_len": 262_144,
        }


def _error(message: str, kind: str, code: int) -> bytes:
    return encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
