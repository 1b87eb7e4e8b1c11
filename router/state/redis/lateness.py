"""How late this process's own event loop is, so that it is not taken for Redis being slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router.state.values import Clock

EVERY = 0.01
"""Seconds between two looks."""

Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class Lateness:
    """Looks while anybody is `watching`: what a timer is late by, everything else was late by. Clock: the loop's.

    `later`: sets a timer; by default the running loop's.
    """

    def __init__(self, clock: Clock, later: Later | None = None) -> None:
        self._clock = clock
        self._later = later
        self._watchers = 0
        self._late = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> float:
        """Begin to look, until `unwatch`. Returns `seconds` now."""
        if self._watchers == 0:
            self._set()
        self._watchers += 1
        return self.seconds()

    def unwatch(self) -> None:
        self._watchers -= 1
        if self._watchers == 0 and self._timer is not None:
            self._late = self.seconds()
            self._timer.cancel()
            self._timer = None

    def seconds(self) -> float:
        """The loop was late by so much, in all: compare two."""
        overdue = 0.0 if self._timer is None else max(0.0, self._clock() - self._due)
        return self._late + overdue

    def _set(self) -> None:
        self._due = self._clock() + EVERY
        later = self._later or asyncio.get_running_loop().call_later
        self._timer = later(EVERY, self._look)

    def _look(self) -> None:
        self._late = self.seconds()
        self._set()
