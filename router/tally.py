"""What is counted as requests go by: noted as it comes, added up many at once or when a scrape reads it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from operator import attrgetter

from providers.usage import Usage

SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900)
MANY = 256
"""How many notes are added up together, at about the price of one of them."""
_TOKENS = attrgetter("prompt", "cached", "reasoning", "completion")

Try = tuple[str, float | None, Usage | None, Decimal]
"""An attempt: its outcome, seconds to its first token, what it used and cost."""
End = tuple[int, float, float]
"""A request: its status, and seconds in all and of ours."""


class Buckets:
    """How many values lay between bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, values: Sequence[float]) -> None:
        self.sum = sum(values, self.sum)
        ordered, below = sorted(values), 0
        for place, bound in enumerate(self.bounds):
            within = bisect_right(ordered, bound, below)
            self.counts[place] += within - below
            below = within
        self.counts[-1] += len(ordered) - below

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each bound, the last being infinity, and how many values were at most that."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)


class Pair:
    """One model at one provider. What is noted in `tries` and `ends` is counted by `add_up`."""

    __slots__ = (
        "attempts",
        "cached",
        "completion",
        "cost",
        "ends",
        "first_token",
        "hedges",
        "overhead",
        "prompt",
        "reasoning",
        "requests",
        "seconds",
        "tries",
    )

    def __init__(self, overhead: Buckets) -> None:
        """`overhead`: that of all requests, whoever served them."""
        self.tries: list[Try] = []
        self.ends: list[End] = []
        self.requests: Counter[int] = Counter()
        """By status."""
        self.attempts: Counter[str] = Counter()
        """By outcome."""
        self.hedges: Counter[str] = Counter()
        """By result."""
        self.prompt = self.cached = self.reasoning = self.completion = 0
        self.cost = Decimal(0)
        self.seconds = Buckets(SECONDS)
        self.first_token = Buckets(SECONDS)
        self.overhead = overhead

    def add_up(self) -> None:
        if self.tries:
            self._add_tries()
        if self.ends:
            statuses, seconds, overheads = zip(*self.ends, strict=True)
            self.ends.clear()
            self.requests.update(statuses)
            self.seconds.observe(seconds)
            self.overhead.observe(overheads)

    def _add_tries(self) -> None:
        outcomes, first_tokens, usages, costs = zip(*self.tries, strict=True)
        self.tries.clear()
        self.attempts.update(outcomes)
        self.first_token.observe([seconds for seconds in first_tokens if seconds is not None])
        used = [(usage, cost) for usage, cost in zip(usages, costs, strict=True) if usage is not None]
        if not used:
            return
        usages, costs = zip(*used, strict=True)
        prompt, cached, reasoning, completion = map(sum, zip(*map(_TOKENS, usages), strict=True))
        self.prompt += prompt
        self.cached += cached
        self.reasoning += reasoning
        self.completion += completion
        self.cost = sum(costs, self.cost)


class Pairs(dict[tuple[str, str], Pair]):
    """By model and provider; one that is asked for is there."""

    def __init__(self, overhead: Buckets) -> None:
        super().__init__()
        self._overhead = overhead

    def __missing__(self, by: tuple[str, str]) -> Pair:
        pair = self[by] = Pair(self._overhead)
        return pair

    def add_up(self) -> None:
        """Count what is noted."""
        for pair in self.values():
            pair.add_up()
