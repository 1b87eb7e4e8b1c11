"""A simulated Moonshot AI: its stream, its account headers, its sampling rules and its refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from providers.sandbox.answer import Answer, Delta
from providers.sandbox.faults import Fault, Refusal, Spelled, retry_headers
from providers.sandbox.moonshot_rules import first_fault
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
from providers.sandbox.reply import MARK, Header, Kind, Piece
from providers.splice import encode

_ACCOUNT = "org-0f3a5c9d27b14e68"  # as lifelike as a real one, so that what must hide it is put to the test
_SUSPENDED = (
    f"Your account {_ACCOUNT}<ak-sandbox> is suspended due to insufficient balance, please recharge "
    "your account or check your plan and billing details"
)
_FINGERPRINT = "fpv0_ef28f882"

_REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
    Fault.RATE_LIMITED: (429, "rate_limit_reached_error", "Your account {account} request reached {limit}"),
    Fault.OVERLOADED: (
        429,
        "engine_overloaded_error",
        "The engine is currently overloaded, please try again later",
    ),
    Fault.BAD_KEY: (401, "incorrect_api_key_error", "Incorrect API key provided"),
    Fault.QUOTA: (429, "exceeded_current_quota_error", _SUSPENDED),
    Fault.MODEL_RETIRED: (
        404,
        "resource_not_found_error",
        "Not found the model {model} or Permission denied",
    ),
    Fault.CONTEXT_EXCEEDED: (
        400,
        "invalid_request_error",
        "Your request exceeded model token limit : {context}",
    ),
    Fault.INVALID_REQUEST: (
        400,
        "invalid_request_error",
        "stop array too long. Expected an array with maximum length 5, but got 6",
    ),
    Fault.CONTENT_FILTER: (
        400,
        "content_filter",
        "The request was rejected because it was considered high risk",
    ),
    Fault.SERVER_ERROR: (500, "server_error", "Internal server error"),
}


class Moonshot(Provider):
    """`api.moonshot.ai`."""

    name: ClassVar[str] = "moonshot"
    listed: ClassVar[tuple[str, ...]] = (
        "kimi-k2-thinking",
        "kimi-k2-thinking-turbo",
        "kimi-k2-0905-preview",
        "kimi-k2.6",
        "kimi-k2.7-code",
        "kimi-k3",
    )

    def headers(self) -> tuple[Header, ...]:
        return (
            ("Msh-Request-Id", MARK.decode()),
            ("Msh-Org-Id", _ACCOUNT),
            ("Msh-Project-Id", "proj-sandbox"),
            ("Msh-Uid", "uid-sandbox"),
            ("Msh-Gid", "gid-sandbox"),
            ("X-Msh-Trace-Id", MARK.decode()),
            ("Server-Timing", "inner; dur=12"),
            ("Set-Cookie", "__cf_bm=sandbox-cookie; path=/; HttpOnly; Secure; SameSite=None"),
        )

    def opening(self, asked: Asked) -> Iterator[Piece]:
        yield self.event(asked, {"role": "assistant", "content": ""}, None, Kind.ROLE)

    def closing(self, answer: Answer, asked: Asked) -> Iterator[Piece]:
        usage = self.usage(answer, asked)
        finish = {**self.choice({}, answer.finish), "usage": usage}
        yield sse(self.chunk(asked, [finish]), Kind.FINISH)
        if asked.include_usage:
            yield sse({**self.chunk(asked, []), "usage": usage}, Kind.USAGE)

    def chunk(self, asked: Asked, choices: list[Json]) -> Json:
        return {
            "id": answer_id("cmpl-"),
            "object": "chat.completion.chunk",
            "created": now(),
            "model": asked.model,
            "choices": choices,
            "system_fingerprint": _FINGERPRINT,
        }

    def delta(self, answer: Answer, delta: Delta) -> Json:
        if delta.index is not None:
            return {"tool_calls": tool_delta(answer, delta)}
        if delta.content is not None:
            return {"content": delta.content}
        return {"reasoning_content": delta.reasoning or ""}

    def completion(self, answer: Answer, asked: Asked) -> Json:
        message: Json = {"role": "assistant", "content": answer.content}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(answer.expected_tool_calls)]
        return {
            "id": answer_id("cmpl-"),
            "object": "chat.completion",
            "created": now(),
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
            "usage": self.usage(answer, asked),
            "system_fingerprint": _FINGERPRINT,
        }

    def usage(self, answer: Answer, asked: Asked) -> Json:
        return {
            **super().usage(answer, asked),
            "cached_tokens": answer.tokens.cached,
            "prompt_tokens_details": {"cached_tokens": answer.tokens.cached},
            "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        }

    def prefix(self, body: Mapping[str, Any]) -> str:
        return last_assistant_text(body, "partial")

    def check(self, body: Mapping[str, Any]) -> Refusal | None:
        message = first_fault(body)
        return Refusal(Fault.INVALID_REQUEST, message) if message else None

    def spell(self, refusal: Refusal, model: str) -> Spelled:
        status, kind, words = _REFUSALS[refusal.fault]
        limit = "max RPM: 3"
        if refusal.retry_after is not None:
            seconds = f"{refusal.retry_after:g}"
            limit = f"max organization concurrency: 3, please try again after {seconds} seconds"
        message = refusal.message or words.format(
            account=f"{_ACCOUNT}<ak-sandbox>", limit=limit, model=model, context=refusal.limit
        )
        body = encode({"error": {"message": message, "type": kind}})
        return Spelled(status, body, retry_headers(refusal, "Retry-After", "X-Retry-After"))

    def error_body(self, status: int, message: str) -> bytes:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return encode({"error": {"message": message, "type": kind}})

    def model(self, name: str) -> Json:
        return {
            "id": name,
            "object": "model",
            "created": 1762387200,
            "owned_by": "moonshot",
            "context_length": 1_048_576 if name.startswith("kimi-k3") else 262_144,
            "supports_image_in": False,
            "supports_video_in": False,
            "supports_reasoning": "k2-0" not in name,
        }
