"""How fast an endpoint was lately: percentiles over a sliding window, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_SAMPLES = 512
"""Kept per endpoint and figure; at higher rates the window is the last so many requests."""
FRESH = 1.0
"""Seconds computed percentiles are reused for."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles by nearest rank. For a throughput a higher percentile is a *lower* number: p90 is what 90 % of
    requests reach."""

    p50: float
    p75: float
    p90: float
    p99: float
    count: int = field(default=0, compare=False)
    """How many figures they are of."""
    p95: float = field(default=0.0, compare=False)


def spread(values: Sequence[float], *, more_is_better: bool = False) -> Spread | None:
    """Percentiles of some figures; None of no figures."""
    if not values:
        return None
    ranked = sorted(values, reverse=more_is_better)
    p50, p75, p90, p95, p99 = (ranked[-(-percent * len(ranked) // 100) - 1] for percent in (50, 75, 90, 95, 99))
    return Spread(p50, p75, p90, p99, len(ranked), p95)


class Samples:
    """The figures of the last so many seconds."""

    __slots__ = ("_added", "_cached", "_cached_at", "_more_is_better", "_times", "_values")

    def __init__(self, *, more_is_better: bool = False) -> None:
        self._times: deque[float] | None = None
        """With `_values` there from the first figure on: most endpoints of a large catalogue have none."""
        self._values: deque[float] = _NONE
        self._more_is_better = more_is_better
        self._cached: dict[float, tuple[Spread | None, float]] = {}
        """By seconds: what was found, and when the oldest figure in it becomes too old."""
        self._cached_at = -FRESH
        self._added = False
        """There are figures that are not in `_cached`."""

    def add(self, now: float, value: float) -> None:
        if self._times is None:
            self._times, self._values = deque(maxlen=MOST_SAMPLES), deque(maxlen=MOST_SAMPLES)
        self._times.append(now)
        self._values.append(value)
        self._added = True

    def spread(self, now: float, seconds: float) -> Spread | None:
        """Percentiles of the last `seconds`, at most FRESH old."""
        if self._times is None:
            return None
        if now - self._cached_at >= FRESH:
            if self._added:
                self._cached.clear()
                self._added = False
            self._cached_at = now
        found = self._cached.get(seconds)
        if found is None or found[1] < now:
            first = bisect_left(self._times, now - seconds)
            values = list(self._values)[first:]
            until = self._times[first] + seconds if values else math.inf
            found = self._cached[seconds] = spread(values, more_is_better=self._more_is_better), until
        return found[0]


_NONE: deque[float] = deque(maxlen=0)
