"""The one timer of an attempt: its patience until it begins, then its silence, and the whole request's time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from providers.errors import FirstTokenTimeout, IdleTimeout, ProviderError, TotalTimeout
from providers.transport.base import Response

NEVER = float("inf")
Slow = Callable[[], float]
"""Called when an attempt has not begun for a while; returns when to be called again, on the loop's clock."""


class Watch:
    """Watches the current task begin an answer, then a response for silence. Pushing the silence back costs one
    assignment, not a timer."""

    __slots__ = ("_deadline", "_idle", "_loop", "_patience", "_response", "_slow", "_task", "_timer", "gave_up", "last")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: float, patience: float, deadline: float) -> None:
        """`patience`: seconds to begin in. `deadline`: when the request's time is over."""
        self._loop = loop
        self._patience = patience
        self._deadline = deadline
        self._idle = 0.0
        self._response: Response | None = None
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._slow: Slow | None = None
        self.gave_up: ProviderError | None = None
        """Why the task was cancelled before it began."""
        self.last = now
        """When it was made, then when the last data event came."""

    def start(self, slow: Slow | None, slow_at: float) -> None:
        """Watch the current task. `slow` is told at `slow_at` that it has not begun."""
        self._task = asyncio.current_task(self._loop)
        self._slow = slow
        self._timer = self._loop.call_at(min(slow_at, self.last + self._patience, self._deadline), self._check)

    def begun(self, response: Response, idle: float) -> None:
        """From now on it is the response that may be silent for `idle` seconds."""
        self._response = response
        self._slow = None
        self._idle = idle
        self.last = self._loop.time()
        if self._timer is not None and self.last + idle < self._timer.when():
            self._timer.cancel()
            self._check()

    def give_up(self, error: ProviderError) -> None:
        """Cancel the task, which has not begun, for this reason."""
        self.gave_up = error
        if self._task is not None:
            self._task.cancel()

    def is_ours(self) -> bool:
        """Whether the cancellation that the task has just seen was of this watch, and of nobody else; then it is taken
        back."""
        return self.gave_up is not None and self._task is not None and not self._task.uncancel()

    def stop(self) -> None:
        self._slow = None
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        again = self._if_begun(now) if self._response is not None else self._if_not_begun(now)
        if again < NEVER:
            self._timer = self._loop.call_at(again, self._check)

    def _if_not_begun(self, now: float) -> float:
        if now >= self._deadline:
            self.give_up(TotalTimeout("no answer within the time a request may take"))
            return NEVER
        end = self.last + self._patience
        if now >= end:
            self.give_up(FirstTokenTimeout(f"no answer was begun within {self._patience:g} s"))
            return NEVER
        slow = NEVER if self._slow is None else self._slow()
        return min(slow, end, self._deadline)

    def _if_begun(self, now: float) -> float:
        assert self._response is not None
        if now >= self._deadline:
            self._response.abort(TotalTimeout("the answer took longer than a request may take"))
            return NEVER
        silent = self.last + self._idle
        if now >= silent:
            self._response.abort(IdleTimeout(f"nothing came for {self._idle:g} s in the middle of the answer"))
            return NEVER
        return min(silent, self._deadline)
