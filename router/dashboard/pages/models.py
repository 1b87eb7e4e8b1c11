"""Models: the catalogue to search, sort and compare, and a page a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from router.catalogue import Endpoint, Model
from router.dashboard import charts, code
from router.dashboard.figures import fold, uptimes
from router.dashboard.period import Period
from router.dashboard.speeds import UNKNOWN, Speed, speeds
from router.dashboard.states import State, all_ejected, endpoint_state
from router.dashboard.strips import Strip, of_requests, strip
from router.dashboard.view import Asked, Context, NotFound
from router.state.values import AttemptRow, Total

A_PAGE = 60
TOP_APPS = 10


@dataclass(frozen=True, slots=True)
class Card:
    """A model in the list. Prices are the lowest among its endpoints, USD per million tokens."""

    model: Model
    prompt: Decimal
    completion: Decimal
    context: int
    providers: Sequence[str]
    capabilities: frozenset[str]
    off: bool
    """No provider of it is on."""
    total: Total

    @property
    def name(self) -> str:
        return self.model.config.name

    @property
    def created(self) -> str:
        return str(self.model.config.created or "")


def card(model: Model, totals: dict[str, Total]) -> Card:
    on = [endpoint for endpoint in model.endpoints if endpoint.provider.off is None]
    offers = on or list(model.endpoints)
    supports = {name for endpoint in offers for name in endpoint.supports or ()}
    if model.config.reasoning is not None:
        supports.add("reasoning")
    return Card(
        model,
        min(endpoint.rates.prompt for endpoint in offers),
        min(endpoint.rates.completion for endpoint in offers),
        max(endpoint.context_length for endpoint in offers),
        list(dict.fromkeys(endpoint.provider.name for endpoint in offers)),
        frozenset(supports),
        not on,
        totals.get(model.id, Total((model.id,))),
    )


SORTS: dict[str, tuple[str, Callable[[Card], Any]]] = {
    "used": ("Most used", lambda one: (-one.total.requests, one.name.lower())),
    "name": ("Name", lambda one: one.name.lower()),
    "price": ("Price, lowest first", lambda one: (one.prompt + one.completion, one.name.lower())),
    "context": ("Context, longest first", lambda one: (-one.context, one.name.lower())),
    "newest": ("Newest", lambda one: tuple(-ord(sign) for sign in one.created) or (0,)),
}
CAPABILITIES = (("tools", "Tools"), ("reasoning", "Reasoning"), ("structured_outputs", "Structured outputs"))


async def models(asked: Asked) -> Context:
    totals = await _used(asked)
    cards = [card(model, totals) for model in asked.sources.catalogue().models.values()]
    modalities = sorted({one for each in cards for one in each.model.config.input_modalities})
    kept = [one for one in cards if _matches(asked, one)]
    sort = asked.one("sort", "used")
    sort = sort if sort in SORTS else "used"
    kept.sort(key=SORTS[sort][1])
    page = max(1, int(number)) if (number := asked.one("page", "1")[:6]).isdigit() else 1
    return {
        "cards": kept[(page - 1) * A_PAGE : page * A_PAGE],
        "found": len(kept),
        "all": len(cards),
        "page": page,
        "pages": max(1, -(-len(kept) // A_PAGE)),
        "sorts": [(name, label) for name, (label, _) in SORTS.items()],
        "sort": sort,
        "modalities": modalities,
        "capabilities": CAPABILITIES,
        "picked": asked.query.get("can", []),
    }


async def _used(asked: Asked) -> dict[str, Total]:
    found = await asked.sources.figures.totals(asked.period("7d"), "model")
    return {total.group[0]: total for total in found}


def _matches(asked: Asked, one: Card) -> bool:
    words = asked.one("q").lower().split()
    config = one.model.config
    text = " ".join((one.model.id, config.name, *config.aliases, *one.providers)).lower()
    modality, context, dearest = asked.one("modality"), asked.one("context"), _decimal(asked.one("price"))
    return (
        all(word in text for word in words)
        and (not modality or modality in config.input_modalities)
        and (not context.isdigit() or one.context >= int(context))
        and (dearest is None or one.prompt <= dearest)
        and all(name in one.capabilities for name in asked.query.get("can", [])[:10])
    )


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


@dataclass(frozen=True, slots=True)
class Offer:
    """One endpoint of a model."""

    endpoint: Endpoint
    state: State
    strip: Strip
    speed: Speed
    gone: bool = False


async def model(asked: Asked, name: str) -> Context:
    found = _find(asked, name)
    period = asked.period("30d")
    figures = asked.sources.figures
    series = await figures.series(period, model=found.id)
    days = Period("3d", "last 3 days", "hour", 72, asked.now)
    apps = await figures.totals(period, "app", model=found.id)
    return {
        "card": card(found, {total.group[0]: total for total in fold(await figures.series(period, "model"))}),
        "config": found.config,
        "period": period,
        "activity": charts.tokens(period, series),
        "requests": charts.requests(period, series),
        "strip": strip(days, of_requests(await figures.series(days, model=found.id)), "requests"),
        "offers": await _offers(asked, found, days),
        "stuck": all_ejected(found.endpoints, asked.sources.health),
        "apps": sorted(apps, key=lambda one: -(one.prompt + one.completion))[:TOP_APPS],
        "samples": code.samples(asked.base_url, found.id),
        "raw": json.dumps(found.config.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False),
        "fallbacks": found.fallbacks,
    }


def _find(asked: Asked, name: str) -> Model:
    catalogue = asked.sources.catalogue()
    resolved = catalogue.resolve(name)
    if resolved is not None:
        return resolved.model
    nearest = [(f"models/{near}", near) for near in catalogue.nearest(name)]
    raise NotFound(
        f"There is no model {name[:200]} in this gateway's configuration.", [*nearest, ("models", "All models")]
    )


async def _offers(asked: Asked, found: Model, days: Period) -> list[Offer]:
    sources = asked.sources
    counts = uptimes(await sources.figures.attempts(days, "provider", model=found.id), 1)
    fast = speeds(await sources.figures.recent(), _tag, found.id)
    return [
        Offer(
            endpoint,
            endpoint_state(endpoint, sources.health),
            strip(days, counts.get(endpoint.provider.slug, {}), "attempts"),
            fast.get(endpoint.tag, UNKNOWN),
        )
        for endpoint in sorted(found.endpoints, key=lambda one: one.rates.prompt + one.rates.completion)
    ]


def _tag(attempt: AttemptRow) -> str:
    return attempt.tag


async def compare(asked: Asked) -> Context:
    names = list(dict.fromkeys(asked.query.get("m", [])))[:4]
    totals = await _used(asked)
    cards = [card(_find(asked, name), totals) for name in names]
    fast = {one.model.id: speeds(await asked.sources.figures.recent(), lambda _: "", one.model.id) for one in cards}
    return {"cards": cards, "speeds": {id_: found.get("", UNKNOWN) for id_, found in fast.items()}}
