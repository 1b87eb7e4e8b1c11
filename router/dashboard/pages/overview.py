"""Overview: is anything wrong, how fast is it, and what does it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.dashboard import charts, words
from router.dashboard.figures import regroup, uptimes, whole
from router.dashboard.pages.requests import failed, fell_back
from router.dashboard.period import Period
from router.dashboard.speeds import UNKNOWN, Speed, speeds
from router.dashboard.states import ON, State, all_ejected, by_provider, provider_state
from router.dashboard.strips import Strip, of_requests, strip
from router.dashboard.view import Asked, Context
from router.speed import Spread
from router.state.values import Row, Total

ATTENTION = 6
"""Requests shown of those that did not go smoothly."""


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """One provider, in one row."""

    slug: str
    name: str
    state: State
    strip: Strip
    speed: Speed
    total: Total
    share: float
    """Of all requests that were answered by somebody."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The one line at the top. `tone`: ok, warn, bad or none."""

    tone: str
    headline: str
    points: Sequence[tuple[str, str]]
    """(what, why)."""


async def overview(asked: Asked) -> Context:
    sources, period = asked.sources, asked.period()
    figures = sources.figures
    series = await figures.series(period)
    by = await figures.series(period, "provider")
    rows = await figures.recent()
    total = whole(series)
    lines = await provider_lines(asked, period)
    return {
        "period": period,
        "verdict": _verdict(asked, lines, total),
        "total": total,
        "answered": _share(total.requests - total.errors, total.requests),
        "speed": _overall(rows),
        "overhead": _median([row.overhead for row in rows]),
        "in_flight": sources.in_flight(),
        "charts": [
            charts.requests(period, series),
            charts.cost(period, by, asked.provider_name, "provider"),
            charts.tokens(period, series),
        ],
        "strip": strip(period, of_requests(series), "requests"),
        "providers": lines,
        "attention": [row for row in rows if failed(row) or fell_back(row)][:ATTENTION],
        "any": bool(rows) or total.requests > 0,
        "first_model": next(iter(sources.catalogue().models), ""),
    }


def _share(part: int, of: int) -> float | None:
    return part / of if of else None


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def _overall(rows: list[Row]) -> Speed:
    found: dict[str, Speed] = speeds(rows, lambda attempt: "")
    return found.get("", UNKNOWN)


async def provider_lines(asked: Asked, period: Period) -> list[ProviderLine]:
    """Every provider of the configuration and of the history in this period, the busiest first."""
    sources = asked.sources
    catalogue, health = sources.catalogue(), sources.health
    served = {one.group[0]: one for one in await sources.figures.totals(period, "provider")}
    tried = uptimes(await sources.figures.attempts(period, "provider"), 1)
    fast = speeds(await sources.figures.recent(), lambda attempt: attempt.provider)
    offers = by_provider(catalogue)
    answered = sum(one.requests for slug, one in served.items() if slug)
    out = []
    for slug in sorted({*catalogue.providers, *served, *tried} - {""}):
        known = catalogue.providers.get(slug)
        total = served.get(slug, Total((slug,)))
        out.append(
            ProviderLine(
                slug,
                asked.provider_name(slug),
                provider_state(known, offers[slug], health) if known else State("gone", "no longer configured"),
                strip(period, tried.get(slug, {}), "attempts"),
                fast.get(slug, UNKNOWN),
                total,
                total.requests / answered if answered else 0.0,
            )
        )
    return sorted(out, key=lambda line: (-line.total.requests, line.state.tone == "off", line.name))


def _verdict(asked: Asked, lines: list[ProviderLine], total: Total) -> Verdict:
    points = _points(asked, lines)
    rate = _share(total.errors, total.requests) or 0.0
    if rate >= 0.01:
        points.append(
            (
                f"{words.percent(rate)} of requests failed",
                f"{total.errors:,} of {total.requests:,} in the {asked.period().label}",
            )
        )
    stuck = _unavailable(asked)
    if stuck:
        points.insert(0, (f"{', '.join(stuck)}: no endpoint is available", "requests wait for a probe to succeed"))
    if stuck or rate >= 0.05:
        return Verdict("bad", "Clients are getting errors", points)
    if points:
        return Verdict("warn", _calm(total), points)
    if not total.requests:
        return Verdict("none", f"No requests in the {asked.period().label}", points)
    return Verdict("ok", "All is well", points)


def _calm(total: Total) -> str:
    return "Clients are served, but something needs a look" if total.requests else "Something needs a look"


def _points(asked: Asked, lines: list[ProviderLine]) -> list[tuple[str, str]]:
    points = [
        (f"{line.name} is {line.state.word}", line.state.why)
        for line in lines
        if line.state.tone in ("warn", "bad") and line.state != ON
    ]
    status = asked.sources.status()
    if not status.ok:
        points.append(("The state store cannot be reached", status.reason or "limits are kept by this process alone"))
    return points


def _unavailable(asked: Asked) -> list[str]:
    models = asked.sources.catalogue().models.values()
    return [model.id for model in models if all_ejected(model.endpoints, asked.sources.health)][:3]


def busiest(totals: list[Total], place: int = 0) -> list[Total]:
    """By one part of their groups, the most requests first."""
    return sorted(regroup(totals, lambda group: (group[place],)), key=lambda one: -one.requests)


def slowest(lines: list[ProviderLine], of: str) -> float:
    """The largest p99, which the bars are drawn against; `of`: first_token or throughput."""
    found: list[Spread | None] = [getattr(line.speed, of) for line in lines]
    return max((max(one.p50, one.p99) for one in found if one), default=0.0)
