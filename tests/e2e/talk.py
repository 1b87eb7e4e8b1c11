"""A client that is no SDK: what the bytes say, and nothing made nicer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.harness import MODEL, Running

USER = [{"role": "user", "content": "Why is a railway switch called a turnout?"}]


@dataclass
class Said:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """Events of a stream, `[DONE]` as that string; comments left out."""
        blocks = [block for block in self.body.decode().split("\n\n") if block]
        data = [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]
        return [block if block == "[DONE]" else json.loads(block) for block in data]

    @property
    def content(self) -> str:
        """What the client holds in the end, streamed or not."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return self.json["choices"][0]["message"]["content"] or ""
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            if event != "[DONE]"
            for choice in event["choices"]
        )

    @property
    def broke(self) -> dict[str, Any] | None:
        """The error in the stream, if there is one."""
        return next((event["error"] for event in self.events if event != "[DONE]" and "error" in event), None)

    @property
    def metadata(self) -> Any:
        whole = [self.json] if self.body.startswith(b"{") else [event for event in self.events if event != "[DONE]"]
        return next((value["openrouter_metadata"] for value in whole if "openrouter_metadata" in value), None)


@dataclass
class Talk:
    """One raw connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: bytes = field(default=b"")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        block = await self.reader.readuntil(b"\r\n\r\n")
        status_line, *lines = block.decode("latin-1").rstrip().split("\r\n")
        fields = (line.split(": ", 1) for line in lines)
        return int(status_line.split()[1]), {name.lower(): value for name, value in fields}

    async def said(self) -> Said:
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            pieces = []
            while piece := await self.chunk():
                pieces.append(piece)
            return Said(status, headers, b"".join(pieces))
        return Said(status, headers, await self.reader.readexactly(int(headers.get("content-length", 0))))

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]


@asynccontextmanager
async def talk(gateway: Running, limit: int = 1 << 26) -> AsyncIterator[Talk]:
    """`limit`: about half of the bytes it reads ahead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=limit)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


def request(body: Any, *, path: str = "/v1/chat/completions", **headers: str) -> bytes:
    """A POST's bytes; `body` as JSON, or as bytes just so."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def ask(stream: bool = False, **extra: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": USER, "stream": stream, **extra}


async def complete(
    gateway: Running, *, stream: bool = False, headers: dict[str, str] | None = None, **extra: Any
) -> Said:
    """One completion over a connection of its own."""
    return await post(gateway, ask(stream, **extra), **(headers or {}))


async def post(gateway: Running, body: Any, *, path: str = "/v1/chat/completions", **headers: str) -> Said:
    async with talk(gateway) as conversation:
        await conversation.send(request(body, path=path, **headers))
        return await conversation.said()


async def get(gateway: Running, path: str, **headers: str) -> Said:
    async with talk(gateway) as conversation:
        lines = [f"GET {path} HTTP/1.1", "host: gateway"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await conversation.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        return await conversation.said()
