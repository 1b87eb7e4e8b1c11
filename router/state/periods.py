"""UTC days, weeks and months as numbers, when they end, and sums of spend that roll over with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from router.state.values import Reset

DAY = 86_400


def day_of(at: float) -> int:
    """Days since 1970."""
    return int(at // DAY)


def week_of(at: float) -> int:
    """Weeks from Monday to Sunday; 1 January 1970 was a Thursday."""
    return (day_of(at) + 3) // 7


def month_of(at: float) -> int:
    """Months since year 0."""
    date = datetime.fromtimestamp(at, UTC)
    return date.year * 12 + date.month - 1


def resets_at(reset: Reset | None, at: float) -> float | None:
    """Unix time of the next reset after `at`; None: never."""
    if reset is None:
        return None
    if reset == "daily":
        return float((day_of(at) + 1) * DAY)
    if reset == "weekly":
        return float(((week_of(at) + 1) * 7 - 3) * DAY)
    year, month = divmod(month_of(at) + 1, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC).timestamp()


@dataclass(slots=True)
class Figures:
    """Spend in units, ever and in the newest day, week and month seen."""

    total: int = 0
    day: int = 0
    daily: int = 0
    week: int = 0
    weekly: int = 0
    month: int = 0
    monthly: int = 0

    def add(self, units: int, at: float) -> None:
        """Count spend of unix time `at`. What belongs to a period already over counts only where it still can."""
        self.roll(at)
        self.total += units
        self.daily += units if day_of(at) == self.day else 0
        self.weekly += units if week_of(at) == self.week else 0
        self.monthly += units if month_of(at) == self.month else 0

    def roll(self, at: float) -> None:
        """Begin the periods of `at` where they are new."""
        if day_of(at) > self.day:
            self.day, self.daily = day_of(at), 0
        if week_of(at) > self.week:
            self.week, self.weekly = week_of(at), 0
        if month_of(at) > self.month:
            self.month, self.monthly = month_of(at), 0

    def within(self, reset: Reset | None, at: float) -> int:
        """What counts at `at` against a limit with this reset."""
        self.roll(at)
        return {"daily": self.daily, "weekly": self.weekly, "monthly": self.monthly, None: self.total}[reset]
