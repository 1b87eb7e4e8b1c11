"""The one place that starts a task: named, held, its failure logged, awaited at shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

_log = logging.getLogger(__name__)
_running: set[asyncio.Task[None]] = set()


def spawn(coro: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    """Run `coro` beside its caller. What it raises is logged, not raised."""
    task = asyncio.create_task(coro, name=name)  # noqa: TID251 - the one place that may
    _running.add(task)
    task.add_done_callback(_done)
    return task


def serve(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[object, object, None], held: set[asyncio.Task[None]]
) -> None:
    """The same with the least work, for a server's requests: `coro` sees to its own failures, and whoever has `held`
    waits for it."""
    task = loop.create_task(coro)
    held.add(task)
    task.add_done_callback(held.discard)


def _done(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the task %s failed", task.get_name(), exc_info=error)


async def drain() -> None:
    """Wait until every task of this event loop, those started meanwhile included, has ended."""
    loop = asyncio.get_running_loop()
    while ours := {task for task in _running if task.get_loop() is loop}:
        await asyncio.wait(ours)
