"""Cancelling a request's work as soon as its client is gone."""

from __future__ import annotations

import asyncio
from types import TracebackType

from providers.tasks import spawn
from router.edge.asgi import Receive
from router.edge.wire import Wire


class Departure:
    """While entered, the current task is cancelled when the client leaves; `gone` then says why.

    Our server tells of it; under any other, `receive` is watched by a task.
    """

    __slots__ = ("_receive", "_watcher", "_wire", "gone", "task")

    def __init__(self, wire: Wire | None, receive: Receive) -> None:
        self.gone = False
        self.task = asyncio.current_task()
        self._wire = wire
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Departure:
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
        if self.gone and self.task is not None:
            self.task.uncancel()
        return self.gone and isinstance(error, asyncio.CancelledError)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        if not self.gone and self.task is not None:
            self.gone = True
            self.task.cancel()
