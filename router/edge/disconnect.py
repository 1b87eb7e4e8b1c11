"""Cancelling a request's work as soon as its client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from providers.tasks import spawn
from router.edge.asgi import Receive, Scope

EXTENSION = "turnout.disconnect"
"""In the scope's extensions: a function that takes a callback for the connection's end. Our server provides it;
under any other, `receive` is watched by a task."""

OnDisconnect = Callable[[Callable[[], None] | None], None]


class Departure:
    """While entered, the current task is cancelled when the client leaves; `gone` then says why."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.gone = False
        self._subscribe: OnDisconnect | None = scope.get("extensions", {}).get(EXTENSION)
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Departure:
        self._task = asyncio.current_task()
        if self._subscribe is not None:
            self._subscribe(self._left)
        else:
            self._watcher = spawn(self._watch(), "client disconnect watch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._subscribe is not None:
            self._subscribe(None)
        if self._watcher is not None:
            self._watcher.cancel()
        if self.gone and self._task is not None:
            self._task.uncancel()
        return self.gone and isinstance(error, asyncio.CancelledError)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        if not self.gone and self._task is not None:
            self.gone = True
            self._task.cancel()
