"""What a simulation came to: cost, success, waiting, and each provider's share."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from router.catalogue import Endpoint


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds, by nearest rank."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Report:
    """One case. USD; `shares` of the answers, by provider slug."""

    name: str
    requests: int
    answered: int
    saved: int
    """Answered after at least one failed attempt."""
    attempts: int
    cost: Decimal
    first_token: Waits | None
    duration: Waits | None
    """From the request to the end of its answer."""
    shares: dict[str, float]
    costs: dict[str, Decimal]
    """By provider slug."""

    @property
    def success(self) -> float:
        """Share of requests that were answered."""
        return self.answered / self.requests if self.requests else 0.0

    def value(self) -> dict[str, Any]:
        """As JSON values; money in USD."""
        return {
            "name": self.name,
            "requests": self.requests,
            "answered": self.answered,
            "success": round(self.success, 6),
            "saved_by_fallback": self.saved,
            "attempts": self.attempts,
            "cost": float(self.cost),
            "first_token": _value(self.first_token),
            "duration": _value(self.duration),
            "providers": {
                slug: {"share": round(share, 6), "cost": float(self.costs[slug])} for slug, share in self.shares.items()
            },
        }


def _value(waits: Waits | None) -> dict[str, float] | None:
    return None if waits is None else {"p50": round(waits.p50, 6), "p95": round(waits.p95, 6)}


class Tally:
    """Counts while a simulation runs."""

    def __init__(self) -> None:
        self._requests = self._saved = self._attempts = 0
        self._first_tokens: list[float] = []
        self._durations: list[float] = []
        self._answers: Counter[str] = Counter()
        self._costs: defaultdict[str, Decimal] = defaultdict(Decimal)

    def answered(self, endpoint: Endpoint, cost: Decimal, first_token: float, duration: float, attempts: int) -> None:
        """One request that was; seconds since it came."""
        self._requests += 1
        self._attempts += attempts
        self._saved += attempts > 1
        self._first_tokens.append(first_token)
        self._durations.append(duration)
        self._answers[endpoint.provider.slug] += 1
        self._costs[endpoint.provider.slug] += cost

    def failed(self, attempts: int) -> None:
        """One request that nobody answered."""
        self._requests += 1
        self._attempts += attempts

    def report(self, name: str) -> Report:
        answered = sum(self._answers.values())
        return Report(
            name=name,
            requests=self._requests,
            answered=answered,
            saved=self._saved,
            attempts=self._attempts,
            cost=sum(self._costs.values(), Decimal(0)),
            first_token=_waits(self._first_tokens),
            duration=_waits(self._durations),
            shares={slug: count / answered for slug, count in self._answers.most_common()},
            costs=dict(self._costs),
        )


def _waits(seconds: list[float]) -> Waits | None:
    if not seconds:
        return None
    ranked = sorted(seconds)
    p50, p95 = (ranked[-(-percent * len(ranked) // 100) - 1] for percent in (50, 95))
    return Waits(p50, p95)
