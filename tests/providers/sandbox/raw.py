"""A raw HTTP/1.1 client for the sandbox's tests: what arrived, to the byte, and how it ended."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from providers.sandbox import Sandbox

QUESTION: dict[str, Any] = {
    "model": "kimi-k2-thinking",
    "messages": [{"role": "user", "content": "Why?"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything received on one connection. `reset`: it ended in a TCP reset."""

    data: bytes
    reset: bool

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def raw_body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """The body without chunked framing. Raises AssertionError where that is cut."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.raw_body
        out, rest = b"", self.raw_body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            count = int(size, 16)
            if count == 0:
                assert rest == b"\r\n"
                return out
            assert rest[count : count + 2] == b"\r\n", "cut inside a chunk"
            out, rest = out + rest[:count], rest[count + 2 :]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        return events_of(self.body)


def events_of(body: bytes) -> list[Any]:
    """The data of each event, parsed; `[DONE]` as text."""
    lines = [line for line in body.split(b"\n") if line.startswith(b"data:")]
    texts = [line[5:].strip() for line in lines]
    return ["[DONE]" if text == b"[DONE]" else json.loads(text) for text in texts]


def request(box: Sandbox, body: bytes | None, path: str, key: str | None, close: bool) -> bytes:
    method = "GET" if body is None else "POST"
    lines = [f"{method} {box.provider.base_path}{path} HTTP/1.1", "Host: sandbox", "X-Case: Kept"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += ["Connection: close"] if close else []
    lines += [] if body is None else [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def ask(
    box: Sandbox,
    changes: dict[str, Any] | None = None,
    *,
    path: str = "/chat/completions",
    body: bytes | None = b"",
    key: str | None = "",
) -> Seen:
    """One request on a connection of its own, read until the server is done with it."""
    if body == b"":
        body = json.dumps({**QUESTION, **(changes or {})}, ensure_ascii=False).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
    writer.write(request(box, body, path, box.key if key == "" else key, close=True))
    return await drained(reader, writer)


async def drained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Seen:
    data, reset = b"", False
    try:
        while piece := await reader.read(65536):
            data += piece
    except ConnectionResetError:
        reset = True
    writer.close()
    return Seen(data, reset)


async def opened(
    box: Sandbox, changes: dict[str, Any] | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request under way on a keep-alive connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
    body = json.dumps({**QUESTION, **(changes or {})}).encode()
    writer.write(request(box, body, "/chat/completions", box.key, close=False))
    return reader, writer


def held(events: list[Any], field: str = "reasoning_content") -> dict[str, Any]:
    """What a client holds after these events: content, reasoning, tool calls, finish reason."""
    content, reasoning, finish = "", "", None
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        for choice in event["choices"] if event != "[DONE]" else []:
            delta = choice["delta"]
            content += delta.get("content") or ""
            reasoning += delta.get(field) or ""
            finish = choice["finish_reason"] or finish
            for part in delta.get("tool_calls", ()):
                _merge(calls, part)
    return {
        "content": content,
        "reasoning": reasoning,
        "finish": finish,
        "tool_calls": [calls[index] for index in sorted(calls)],
    }


def _merge(calls: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    if "id" in part:
        function = {"name": part["function"]["name"], "arguments": ""}
        calls[part["index"]] = {"id": part["id"], "type": part["type"], "function": function}
    calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
