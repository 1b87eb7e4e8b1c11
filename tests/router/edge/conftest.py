"""Every test here runs on asyncio's loop and on uvloop, and serves an application of its own through the door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from router.edge.asgi import App, Receive, Scope, Send
from router.edge.door import Door
from tests.e2e.talk import Talk


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Served:
    """An application behind the door, on a port."""

    def __init__(self, app: App, keep_alive: float) -> None:
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.config = Config(app, http=Door, lifespan="off", log_config=None)
        self.config.load()
        self.config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
        self._talks: list[Talk] = []
        self.port = 0

    @property
    def doors(self) -> list[Door]:
        return list(self.state.connections)  # type: ignore[arg-type]

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Door(self.config, self.state, {}, loop), "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def talk(self, limit: int = 1 << 26) -> Talk:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        self._talks.append(Talk(reader, writer))
        return self._talks[-1]

    async def stop(self) -> None:
        self.server.close()
        for talk in self._talks:
            talk.writer.transport.abort()
        async with asyncio.timeout(5):
            while self.state.connections or self.state.tasks:
                await asyncio.sleep(0.005)
            await self.server.wait_closed()


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(app, keep_alive)`: serves while the test lasts; at its end every connection and task is gone, and
    the loop had nothing to complain of."""
    made: list[Served] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def make(app: App, keep_alive: float = 60.0) -> Served:
        made.append(Served(app, keep_alive))
        await made[-1].start()
        return made[-1]

    yield make
    for served in made:
        await served.stop()
    assert complaints == []


async def whole_body(receive: Receive) -> bytes:
    """The request's body, received to its end."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        if not message["more_body"]:
            return body


async def answer(send: Send, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the request's body, the path in a header."""
    body = await whole_body(receive)
    length = (b"content-length", b"%d" % len(body))
    await answer(send, body, 200, length, (b"x-path", scope["path"].encode()))
