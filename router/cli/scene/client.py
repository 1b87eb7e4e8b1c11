"""A client of the gateway over HTTP: asks for a stream and puts the answer together, as an SDK would."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

Json = dict[str, Any]
Heard = Callable[[str, str], None]
"""Told of every fragment: `reasoning` or `content`, and the text."""


class NotAnsweredError(Exception):
    """The gateway answered with an error, before or in the stream."""


@dataclass(slots=True)
class Reply:
    """One answer, put together from its stream. Seconds."""

    provider: str = ""
    content: str = ""
    reasoning: str = ""
    details: list[Json] = field(default_factory=list)
    """`reasoning_details`, every item as it came."""
    tool_calls: list[Json] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    """`openrouter_metadata`."""
    first_token: float | None = None
    duration: float = 0.0

    @property
    def cost(self) -> Decimal:
        """USD, as the gateway says."""
        return Decimal(self.usage.get("cost", 0))

    @property
    def attempts(self) -> list[Json]:
        return list(self.metadata.get("attempts", ()))

    def take(self, chunk: Json, heard: Heard) -> None:
        """Add one chunk of the stream. Raises NotAnsweredError where it is an error."""
        if "error" in chunk:
            raise NotAnsweredError(f"an error in the stream: {chunk['error'].get('message')}")
        self.provider = chunk["provider"]
        self.usage = chunk.get("usage") or self.usage
        self.metadata = chunk.get("openrouter_metadata") or self.metadata
        for choice in chunk["choices"]:
            self.finish_reason = choice["finish_reason"] or self.finish_reason
            self._add(choice["delta"], heard)

    def _add(self, delta: Json, heard: Heard) -> None:
        if reasoning := delta.get("reasoning"):
            self.reasoning += reasoning
            heard("reasoning", reasoning)
        self.details += delta.get("reasoning_details") or ()
        if content := delta.get("content"):
            self.content += content
            heard("content", content)
        for part in delta.get("tool_calls") or ():
            self._add_call(part)

    def _add_call(self, part: Json) -> None:
        function = part["function"]
        if part["index"] == len(self.tool_calls):
            named = {"name": function["name"], "arguments": ""}
            self.tool_calls.append({"id": part["id"], "type": part["type"], "function": named})
        self.tool_calls[part["index"]]["function"]["arguments"] += function.get("arguments") or ""


class Client:
    """Talks to one gateway. Prices and costs are read as exact decimals."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, model: str) -> None:
        self._http = http
        self._base_url = base_url
        self._model = model

    async def ask(self, body: Mapping[str, Any], heard: Heard = lambda kind, text: None) -> Reply:
        """One streamed completion. Raises NotAnsweredError, and httpx.HTTPError where there is no gateway."""
        asked = time.monotonic()
        reply = Reply()
        async with self._http.stream(
            "POST",
            f"{self._base_url}/chat/completions",
            json={"model": self._model, "stream": True, **body},
            headers={"X-OpenRouter-Metadata": "enabled"},
        ) as response:
            if response.status_code != 200:
                raise NotAnsweredError(f"{response.status_code}: {(await response.aread()).decode()[:400]}")
            async for chunk in _chunks(response):
                reply.first_token = reply.first_token or time.monotonic() - asked
                reply.take(chunk, heard)
        reply.duration = time.monotonic() - asked
        return reply

    async def endpoints(self) -> list[Json]:
        """GET /models/{model}/endpoints. Raises httpx.HTTPError."""
        response = await self._http.get(f"{self._base_url}/models/{self._model}/endpoints")
        response.raise_for_status()
        found: list[Json] = json.loads(response.content, parse_float=Decimal)["data"]["endpoints"]
        return found


async def _chunks(response: httpx.Response) -> AsyncIterator[Json]:
    """The events of a stream up to `[DONE]`. Raises NotAnsweredError where that never comes."""
    waiting = b""
    async for piece in response.aiter_bytes():
        *events, waiting = (waiting + piece).split(b"\n\n")
        for event in events:
            if event == b"data: [DONE]":
                return
            if event.startswith(b"data: "):
                yield json.loads(event[6:], parse_float=Decimal)
    raise NotAnsweredError("the stream ended without [DONE]")
