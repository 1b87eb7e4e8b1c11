"""The default: a draw weighted by the inverse square of what the request would cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from math import log
from operator import attrgetter, truediv
from random import Random

from router.policy.base import Candidate

ERROR_PENALTY = 8.0
"""One percent of errors counts like eight percent of price (OpenRouter's illustrative figure)."""

FREE = 1e-12
"""What a request that costs nothing is taken to cost, in USD: far less than any that costs something."""


_COST = attrgetter("expected_cost")
_ERRORS = attrgetter("standing.error_rate")


def weights(candidates: Sequence[Candidate]) -> list[float]:
    """Of each, 1 / (expected cost × (1 + 8 × error rate))²."""
    costs = list(map(_COST, candidates))
    if any(map(_ERRORS, candidates)):
        costs = [
            cost * (1 + ERROR_PENALTY * one.standing.error_rate) for cost, one in zip(costs, candidates, strict=True)
        ]
    if min(costs, default=FREE) < FREE:
        costs = [max(cost, FREE) for cost in costs]
    return list(map(pow, costs, repeat(-2)))


class Weighted:
    """Draws one after another without putting back, so that every retry is a fresh draw among those left."""

    by_traffic = False

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        shares = weights(candidates)
        return list(map(truediv, shares, repeat(sum(shares))))

    def order(self, candidates: Sequence[Candidate], chances: Sequence[float], rng: Random) -> list[Candidate]:
        # A race of exponential clocks ends in the same order as one draw after another, and needs no sums, which
        # prices many orders of magnitude apart would spoil.
        random = rng.random
        arrival = [-log(1.0 - random()) / chance for chance in chances]
        return list(map(candidates.__getitem__, sorted(range(len(arrival)), key=arrival.__getitem__)))
