"""A simulated CometAPI: a reseller of the new-api family, with its suffixes, dated models, odd statuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from providers.sandbox.answer import Answer, Delta
from providers.sandbox.faults import Fault, Refusal, Spelled, retry_headers
from providers.sandbox.provider import Asked, Json, Provider, answer_id, now, sse, tool_delta
from providers.sandbox.reply import MARK, Header, Kind, Piece
from providers.splice import encode

_OWN = "comet_api_error"
_RELAYED = "bad_response_status_code"
_PADDING = "aZ3kP9xQ7mB1"

_REFUSALS: Mapping[Fault, tuple[int, str, str, str]] = {
    Fault.RATE_LIMITED: (429, _OWN, "rate_limit_exceeded", "当前分组上游负载已饱和，请稍后再试"),
    Fault.OVERLOADED: (503, _RELAYED, _RELAYED, "bad response status code 503"),
    Fault.BAD_KEY: (401, _OWN, "", "invalid token"),
    Fault.QUOTA: (403, _RELAYED, _RELAYED, "Insufficient balance"),
    Fault.MODEL_RETIRED: (
        503,
        _OWN,
        "model_not_found",
        "no available channel for group default and model {model} (distributor)",
    ),
    Fault.CONTEXT_EXCEEDED: (
        400,
        _RELAYED,
        _RELAYED,
        "Your request exceeded model token limit : {context}",
    ),
    Fault.INVALID_REQUEST: (500, _OWN, "invalid_request", "field messages is required"),
    Fault.CONTENT_FILTER: (
        400,
        _OWN,
        "content_filter",
        "The request was rejected because it was considered high risk",
    ),
    Fault.SERVER_ERROR: (500, _RELAYED, _RELAYED, "bad response status code 500"),
}


class CometApi(Provider):
    """`api.cometapi.com`."""

    name: ClassVar[str] = "cometapi"
    listed: ClassVar[tuple[str, ...]] = ("kimi-k2-thinking", "kimi-k2-thinking-turbo", "kimi-k2")

    def headers(self) -> tuple[Header, ...]:
        return (("X-Oneapi-Request-Id", f"2026{MARK.decode()}"), ("X-New-Api-Version", "v0.9.2"))

    def opening(self, asked: Asked) -> Iterator[Piece]:
        yield self.event(asked, {"role": "assistant", "content": ""}, None, Kind.ROLE)

    def closing(self, answer: Answer, asked: Asked) -> Iterator[Piece]:
        yield self.event(asked, {}, answer.finish, Kind.FINISH)
        yield sse({**self.chunk(asked, []), "usage": self.usage(answer, asked)}, Kind.USAGE)

    def choice(self, delta: Json, finish: str | None) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}

    def chunk(self, asked: Asked, choices: list[Json]) -> Json:
        return {
            "id": answer_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": now(),
            "model": _dated(asked.model),
            "choices": choices,
            "obfuscation": _PADDING,
        }

    def delta(self, answer: Answer, delta: Delta) -> Json:
        if delta.index is not None:
            return {"tool_calls": tool_delta(answer, delta)}
        if delta.content is not None:
            return {"content": delta.content}
        return {"reasoning_content": delta.reasoning or ""}

    def completion(self, answer: Answer, asked: Asked) -> Json:
        message: Json = {"role": "assistant", "content": answer.content or None}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = answer.expected_tool_calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
        return {
            "id": answer_id("chatcmpl-"),
            "object": "chat.completion",
            "created": now(),
            "model": _dated(asked.model),
            "choices": [choice],
            "usage": self.usage(answer, asked),
        }

    def usage(self, answer: Answer, asked: Asked) -> Json:
        return {
            **super().usage(answer, asked),
            "prompt_tokens_details": {"cached_tokens": answer.tokens.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "latency_checkpoint": {"first_token_ms": 120},
        }

    def check(self, body: Mapping[str, Any]) -> Refusal | None:
        return None if body.get("messages") else Refusal(Fault.INVALID_REQUEST)

    def spell(self, refusal: Refusal, model: str) -> Spelled:
        status, kind, code, words = _REFUSALS[refusal.fault]
        message = refusal.message or words.format(model=model, context=refusal.limit)
        return Spelled(status, _error(message, kind, code), retry_headers(refusal, "Retry-After"))

    def error_body(self, status: int, message: str) -> bytes:
        return _error(message, _RELAYED, _RELAYED)

    def model(self, name: str) -> Json:
        return {"id": name, "object": "model", "created": 1762387200, "owned_by": "cometapi"}


def _dated(model: str) -> str:
    return f"{model}-2025-11-06"


def _error(message: str, kind: str, code: str) -> bytes:
    text = f"{message} (request id: 2026{MARK.decode()})"
    return encode({"error": {"message": text, "type": kind, "param": "", "code": code}})
