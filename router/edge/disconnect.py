"""Cancelling a request's work as soon as its client is gone."""

from __future__ import annotations

import asyncio
from types import TracebackType

from providers.tasks import spawn
from router.edge.asgi import Receive, Scope
from router.edge.wire import EXTENSION, Wire


class Departure:
    """While entered, the current task is cancelled when the client leaves; `gone` then says why.

    Our server tells of it; under any other, `receive` is watched by a task.
    """

    __slots__ = ("_receive", "_task", "_watcher", "_wire", "gone")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.gone = False
        self._wire: Wire | None = scope.get("extensions", {}).get(EXTENSION)
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Departure:
        self._task = asyncio.current_task()
        if self._wire is not None:
            self._wire.on_left = self._left
            if self._wire.gone:
                self._left()
        else:
            self._watcher = spawn(self._watch(), "client disconnect watch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._wire is not None:
            self._wire.on_left = None
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
