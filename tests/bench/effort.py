"""How much is measured: rounds, seconds and counts, and the time after which a run is cut short."""

from __future__ import annotations

from dataclasses import dataclass

LATE_SECONDS = 15.5 * 60
"""Of measuring: after so long other gateways are left out, so that the whole run ends in time."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done. Seconds and counts."""

    rounds: int
    few: int
    """Rounds of peers that are there only to be seen: which are, is `measure.EVERY_ROUND` and `Case.main`."""
    seconds: float
    """Of load in a round; three times as long at a steady rate, for the sake of its p99."""
    warm_up: float
    streams: int = 1_000
    """Slow streams at once."""
    slow_rounds: int = 2
    slow_seconds: float = 3.0
    sizes: tuple[int, ...] = (10, 2_000, 20_000)
    """Endpoints in the catalogue."""
    starts: int = 3
    plans: int = 2_000
    """Plans made in a round."""
    most: int | None = None
    """Requests a round at most."""


FULL = Effort(rounds=5, few=2, seconds=0.8, warm_up=0.2)
QUICK = Effort(
    rounds=2, few=1, seconds=0.4, warm_up=0.1, slow_rounds=1, slow_seconds=1.5, sizes=(10, 2_000), starts=1, plans=500
)
