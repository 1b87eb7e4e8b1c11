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
        left = [(weight(candidate), candidate) for candidate in candidates]
        drawn: list[Candidate] = []
        total = sum(share for share, _ in left)
        while len(left) > 1:
            point = rng.random() * total
            index = 0
            while index < len(left) - 1 and point >= left[index][0]:
                point -= left[index][0]
                index += 1
            _, candidate = left.pop(index)
            # Summed anew rather than subtracted: prices may lie many orders of magnitude apart.
            total = sum(other for other, _ in left)
            drawn.append(candidate)
        drawn.extend(candidate for _, candidate in left)
        return drawn

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        weights = [weight(candidate) for candidate in candidates]
        total = sum(weights)
        return [share / total for share in weights]
