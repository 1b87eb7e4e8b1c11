"""The default: a draw weighted by the inverse square of what the request would cost."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from router.policy.base import Candidate

ERROR_PENALTY = 8.0
"""One percent of errors counts like eight percent of price (OpenRouter's illustrative figure)."""

FREE = 1e-12
"""What a request that costs nothing is taken to cost, in USD: far less than any that costs something."""


def weight(candidate: Candidate) -> float:
    """1 / (expected cost × (1 + 8 × error rate))²."""
    cost = max(candidate.expected_cost, FREE) * (1 + ERROR_PENALTY * candidate.standing.error_rate)
    return 1 / (cost * cost)


class Weighted:
    """Draws one after another without putting back, so that every retry is a fresh draw among those left."""

    def order(self, candidates: Sequence[Candidate], rng: Random) -> list[Candidate]:
        # A race of exponential clocks ends in the same order as one draw after another, and needs no sums, which
        # prices many orders of magnitude apart would spoil.
        arrival = [rng.expovariate(weight(candidate)) for candidate in candidates]
        return [candidates[index] for index in sorted(range(len(candidates)), key=arrival.__getitem__)]

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        weights = [weight(candidate) for candidate in candidates]
        total = sum(weights)
        return [share / total for share in weights]
