"""Price traded against speed and reliability: the share of each endpoint, by one formula, and a draw by shares.

    price  = expected cost × (1 + 8 × error rate) × (1 + share of answers with malformed tool calls);
             of a prompt as much is taken for cached as lately was there
    speed  = output tokens a second, waiting included; what little was measured is drawn towards a typical peer
    score  = price / speed ** SPEED_WORTH                              lower is better
    behind = score / best score                                        1 for the best
    weight = behind ** -2                                              inside the competitive edge
             behind ** -2 × (behind / EDGE) ** -6                      past it
    share  = exploration + (1 − n × exploration) × weight / sum of weights

The shape is what OpenRouter says of its own since 2026; its constants it does not publish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import median

from router.policy.base import Candidate
from router.policy.weighted import ERROR_PENALTY, FREE

SPEED_WORTH = 0.5
"""Twice as fast is worth 1.41 times the price, four times as fast twice. Ours: a user who wants more of it sorts by
throughput."""
PEER_SAMPLES = 20
"""Answers a typical peer's speed counts for beside an endpoint's own. Ours: twenty answers place a median within some
ten percent where speeds vary by half."""
SLOWEST = 1e-3
"""Tokens a second below which nothing is told apart."""
EDGE = 1.25
"""How far behind the best is still competitive. Ours: prices and speeds are known no better than that."""
INSIDE = 2.0
"""The inverse square of the price, as in the default draw."""
PAST = 6.0
"""What the exponent grows by past the edge: half as good as the best gets 1.5 % of its share. Ours."""
EXPLORATION, MOST_EXPLORATION = 0.01, 0.1
"""The share every endpoint keeps so that it stays measured, and all of them at most. Ours: OpenRouter says "a small
amount of traffic no matter what"."""


class Balanced:
    """Draws one after another; every further draw is among those left, by their shares among themselves."""

    by_traffic = True

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        scores = _scores(candidates)
        best = min(scores)
        weights = [_weight(score / best) for score in scores]
        total = sum(weights)
        kept = min(EXPLORATION, MOST_EXPLORATION / len(candidates))
        drawn = 1 - kept * len(candidates)
        return [kept + drawn * weight / total for weight in weights]

    def order(self, candidates: Sequence[Candidate], chances: Sequence[float], rng: Random) -> list[Candidate]:
        left, order = list(candidates), []
        while len(left) > 1:
            drawn = rng.choices(range(len(left)), chances)[0]
            order.append(left.pop(drawn))
            chances = self.chances(left)
        return order + left


def _scores(candidates: Sequence[Candidate]) -> list[float]:
    typical = _typical_speed(candidates)
    return [_price(candidate) / _speed(candidate, typical) ** SPEED_WORTH for candidate in candidates]


def _price(candidate: Candidate) -> float:
    standing = candidate.standing
    cost = max(candidate.expected_cost, FREE)
    return cost * (1 + ERROR_PENALTY * standing.error_rate) * (1 + standing.malformed)


def _typical_speed(candidates: Sequence[Candidate]) -> float:
    """The median of those measured; where none is, all are alike and any number will do."""
    measured = [one.standing.throughput.p50 for one in candidates if one.standing.throughput is not None]
    return median(measured) if measured else 1.0


def _speed(candidate: Candidate, typical: float) -> float:
    own = candidate.standing.throughput
    if own is None:
        return typical
    share = own.count / (own.count + PEER_SAMPLES)
    return math.exp(share * math.log(max(own.p50, SLOWEST)) + (1 - share) * math.log(typical))


def _weight(behind: float) -> float:
    past = max(1.0, behind / EDGE)
    return float(1 / (behind**INSIDE * past**PAST))
