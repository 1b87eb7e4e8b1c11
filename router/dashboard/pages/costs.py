"""Costs: who spent it, against which limits, and what it would have cost elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from router.catalogue import Endpoint
from router.dashboard import charts
from router.dashboard.figures import regroup, whole
from router.dashboard.view import Asked, Context
from router.state.values import Dimension, KeyRecord, KeyUsage, Total

BY: dict[str, tuple[str, Dimension]] = {
    "model": ("model", "model"),
    "provider": ("provider", "provider"),
    "key": ("key", "key"),
    "app": ("app", "app"),
}
MOST = 50
MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Limited:
    """A key with a limit, and what counts against it."""

    record: KeyRecord
    usage: KeyUsage

    @property
    def spent(self) -> Decimal:
        return self.usage.within(self.record.reset)

    @property
    def share(self) -> float:
        limit = self.record.limit
        return float(self.spent / limit) if limit else 1.0

    @property
    def tone(self) -> str:
        return "bad" if self.share >= 0.95 else "warn" if self.share >= 0.8 else "ok"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What part of the traffic would have cost at one provider alone. USD."""

    slug: str
    requests: int
    """Of models it offers."""
    paid: Decimal
    would: Decimal

    @property
    def difference(self) -> Decimal:
        """Above 0: routing saved so much."""
        return self.would - self.paid


async def costs(asked: Asked) -> Context:
    period, figures = asked.period("30d"), asked.sources.figures
    chosen = asked.one("by", "model")
    chosen = chosen if chosen in BY else "model"
    label, dimension = BY[chosen]
    series = await figures.series(period, dimension)
    names = await _names(asked)
    groups = sorted(regroup(series, lambda group: group[1:]), key=lambda one: (-one.cost, -one.requests))

    def name(group: str) -> str:
        return _named(asked, chosen, group, names)

    total = whole(series)
    return {
        "period": period,
        "by": chosen,
        "choices": list(BY),
        "total": total,
        "average": total.cost / total.requests if total.requests else None,
        "chart": charts.cost(period, series, name, label),
        "groups": [(name(one.group[0]), one, _part(one, total)) for one in groups[:MOST]],
        "rest": max(0, len(groups) - MOST),
        "limits": await _limits(asked),
        "elsewhere": elsewhere(asked, await figures.totals(period, "model")),
        "any": total.requests > 0,
    }


def _part(one: Total, of: Total) -> float:
    return float(one.cost / of.cost) if of.cost else 0.0


async def _names(asked: Asked) -> dict[str, str]:
    now = {record.hash: record.name for record in await asked.sources.keys.all()}
    return {**await asked.sources.figures.key_names(), **now}


def _named(asked: Asked, by: str, group: str, names: dict[str, str]) -> str:
    if by == "provider":
        return asked.provider_name(group) if group else "nobody (no provider answered)"
    if by == "key":
        return names.get(group) or (f"key {group[:8]}…" if group else "without a key")
    return group or ("unnamed apps" if by == "app" else "–")


async def _limits(asked: Asked) -> list[Limited]:
    keys = asked.sources.keys
    limited = [record for record in await keys.all() if record.limit is not None]
    found = [Limited(record, await keys.usage(record.hash)) for record in limited[:MOST]]
    return sorted(found, key=lambda one: -one.share)


def elsewhere(asked: Asked, totals: Sequence[Total]) -> list[Elsewhere]:
    """For every provider that offers any of the models used; the cheapest for all of the traffic first."""
    models = asked.sources.catalogue().models
    found: dict[str, Elsewhere] = {}
    for total in totals:
        model = models.get(total.group[0])
        for endpoint in _cheapest([one for one in model.endpoints if one.provider.off is None] if model else ()):
            slug = endpoint.provider.slug
            held = found.get(slug, Elsewhere(slug, 0, Decimal(0), Decimal(0)))
            would = held.would + at_rates(endpoint, total)
            found[slug] = Elsewhere(slug, held.requests + total.requests, held.paid + total.cost, would)
    return sorted(found.values(), key=lambda one: (-one.requests, one.would))


def _cheapest(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """One of each provider: a single provider would be asked for its cheapest variant."""
    out: dict[str, Endpoint] = {}
    for endpoint in sorted(endpoints, key=lambda one: one.rates.prompt + one.rates.completion):
        out.setdefault(endpoint.provider.slug, endpoint)
    return list(out.values())


def at_rates(endpoint: Endpoint, total: Total) -> Decimal:
    """USD of these tokens at an endpoint's prices. Cached tokens are taken to have been cached there too."""
    rates = endpoint.rates
    read = rates.prompt if rates.cache_read is None else rates.cache_read
    write = rates.prompt if rates.cache_write is None else rates.cache_write
    plain = max(0, total.prompt - total.cached - total.cache_write)
    prompt = plain * rates.prompt + total.cached * read + total.cache_write * write
    return (prompt + total.completion * rates.completion) / MILLION + rates.request * (total.requests - total.errors)
