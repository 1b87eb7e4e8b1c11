"""A simulated provider on a real socket: what it listens on, what it answers, what it saw."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

from providers.sandbox.answer import Answer
from providers.sandbox.cometapi import CometApi
from providers.sandbox.connection import Connection, Received
from providers.sandbox.faults import Fault, Refusal
from providers.sandbox.moonshot import Moonshot
from providers.sandbox.openai import OpenAi, ReasoningField
from providers.sandbox.openrouter import OpenRouter
from providers.sandbox.provider import Asked, Provider
from providers.sandbox.reply import Reply, Script, script_of
from providers.sandbox.stage import Played, Renderer, Stage
from providers.splice import value_of

Dialect = Literal["moonshot", "cometapi", "openrouter", "openai"]
REGISTRY: Mapping[str, type[Provider]] = {
    provider.name: provider for provider in (Moonshot, CometApi, OpenRouter, OpenAi)
}


class Sandbox:
    """One simulated provider: an async context manager that listens while it is entered.

    A request is first judged as the provider would (key, route, model, its own validation: these do not
    use up the script), then treated by the next behaviour of the script, else by what is set for its
    model, else by what is set for all, else answered.
    """

    def __init__(
        self,
        dialect: Dialect = "moonshot",
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        key: str | None = "",
        models: tuple[str, ...] | None = None,
        check: bool = True,
        record: bool = True,
        reasoning_field: ReasoningField = "reasoning",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`key` "": `sk-sandbox-<dialect>`; None: no key is asked for. `models`: the only ids served (None:
        any). `check`: apply the provider's own validation. `record`: keep `requests`. `reasoning_field`: for
        the openai dialect."""
        made = OpenAi(reasoning_field) if dialect == "openai" else REGISTRY[dialect]()
        self.provider: Provider = made
        self.key = f"sk-sandbox-{dialect}" if key == "" else key
        self.models = models
        self.requests: list[Received] = []
        self.connections_made = 0
        self._host, self._port, self._tls = host, port, tls
        self._check, self._record = check, record
        self._renderer = Renderer(made)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._ids = (f"{secrets.token_hex(5)}{number:010x}".encode() for number in itertools.count(1))
        self.reset()

    async def __aenter__(self) -> Sandbox:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def base_url(self) -> str:
        """What a client is given as base URL, with the dialect's path."""
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}{self.provider.base_path}"

    @property
    def port(self) -> int:
        """The port listened on; it stays the same over `refuse` and `accept`."""
        return self._port

    @property
    def open_connections(self) -> int:
        """Connections open now, idle ones included."""
        return len(self._connections)

    @property
    def answering(self) -> int:
        """Connections with an answer under way."""
        return sum(not connection.idle for connection in self._connections)

    def answer(self, answer: Answer) -> None:
        """What is answered where nothing else is said, and what faults spoil."""
        self._answer = answer

    def script(self, *behaviours: Played) -> None:
        """Queue one behaviour a request, in order; then back to what is set."""
        self._script.extend(behaviours)

    def always(self, behaviour: Played | None, model: str | None = None) -> None:
        """Set what is done for every request, or those for `model`; None takes it back."""
        if behaviour is None:
            self._always.pop(model, None)
        else:
            self._always[model] = behaviour

    def reset(self) -> None:
        """Forget requests, script and settings. Connections stay."""
        self.requests.clear()
        self._answer = Answer()
        self._script: deque[Played] = deque()
        self._always: dict[str | None, Played] = {}

    async def refuse(self, drop: bool = False) -> None:
        """Stop listening, so that connecting is refused. Idle connections are closed; with `drop` all are."""
        if self._server is not None:
            self._server.close()
            # Not wait_closed: since Python 3.12.1 it waits for open connections too, which may stay for ever.
            await asyncio.sleep(0)
            self._server = None
        if drop:
            await self._drop_all()
        else:
            self.drop_idle()

    async def accept(self) -> None:
        """Listen, again on the same port. Raises OSError."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    def drop_idle(self, reset: bool = False) -> None:
        """Close the connections without an answer under way, as a server does with old ones."""
        for connection in [connection for connection in self._connections if connection.idle]:
            if reset:
                connection.reset()
            else:
                connection.close()

    async def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until a condition on this sandbox holds. Raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while not condition():
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)

    async def aclose(self) -> None:
        """Stop listening, drop every connection, and wait until they are gone."""
        await self.refuse(drop=True)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self.noted()

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.noted()

    def noted(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def perform(self, received: Received) -> tuple[Script, bytes]:
        if self._record:
            self.requests.append(received)
        self.noted()
        return self._treat(received), next(self._ids)

    async def _drop_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        await self.until(lambda: not self._connections)

    def _connection(self) -> Connection:
        self.connections_made += 1
        return Connection(self, self.connections_made)

    def _treat(self, received: Received) -> Script:
        body = _object(received.body)
        routed = self._routed(received, body)
        if routed is not None:
            return script_of(routed)
        asked = Asked.of(body, len(received.body), self.provider.prefix(body))
        return Stage(self._renderer, asked, self._answer).perform(self._behaviour(asked.model))

    def _behaviour(self, model: str) -> Played:
        if self._script:
            return self._script.popleft()
        return self._always.get(model) or self._always.get(None) or self._answer

    def _routed(self, received: Received, body: Mapping[str, Any]) -> Reply | None:
        """The answer to all but a proper question to a model."""
        provider, model = self.provider, str(body.get("model"))
        if self.key is not None and received.header("authorization") != f"Bearer {self.key}":
            return provider.refuse(Refusal(Fault.BAD_KEY), model)
        path = received.path.partition("?")[0]
        if (received.method, path) == ("GET", f"{provider.base_path}/models"):
            return provider.models(self.models or provider.listed)
        if (received.method, path) != ("POST", f"{provider.base_path}/chat/completions"):
            return provider.json_reply(404, provider.error_body(404, f"no route {received.method} {path}"))
        if self.models is not None and model not in self.models:
            return provider.refuse(Refusal(Fault.MODEL_RETIRED), model)
        refusal = provider.check(body) if self._check else None
        return None if refusal is None else provider.refuse(refusal, model)


def _object(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object; an empty one where it is not."""
    try:
        value = value_of(body) if body else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
