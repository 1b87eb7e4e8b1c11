"""The least a gateway in Python could do: uvicorn, one bare ASGI function, and the lean transport; bytes unchanged."""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from providers.transport.base import Limits
from providers.transport.lean import LeanTransport

Message = MutableMapping[str, Any]

_FORWARDED = (b"authorization", b"content-type", b"accept")


class PassThrough:
    """An ASGI application that hands every request to one origin, and its answer back as it comes."""

    def __init__(self, origin: str) -> None:
        self._transport = LeanTransport(origin, Limits())

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        pieces: list[bytes] = []
        while True:
            message = await receive()
            pieces.append(message["body"])
            if not message["more_body"]:
                break
        headers = [header for header in scope["headers"] if header[0] in _FORWARDED]
        response = await self._transport.open(scope["raw_path"], headers, b"".join(pieces))
        head = [(b"content-type", response.headers["content-type"].encode())]
        if length := response.headers.get("content-length"):
            head.append((b"content-length", length.encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        while piece := await response.read():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        response.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Server(uvicorn.Server):
    """Prints where it listens once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}", flush=True)


if __name__ == "__main__":
    app = PassThrough(sys.argv[1])
    Server(uvicorn.Config(app, port=0, http="httptools", ws="none", lifespan="off", access_log=False)).run()
