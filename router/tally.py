"""What is counted as requests go by: plain numbers, which a scrape reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import accumulate

SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900)


class Buckets:
    """How many values lay between bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each bound, the last being infinity, and how many values were at most that."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)


class Pair:
    """One model at one provider."""

    __slots__ = (
        "attempts",
        "cached",
        "completion",
        "cost",
        "first_token",
        "hedges",
        "prompt",
        "reasoning",
        "requests",
        "seconds",
    )

    def __init__(self) -> None:
        self.requests: defaultdict[int, int] = defaultdict(int)
        """By status."""
        self.attempts: defaultdict[str, int] = defaultdict(int)
        """By outcome."""
        self.hedges: defaultdict[str, int] = defaultdict(int)
        """By result."""
        self.prompt = self.cached = self.reasoning = self.completion = 0
        self.cost = Decimal(0)
        self.seconds = Buckets(SECONDS)
        self.first_token = Buckets(SECONDS)


class Pairs(dict[tuple[str, str], Pair]):
    """By model and provider; one that is asked for is there."""

    def __missing__(self, by: tuple[str, str]) -> Pair:
        pair = self[by] = Pair()
        return pair
