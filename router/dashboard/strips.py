"""Uptime as a row of cells, one a bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.dashboard import words
from router.dashboard.period import Period
from router.state.values import Total

GOOD, FAIR = 0.99, 0.9


@dataclass(frozen=True, slots=True)
class Cell:
    """`tone`: ok, warn, bad or none; `says`: what it is, in words."""

    tone: str
    says: str


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of cells, and the share of all of it (None: no traffic)."""

    cells: Sequence[Cell]
    share: float | None
    good: int = 0
    bad: int = 0

    @property
    def tone(self) -> str:
        return tone(self.share)


def tone(share: float | None) -> str:
    if share is None:
        return "none"
    return "ok" if share >= GOOD else "warn" if share >= FAIR else "bad"


def strip(period: Period, counts: Mapping[int, tuple[int, int]], noun: str) -> Strip:
    """From (good, bad) by bucket; `noun`: what was counted, plural."""
    cells = [_cell(period.said(bucket), *counts.get(bucket, (0, 0)), noun) for bucket in period.buckets]
    good, bad = (sum(pair[place] for pair in counts.values()) for place in (0, 1))
    return Strip(cells, good / (good + bad) if good + bad else None, good, bad)


def _cell(when: str, good: int, bad: int, noun: str) -> Cell:
    seen = good + bad
    if not seen:
        return Cell("none", f"{when}: no {noun}")
    share = good / seen
    return Cell(tone(share), f"{when}: {words.percent(share)} of {seen:,} {noun}")


def of_requests(series: Sequence[Total]) -> dict[int, tuple[int, int]]:
    """(answered, failed) by bucket."""
    return {int(total.group[0]): (total.requests - total.errors, total.errors) for total in series}
