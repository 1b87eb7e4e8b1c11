"""Provider preferences in force for one request: the YAML's and the request's, merged field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fnmatch import fnmatchcase

from config.preferences import Percentiles, Preferences, Sort
from config.schema import PreferenceSets


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds after merging. Prices in USD per million tokens (`request`: per request); latency in seconds,
    throughput in tokens a second."""

    order: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    deny_collection: bool = False
    zdr: bool = False
    only: tuple[frozenset[str], ...] = ()
    """Every list must hold the endpoint: the intersection."""
    ignore: frozenset[str] = frozenset()
    quantizations: frozenset[str] | None = None
    sort: str | None = None
    across_models: bool = False
    """`partition: none`: the endpoints of all models are sorted together."""
    min_throughput: Percentiles | None = None
    max_latency: Percentiles | None = None
    max_prompt: Decimal | None = None
    max_completion: Decimal | None = None
    max_request: Decimal | None = None


DEFAULTS = Effective()


def merge(base: Effective, over: Preferences) -> Effective:
    """`over` laid over `base`: a field that is set wins, except that lists of providers only ever get narrower
    and privacy only ever stricter."""
    if not over.model_fields_set:
        return base
    merged = replace(
        base,
        order=base.order if over.order is None else tuple(over.order),
        allow_fallbacks=_either(over.allow_fallbacks, base.allow_fallbacks),
        require_parameters=_either(over.require_parameters, base.require_parameters),
        deny_collection=base.deny_collection or over.data_collection == "deny",
        zdr=base.zdr or bool(over.zdr),
        only=base.only if over.only is None else (*base.only, frozenset(over.only)),
        ignore=base.ignore if over.ignore is None else base.ignore | frozenset(over.ignore),
        quantizations=base.quantizations if over.quantizations is None else frozenset(over.quantizations),
        min_throughput=_first(over.preferred_min_throughput, base.min_throughput),
        max_latency=_first(over.preferred_max_latency, base.max_latency),
    )
    return _with_price(_with_sort(merged, over.sort), over)


def _either(value: bool | None, default: bool) -> bool:
    return default if value is None else value


def _first(value: Percentiles | None, default: Percentiles | None) -> Percentiles | None:
    return default if value is None else value


def _with_sort(merged: Effective, sort: Sort | None) -> Effective:
    if sort is None:
        return merged
    return replace(merged, sort=sort.by or merged.sort, across_models=sort.partition == "none")


def _with_price(merged: Effective, over: Preferences) -> Effective:
    most = over.max_price
    if most is None:
        return merged
    return replace(
        merged,
        max_prompt=merged.max_prompt if most.prompt is None else most.prompt,
        max_completion=merged.max_completion if most.completion is None else most.completion,
        max_request=merged.max_request if most.request is None else most.request,
    )


def for_model(sets: PreferenceSets, model_id: str) -> Effective:
    """The YAML's preferences for a model: `default`, then every glob of `models` that fits, in file order."""
    merged = merge(DEFAULTS, sets.default)
    for glob, layer in sets.models.items():
        if fnmatchcase(model_id, glob):
            merged = merge(merged, layer)
    return merged


def names_only(lists: Sequence[frozenset[str]]) -> str:
    """`only` lists for people."""
    return " and ".join("[" + ", ".join(sorted(names)) + "]" for names in lists)
