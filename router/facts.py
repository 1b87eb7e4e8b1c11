"""What was seen of an endpoint and of our account at its provider, and how that stands once it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from router.catalogue import Endpoint
from router.speed import Samples, Spread
from router.window import Window


class Tier(IntEnum):
    """How an endpoint stands by its uptime."""

    NORMAL = 0
    DEGRADED = 1
    DOWN = 2


class Standing(NamedTuple):
    """An endpoint as the plan sees it."""

    unavailable: str | None = None
    """`ejected`, `cooling`, `provider_put_aside` or `max_concurrency`; None: may be tried."""
    until: float = 0.0
    """When `unavailable` ends, on the health's clock."""
    outage: bool = False
    tier: Tier = Tier.NORMAL
    error_rate: float = 0.0
    latency: Spread | None = None
    """Seconds to the first token over five minutes."""
    throughput: Spread | None = None
    """Output tokens a second over five minutes, waiting included."""

    @property
    def troubled(self) -> bool:
        """It sends an endpoint back in the order."""
        return self.outage or self.tier is not Tier.NORMAL


@dataclass(slots=True)
class Facts:
    """One endpoint: what was seen."""

    failures: int = 0
    """In a row."""
    ejections: int = 0
    ejected_until: float | None = None
    probing: bool = False
    leave: bool = False
    """Other replicas leave the probe to this one."""
    cool_until: float = 0.0
    recent: Window = field(default_factory=lambda: Window(1, 30))
    """What "outage" is judged by."""
    lately: Window = field(default_factory=lambda: Window(10, 30))
    """Five minutes: what the uptime tier and the error rate are judged by."""
    minutes: Window = field(default_factory=lambda: Window(60, 1440))
    """A day: what is shown."""
    latency: Samples = field(default_factory=Samples)
    first_byte: Samples = field(default_factory=Samples)
    """The same of answers that are not streamed: nearly all of their time."""
    throughput: Samples = field(default_factory=lambda: Samples(more_is_better=True))
    judged: Standing = field(default_factory=Standing)
    judged_at: int = -1
    """The second in which `judged` was made; -1: something happened since."""
    untold: tuple[int, int] = (0, 0)
    """Good and bad attempts of this process that other replicas have not been told of."""

    def count(self, now: float, good: int, bad: int) -> None:
        self.judged_at = -1
        for window in (self.recent, self.lately, self.minutes):
            window.add(now, good, bad)

    def count_own(self, now: float, good: bool) -> None:
        self.untold = (self.untold[0] + good, self.untold[1] + (not good))
        judged_at = self.judged_at
        self.count(now, int(good), int(not good))
        if good and not (self.judged.troubled or self.judged.error_rate):
            # One more success changes nothing of what stands well, and figures of speed may be a second old.
            self.judged_at = judged_at


@dataclass(slots=True)
class Account:
    """One provider: our account there, and what is under way."""

    in_flight: int = 0
    aside_until: float = 0.0
    aside_reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """Leave to make one attempt. Given back by `Health.attempted`."""

    endpoint: Endpoint
    probe: bool
