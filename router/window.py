"""Counting good and bad over the last so many seconds: a true sliding window in constant memory and time."""

from __future__ import annotations


class Window:
    """Good and bad events of the last `slots` × `width` seconds, counted in slots of `width` seconds.

    Old slots fall out one by one, so the count never drops to nothing at an edge. Adding and
    totalling cost a constant, however long the window and whatever the traffic.
    """

    __slots__ = ("_bad", "_good", "_newest", "_slots", "_width", "bad", "good")

    def __init__(self, width: float, slots: int) -> None:
        self._width = width
        self._slots = slots
        self._good: list[int] = []
        """By slot; empty while nothing is in the window: most endpoints of a large catalogue are never asked."""
        self._bad: list[int] = []
        self._newest = 0
        self.good = 0
        """Good events in the window, as of the last `add` or `advance`."""
        self.bad = 0

    def advance(self, now: float) -> None:
        """Forget what has become too old by `now`. A clock that stands still or goes back changes nothing."""
        stamp = int(now / self._width)
        passed = stamp - self._newest
        if passed <= 0:
            return
        if passed >= self._slots or self.good + self.bad == 0:
            self._good = []
            self._bad = []
            self.good = self.bad = 0
        else:
            for old in range(self._newest + 1, stamp + 1):
                index = old % self._slots
                self.good -= self._good[index]
                self.bad -= self._bad[index]
                self._good[index] = self._bad[index] = 0
        self._newest = stamp

    def add(self, now: float, good: int, bad: int) -> None:
        """Count so many events of now."""
        self.advance(now)
        if not self._good:
            self._good = [0] * self._slots
            self._bad = [0] * self._slots
        index = self._newest % self._slots
        self._good[index] += good
        self._bad[index] += bad
        self.good += good
        self.bad += bad

    def slots(self, now: float, seconds: float) -> list[tuple[int, int]]:
        """(good, bad) of each slot of the last `seconds`, newest first, empty ones included."""
        self.advance(now)
        count = min(self._slots, max(1, int(seconds / self._width)))
        if not self._good:
            return [(0, 0)] * count
        return [
            (self._good[index % self._slots], self._bad[index % self._slots])
            for index in range(self._newest, self._newest - count, -1)
        ]
