"""A simulated OpenRouter: comments, reasoning_details, a repeated finish with cost, padded JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

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
from providers.sandbox.reply import MARK, Framing, Header, Kind, Piece, Reply
from providers.splice import encode

PROCESSING = b": OPENROUTER PROCESSING\n\n"
PADDING = b"\n         \n" * 2
_SERVED_BY = "Chutes"
_PROMPT_PRICE = 0.4e-6
_COMPLETION_PRICE = 1.75e-6

_REFUSALS: Mapping[Fault, tuple[int, str, Json]] = {
    Fault.RATE_LIMITED: (
        429,
        "Provider returned error",
        {
            "raw": "{model} is temporarily rate-limited upstream. Please retry shortly.",
            "provider_name": _SERVED_BY,
        },
    ),
    Fault.OVERLOADED: (
        503,
        "Provider returned error",
        {
            "raw": "The engine is currently overloaded, please try again later",
            "provider_name": _SERVED_BY,
            "error_type": "provider_overloaded",
        },
    ),
    Fault.BAD_KEY: (401, "No auth credentials found", {}),
    Fault.QUOTA: (
        402,
        "This request requires more credits, or fewer max_tokens. "
        "You requested up to 65536 tokens, but can only afford 30104.",
        {},
    ),
    Fault.MODEL_RETIRED: (404, "No endpoints found for {model}.", {}),
    Fault.CONTEXT_EXCEEDED: (
        400,
        "This endpoint's maximum context length is {context} tokens. However, you requested about "
        "{over} tokens ({over} of text input). Please reduce the length of either one, or use the "
        "context-compression plugin to compress your prompt automatically.",
        {"provider_name": None},
    ),
    Fault.INVALID_REQUEST: (400, 'Input required: specify "prompt" or "messages"', {}),
    Fault.CONTENT_FILTER: (
        403,
        "{model} requires moderation. Your input was flagged.",
        {
            "reasons": ["violence"],
            "flagged_input": "sandbox",
            "provider_name": _SERVED_BY,
            "model_slug": "{model}",
        },
    ),
    Fault.SERVER_ERROR: (500, "Internal Server Error", {}),
}


class OpenRouter(Provider):
    """`openrouter.ai`."""

    name: ClassVar[str] = "openrouter"
    base_path: ClassVar[str] = "/api/v1"
    listed: ClassVar[tuple[str, ...]] = ("moonshotai/kimi-k2-thinking", "moonshotai/kimi-k2")

    def reply(self, answer: Answer, asked: Asked) -> Reply:
        reply = super().reply(answer, asked)
        if asked.stream:
            return reply
        padding = Piece(PADDING, Kind.COMMENT)
        return replace(reply, pieces=(padding, *reply.pieces), framing=Framing.CHUNKED)

    def headers(self) -> tuple[Header, ...]:
        return (("X-Generation-Id", _id()), ("X-Content-Type-Options", "nosniff"))

    def opening(self, asked: Asked) -> Iterator[Piece]:
        yield Piece(PROCESSING, Kind.COMMENT)
        yield Piece(PROCESSING, Kind.COMMENT)

    def closing(self, answer: Answer, asked: Asked) -> Iterator[Piece]:
        delta: Json = {"content": "", "role": "assistant"}
        yield self.event(asked, {**delta, "reasoning": None}, answer.finish, Kind.FINISH)
        chunk = self.chunk(asked, [self.choice(delta, answer.finish)])
        yield sse({**chunk, "usage": self.usage(answer, asked)}, Kind.USAGE)

    def choice(self, delta: Json, finish: str | None) -> Json:
        return {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish}

    def chunk(self, asked: Asked, choices: list[Json]) -> Json:
        return {
            "id": _id(),
            "object": "chat.completion.chunk",
            "created": now(),
            "model": asked.model,
            "provider": _SERVED_BY,
            "choices": choices,
        }

    def delta(self, answer: Answer, delta: Delta) -> Json:
        if delta.index is not None:
            return {"content": None, "role": "assistant", "tool_calls": tool_delta(answer, delta)}
        if delta.content is not None:
            return {"content": delta.content, "role": "assistant"}
        details = _raw(delta.details) if delta.details else [_detail(delta.reasoning or "")]
        return {
            "content": "",
            "role": "assistant",
            "reasoning": delta.reasoning,
            "reasoning_details": details,
        }

    def completion(self, answer: Answer, asked: Asked) -> Json:
        finish = answer.finish
        choice = {"index": 0, "logprobs": None, "finish_reason": finish, "native_finish_reason": finish}
        return {
            "id": _id(),
            "object": "chat.completion",
            "created": now(),
            "model": asked.model,
            "provider": _SERVED_BY,
            "system_fingerprint": None,
            "choices": [{**choice, "message": _message(answer)}],
            "usage": self.usage(answer, asked),
        }

    def usage(self, answer: Answer, asked: Asked) -> Json:
        counts = super().usage(answer, asked)
        prompt = round(counts["prompt_tokens"] * _PROMPT_PRICE, 12)
        completion = round(counts["completion_tokens"] * _COMPLETION_PRICE, 12)
        cost = round(prompt + completion, 12)
        return {
            **counts,
            "cost": cost,
            "is_byok": False,
            "prompt_tokens_details": {
                "cached_tokens": answer.tokens.cached,
                "cache_write_tokens": 0,
                "audio_tokens": 0,
                "video_tokens": 0,
            },
            "cost_details": {
                "upstream_inference_cost": cost,
                "upstream_inference_prompt_cost": prompt,
                "upstream_inference_completions_cost": completion,
            },
            "completion_tokens_details": {
                "reasoning_tokens": answer.reasoning_tokens,
                "image_tokens": 0,
                "audio_tokens": 0,
            },
        }

    def prefix(self, body: Mapping[str, Any]) -> str:
        return last_assistant_text(body, None)

    def check(self, body: Mapping[str, Any]) -> Refusal | None:
        return None if body.get("messages") else Refusal(Fault.INVALID_REQUEST)

    def spell(self, refusal: Refusal, model: str) -> Spelled:
        status, words, metadata = _REFUSALS[refusal.fault]
        filled = {"model": model, "context": refusal.limit, "over": refusal.limit + 21}
        message = refusal.message or words.format(**filled)
        told = {key: value.format(**filled) if isinstance(value, str) else value for key, value in metadata.items()}
        return Spelled(status, _error(status, message, told), retry_headers(refusal, "Retry-After"))

    def error_body(self, status: int, message: str) -> bytes:
        return _error(status, message, {})

    def models(self, ids: tuple[str, ...]) -> Reply:
        return self.json_reply(200, encode({"data": [self.model(name) for name in ids]}))

    def model(self, name: str) -> Json:
        return {
            "id": name,
            "canonical_slug": name,
            "name": name,
            "created": 1762387200,
            "context_length": 262_144,
            "pricing": {"prompt": "0.0000004", "completion": "0.00000175"},
            "supported_parameters": ["tools", "tool_choice", "reasoning", "temperature", "max_tokens"],
        }


def _id() -> str:
    return answer_id(f"gen-{now()}-")


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _detail(text: str) -> Json:
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


def _message(answer: Answer) -> Json:
    message: Json = {
        "role": "assistant",
        "content": answer.content or None,
        "refusal": None,
        "reasoning": answer.reasoning or None,
    }
    if answer.tool_calls:
        calls = enumerate(answer.expected_tool_calls)
        message["tool_calls"] = [{"type": "function", "index": index, **call} for index, call in calls]
    if answer.whole_reasoning_details is not None:
        message["reasoning_details"] = _raw(answer.whole_reasoning_details)
    elif answer.reasoning_details:
        message["reasoning_details"] = [msgspec.Raw(item) for item in answer.expected_reasoning_details]
    elif answer.reasoning:
        message["reasoning_details"] = [_detail(answer.reasoning)]
    return message


def _error(status: int, message: str, metadata: Json) -> bytes:
    error: Json = {"message": message, "code": status}
    if metadata:
        error["metadata"] = metadata
    return encode({"error": error, "user_id": f"user_{MARK.decode()}"})
