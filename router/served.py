"""What became of one request as its client saw it: the value handed to observers at its end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from router.catalogue import Endpoint
from router.decision import Decision
from router.outcome import Outcome
from router.request import Request
from router.state.values import Grant


@dataclass(frozen=True, slots=True)
class Served:
    """One request. Seconds."""

    request: Request
    decision: Decision
    status: int
    """What the client was answered; of a stream that broke, the status in its error; 499 where it left."""
    duration: float
    grant: Grant | None = None
    """Its reservation, settled by now."""

    @property
    def attempts(self) -> list[Outcome]:
        return self.decision.attempts

    @property
    def endpoint(self) -> Endpoint | None:
        """Who answered, or None where nobody did."""
        return self.decision.selected

    @property
    def overhead(self) -> float:
        """The part of `duration` that no provider had the request."""
        return max(0.0, self.duration - sum([attempt.duration for attempt in self.attempts]))

    @property
    def cost(self) -> Decimal:
        """USD by our prices, of all attempts."""
        attempts = self.attempts
        return attempts[0].cost if len(attempts) == 1 else sum([attempt.cost for attempt in attempts], Decimal(0))


class Observer(Protocol):
    """Whoever wants to know. Called synchronously; must be quick and must not raise."""

    def attempted(self, outcome: Outcome) -> None: ...

    def served(self, served: Served) -> None: ...
