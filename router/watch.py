"""Ending a response that has fallen silent, or has taken all of its request's time."""

from __future__ import annotations

import asyncio

from providers.errors import IdleTimeout, TotalTimeout
from providers.transport.base import Response


class Watch:
    """Aborts a response that falls silent. Pushing the deadline back costs one assignment, not a timer."""

    __slots__ = ("_deadline", "_idle", "_loop", "_response", "_timer", "last")

    def __init__(self, response: Response, idle: float, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._response = response
        self._idle = idle
        self._deadline = deadline
        self.last = self._loop.time()
        """When the last data event came."""
        self._timer = self._loop.call_at(min(self.last + idle, deadline), self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if now >= self._deadline:
            self._response.abort(TotalTimeout("the answer took longer than a request may take"))
        elif now >= self.last + self._idle:
            self._response.abort(IdleTimeout(f"nothing came for {self._idle:g} s in the middle of the answer"))
        else:
            self._timer = self._loop.call_at(min(self.last + self._idle, self._deadline), self._check)

    def touch(self) -> None:
        self.last = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()
