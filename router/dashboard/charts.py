"""What a chart shows, as the page hands it to the library that draws it and to the table beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from router.dashboard import words
from router.dashboard.period import Period
from router.state.values import Total

Unit = Literal["count", "usd", "tokens", "percent", "seconds", "rate"]
Value = float | None
"""None: nothing is known of that time; a gap."""
COLOURS = ("c1", "c3", "c4", "c5", "c6", "c7", "c2", "c8")
"""Of the style sheet, in an order that keeps neighbours apart."""
MOST_LINES = len(COLOURS)

_SAID: dict[Unit, Callable[[Value], str]] = {
    "count": words.count,
    "usd": words.usd,
    "tokens": words.count,
    "percent": words.percent,
    "seconds": words.seconds,
    "rate": words.rate,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One series. `colour` names a colour of the style sheet."""

    label: str
    colour: str
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart over time."""

    id: str
    title: str
    unit: Unit
    kind: Literal["bars", "lines"]
    period: Period
    lines: Sequence[Line]

    @property
    def data(self) -> str:
        """JSON for the drawing script. Bars are stacked."""
        return words.as_json(
            {
                "unit": self.unit,
                "kind": self.kind,
                "span": self.period.span,
                "x": list(self.period.buckets),
                "lines": [
                    {"label": line.label, "colour": line.colour, "values": list(line.values)} for line in self.lines
                ],
            }
        )

    @property
    def empty(self) -> bool:
        return not any(value for line in self.lines for value in line.values)

    def rows(self) -> list[tuple[str, list[str]]]:
        """For those who read rather than look: newest first, without the buckets in which there was nothing."""
        said = _SAID[self.unit]
        out = []
        for place, bucket in enumerate(self.period.buckets):
            values = [line.values[place] for line in self.lines]
            if any(values):
                out.append((self.period.said(bucket), [said(value) for value in values]))
        return out[::-1]


def over_time(period: Period, series: Sequence[Total], measure: Callable[[Total], Value]) -> list[Value]:
    """A measure of each bucket. `series` has one total a bucket at most; where there is none it is 0."""
    at = {int(total.group[0]): measure(total) for total in series}
    return [at.get(bucket, 0.0) for bucket in period.buckets]


def requests(period: Period, series: Sequence[Total]) -> Chart:
    return Chart(
        "requests",
        f"Requests per {period.unit}",
        "count",
        "bars",
        period,
        (
            Line(
                "answered at once", "ok", over_time(period, series, lambda one: one.requests - one.errors - one.saved)
            ),
            Line("saved by fallback", "saved", over_time(period, series, lambda one: one.saved)),
            Line("failed", "bad", over_time(period, series, lambda one: one.errors)),
        ),
    )


def tokens(period: Period, series: Sequence[Total]) -> Chart:
    return Chart(
        "tokens",
        f"Tokens per {period.unit}",
        "tokens",
        "bars",
        period,
        (
            Line("prompt", "c1", over_time(period, series, lambda one: max(0, one.prompt - one.cached))),
            Line("cached prompt", "c2", over_time(period, series, lambda one: one.cached)),
            Line("reasoning", "c3", over_time(period, series, lambda one: one.reasoning)),
            Line("completion", "c4", over_time(period, series, lambda one: max(0, one.completion - one.reasoning))),
        ),
    )


def cost(period: Period, series: Sequence[Total], name: Callable[[str], str], by: str) -> Chart:
    """Cost of each group, the dearest first; `series` is by bucket and one dimension more."""
    spent: dict[str, float] = {}
    for total in series:
        spent[total.group[1]] = spent.get(total.group[1], 0.0) + float(total.cost)
    ranked = [group for group in sorted(spent, key=lambda one: -spent[one]) if spent[group]]
    shown, rest = (ranked, []) if len(ranked) <= MOST_LINES else (ranked[: MOST_LINES - 1], ranked[MOST_LINES - 1 :])
    lines = [_cost_line(period, series, name(group), place, [group]) for place, group in enumerate(shown)]
    if rest:
        lines.append(_cost_line(period, series, f"{len(rest)} others", MOST_LINES - 1, rest))
    return Chart("cost", f"Cost per {period.unit}, by {by}", "usd", "bars", period, lines)


def _cost_line(period: Period, series: Sequence[Total], label: str, place: int, groups: Sequence[str]) -> Line:
    at: dict[int, float] = {}
    for total in series:
        if total.group[1] in groups:
            bucket = int(total.group[0])
            at[bucket] = at.get(bucket, 0.0) + float(total.cost)
    return Line(label, COLOURS[place], [at.get(bucket, 0.0) for bucket in period.buckets])
