"""Strict orders: no draw, the best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from router.policy.base import Candidate


@dataclass(frozen=True, slots=True)
class Ordered:
    """Candidates by a figure, the lowest first; those that are alike stay as the catalogue has them."""

    by_traffic: ClassVar[bool] = False

    figure: Callable[[Candidate], float]

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        first = min(candidates, key=self.figure)
        return [float(candidate is first) for candidate in candidates]

    def order(self, candidates: Sequence[Candidate], chances: Sequence[float], rng: Random) -> list[Candidate]:
        return sorted(candidates, key=self.figure)


def _expected_cost(candidate: Candidate) -> float:
    return candidate.expected_cost


def _latency(candidate: Candidate) -> float:
    latency = candidate.standing.latency
    return math.inf if latency is None else latency.p50


def _throughput(candidate: Candidate) -> float:
    throughput = candidate.standing.throughput
    return 0.0 if throughput is None else -throughput.p50


PRICE = Ordered(_expected_cost)
LATENCY = Ordered(_latency)
"""By the median time to first token; one without figures comes last."""
THROUGHPUT = Ordered(_throughput)
"""By the median output tokens a second, the fastest first; one without figures comes last."""
