"""How fast an endpoint was lately: percentiles over a sliding window, in bounded memory."""

from __future__ import annotations

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

    __slots__ = ("_cached", "_cached_at", "_more_is_better", "_times", "_values")

    def __init__(self, *, more_is_better: bool = False) -> None:
        self._times: deque[float] = deque(maxlen=MOST_SAMPLES)
        self._values: deque[float] = deque(maxlen=MOST_SAMPLES)
        self._more_is_better = more_is_better
        self._cached: dict[float, Spread | None] = {}
        self._cached_at = -FRESH

    def add(self, now: float, value: float) -> None:
        self._times.append(now)
        self._values.append(value)

    def spread(self, now: float, seconds: float) -> Spread | None:
        """Percentiles of the last `seconds`, at most FRESH old."""
        if now - self._cached_at >= FRESH:
            self._cached.clear()
            self._cached_at = now
        if seconds not in self._cached:
            first = bisect_left(self._times, now - seconds)
            values = list(self._values)[first:]
            self._cached[seconds] = spread(values, more_is_better=self._more_is_better)
        return self._cached[seconds]
