"""The stretches of time a page can be about, cut into buckets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from router.state.values import Dimension

SPANS: dict[Dimension, int] = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Period:
    """The last `count` buckets, the one under way included. `now` and bounds in unix seconds."""

    name: str
    label: str
    unit: Dimension
    count: int
    now: float

    @property
    def span(self) -> int:
        """Seconds a bucket."""
        return SPANS[self.unit]

    @property
    def until(self) -> int:
        return int(self.now // self.span + 1) * self.span

    @property
    def since(self) -> int:
        return self.until - self.count * self.span

    @property
    def buckets(self) -> range:
        """The start of each bucket."""
        return range(self.since, self.until, self.span)

    def said(self, bucket: int) -> str:
        """A bucket's name in a table."""
        at = datetime.fromtimestamp(bucket, UTC)
        return f"{at:%d %b %Y}" if self.unit == "day" else f"{at:%d %b %H:%M}"


CHOICES: dict[str, tuple[str, Dimension, int]] = {
    "1h": ("last hour", "minute", 60),
    "24h": ("last 24 hours", "hour", 24),
    "7d": ("last 7 days", "hour", 168),
    "30d": ("last 30 days", "day", 30),
    "1y": ("last year", "day", 365),
}
DEFAULT = "24h"


def period(name: str | None, now: float, default: str = DEFAULT) -> Period:
    """The period of that name, or the default where there is none."""
    chosen = name if name in CHOICES else default
    label, unit, count = CHOICES[chosen]
    return Period(chosen, label, unit, count, now)
