"""What became of one request as its client saw it: the value handed to observers at its end."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from router.decision import Decision
from router.outcome import Outcome
from router.request import Request
from router.state.values import Grant


class Served:
    """One request. Seconds."""

    __slots__ = ("attempts", "cost", "decision", "duration", "endpoint", "grant", "overhead", "request", "status")

    def __init__(
        self, request: Request, decision: Decision, status: int, duration: float, grant: Grant | None = None
    ) -> None:
        """`status`: what the client was answered; of a stream that broke, the status in its error; 499 where it left.
        `grant`: its reservation, settled by now."""
        self.request = request
        self.decision = decision
        self.status = status
        self.duration = duration
        self.grant = grant
        self.endpoint = decision.selected
        """Who answered, or None where nobody did."""
        self.attempts = attempts = decision.attempts
        if len(attempts) == 1:
            (only,) = attempts
            cost, upstream = only.cost, only.duration
        else:
            cost, upstream = sum([attempt.cost for attempt in attempts], Decimal(0)), _covered(attempts)
        self.cost = cost
        """USD by our prices, of all attempts."""
        self.overhead = duration - upstream if duration > upstream else 0.0
        """The part of `duration` that no provider had the request."""


def _covered(attempts: Sequence[Outcome]) -> float:
    """Seconds in which one attempt was under way, or several that raced."""
    covered = reached = 0.0
    for began, ended in sorted((one.started, one.started + one.duration) for one in attempts):
        if ended > reached:
            covered += ended - max(began, reached)
            reached = ended
    return covered


class Observer(Protocol):
    """Whoever wants to know. Called synchronously; must be quick and must not raise."""

    def served(self, served: Served) -> None: ...
