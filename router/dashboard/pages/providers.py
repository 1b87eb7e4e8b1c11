"""Providers: uptime by hour with and without our fallback, and speed compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.dashboard.pages.overview import ProviderLine, provider_lines, slowest
from router.dashboard.period import Period
from router.dashboard.states import State, by_provider, endpoint_state
from router.dashboard.strips import of_requests, strip
from router.dashboard.view import Asked, Context

HOURS = 72
MOST_ENDPOINTS = 200


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """One endpoint's standing now."""

    model: str
    tag: str
    state: State
    uptime: float | None
    """Share of attempts of the last 30 minutes, in this process."""


async def providers(asked: Asked) -> Context:
    sources = asked.sources
    now = Period("3d", "last 3 days", "hour", HOURS, asked.now)
    seen = await provider_lines(asked, now)
    series = await sources.figures.series(now)
    return {
        "period": now,
        "hours": HOURS,
        "with_fallback": strip(now, of_requests(series), "requests"),
        "providers": seen,
        "saved": sum(total.saved for total in series),
        "endpoints": _endpoints(asked),
        "slowest": slowest(seen, "first_token"),
        "fastest": slowest(seen, "throughput"),
        "compared": _compared(seen),
    }


def _compared(lines: Sequence[ProviderLine]) -> list[ProviderLine]:
    return [line for line in lines if line.speed.first_token or line.speed.throughput]


def _endpoints(asked: Asked) -> dict[str, list[EndpointLine]]:
    """By provider; those of big catalogues that serve as they should are left out."""
    health = asked.sources.health
    out: dict[str, list[EndpointLine]] = {}
    for slug, offers in by_provider(asked.sources.catalogue()).items():
        lines = [
            EndpointLine(one.model_id, one.tag, endpoint_state(one, health), health.ratio(one, 1800)) for one in offers
        ]
        out[slug] = lines if len(lines) <= MOST_ENDPOINTS else [line for line in lines if line.state.tone != "ok"]
    return out
