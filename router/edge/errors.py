"""An ApiError as JSON: OpenRouter's shape, which OpenAI's SDKs read too."""

from __future__ import annotations

import math
import time
from typing import Any

from providers.splice import encode
from router.edge.asgi import Send, respond
from router.errors import ApiError


def body(error: ApiError) -> bytes:
    """A whole answer."""
    return _render(error, {})


def chunk(error: ApiError, generation: str) -> bytes:
    """The one chunk of a stream that never had content."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return _render(error, {"id": generation, "object": "chat.completion.chunk", "choices": [choice]})


def _render(error: ApiError, beside: dict[str, Any]) -> bytes:
    value = {
        **beside,
        "error": {
            "code": error.status,
            "message": error.message,
            "type": error.error_type,
            "param": error.param,
            "metadata": {"error_type": error.error_type, **error.metadata},
        },
    }
    rendered = encode(value)
    if error.openrouter_metadata is not None:
        rendered = rendered[:-1] + b',"openrouter_metadata":' + error.openrouter_metadata + b"}"
    return rendered


def headers(error: ApiError) -> list[tuple[bytes, bytes]]:
    """`Retry-After` in whole seconds, `X-RateLimit-*` (reset in unix milliseconds, as OpenRouter's), and
    `x-should-retry: false` where a retry cannot help."""
    out: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        out.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if error.rate_limit is not None:
        limit, remaining, seconds = error.rate_limit
        resets = int((time.time() + seconds) * 1000)
        out += [
            (b"x-ratelimit-limit", b"%d" % limit),
            (b"x-ratelimit-remaining", b"%d" % remaining),
            (b"x-ratelimit-reset", b"%d" % resets),
        ]
    if not error.may_retry:
        out.append((b"x-should-retry", b"false"))
    return out


async def send_error(send: Send, error: ApiError, generation: str | None = None) -> None:
    extra = headers(error)
    if generation is not None:
        extra.append((b"x-generation-id", generation.encode()))
    await respond(send, error.status, body(error), extra)
