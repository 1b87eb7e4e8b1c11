"""What can be asked for and who offers it: the settings turned into frozen values made for planning."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from config.load import Loaded
from config.schema import Endpoint as EndpointConfig
from config.schema import Model as ModelConfig
from config.secrets import Off
from providers.dialects.base import Extract
from router.money import Rates

SHORTLIST = 300
MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Provider:
    """Who serves an endpoint."""

    slug: str
    name: str
    """Display name, as answered in `provider`."""
    off: str | None
    """Why it is off, or None where it is on."""
    training: bool
    """It may train on what it is sent."""
    retention: bool
    zdr: bool
    max_concurrency: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One provider's offer of one model. Tokens; USD per million tokens."""

    model_id: str
    tag: str
    """`provider`, or `provider/variant`."""
    provider: Provider
    upstream_model: str
    context_length: int
    max_output: int | None
    quantization: str | None
    rates: Rates
    supports: frozenset[str] | None
    """Parameters it takes (OpenRouter's names); None: not declared, all."""
    modalities: frozenset[str]
    reasoning_mandatory: bool = False
    """The model always reasons."""
    extract: frozenset[Extract] = frozenset()
    """What is taken out of its text."""
    prefix: str | None = None
    """The operator's word on how it takes over a begun answer; None: what its profile says."""

    key: tuple[str, str] = field(init=False)
    """(model id, tag): what it is known by across reloads."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.model_id, self.tag))

    def takes(self, parameter: str) -> bool:
        return self.supports is None or parameter in self.supports

    def matches(self, reference: str) -> bool:
        """Whether `order`, `only` or `ignore` mean it: a slug every variant, a tag just one, or the display name."""
        return reference in (self.provider.slug, self.tag, self.provider.name)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model of the catalogue."""

    id: str
    config: ModelConfig
    endpoints: tuple[Endpoint, ...]
    fallbacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A model as it was asked for: which one, and what its suffix asks of the routing."""

    model: Model
    sort: str | None = None


SUFFIX_SORTS = {"nitro": "throughput", "floor": "price"}
"""Dynamic suffixes: `:nitro` and `:floor`. Static ones (`:free`, …) are models of their own in the catalogue."""


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Every model, under every name it goes by."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    names: Mapping[str, Model] = field(repr=False)

    def resolve(self, name: str) -> Resolved | None:
        """The model a client's `model` means: its id, an alias or its canonical slug, with `:nitro` or `:floor`."""
        model = self.names.get(name)
        if model is not None:
            return Resolved(model)
        base, _, suffix = name.rpartition(":")
        sort = SUFFIX_SORTS.get(suffix)
        model = self.names.get(base) if sort else None
        return Resolved(model, sort) if model else None

    def nearest(self, name: str) -> list[str]:
        """Up to three names of models like `name`, best first."""
        wanted = name.lower()[:200]
        close = difflib.get_close_matches(wanted, _shortlist(wanted, self.names), n=9, cutoff=0.5)
        return list(dict.fromkeys(self.names[known].id for known in close))[:3]


def _shortlist(wanted: str, names: Iterable[str]) -> list[str]:
    """Those that share most words with what is wanted: comparing closely is too slow for a catalogue of thousands."""
    words = [word for word in re.split(r"[^a-z0-9.]+", wanted) if len(word) > 1][:MOST_WORDS]
    return heapq.nlargest(SHORTLIST, names, key=lambda name: sum(word in name for word in words))


def build(loaded: Loaded) -> Catalogue:
    """The catalogue of a configuration."""
    providers = {
        slug: Provider(
            slug=slug,
            name=provider.name or slug,
            off=_off_reason(loaded, slug),
            training=provider.data_policy.training,
            retention=provider.data_policy.retention,
            zdr=provider.data_policy.zdr,
            max_concurrency=provider.max_concurrency,
        )
        for slug, provider in loaded.settings.providers.items()
    }
    models = {id_: _model(id_, model, providers) for id_, model in loaded.settings.models.items()}
    return Catalogue(models, providers, dict(_names(models.values())))


def _off_reason(loaded: Loaded, slug: str) -> str | None:
    key = loaded.provider_keys[slug]
    return key.reason if isinstance(key, Off) else None


def _names(models: Iterable[Model]) -> Iterable[tuple[str, Model]]:
    for model in models:
        yield model.id, model
        if model.config.canonical_slug:
            yield model.config.canonical_slug, model
        for alias in model.config.aliases:
            yield alias, model


def _model(id_: str, model: ModelConfig, providers: Mapping[str, Provider]) -> Model:
    endpoints = tuple(_endpoint(id_, model, endpoint, providers[endpoint.provider]) for endpoint in model.endpoints)
    return Model(id_, model, endpoints, tuple(model.fallbacks))


def _endpoint(id_: str, model: ModelConfig, endpoint: EndpointConfig, provider: Provider) -> Endpoint:
    price = endpoint.price
    return Endpoint(
        model_id=id_,
        tag=f"{endpoint.provider}/{endpoint.variant}" if endpoint.variant else endpoint.provider,
        provider=provider,
        upstream_model=endpoint.model,
        context_length=endpoint.context_length or model.context_length,
        max_output=endpoint.max_output,
        quantization=endpoint.quantization,
        rates=Rates(
            prompt=price.prompt,
            completion=price.completion,
            cache_read=price.cache_read,
            cache_write=price.cache_write,
            request=price.request or Decimal(0),
        ),
        supports=None if endpoint.supports is None else frozenset(endpoint.supports),
        modalities=frozenset(model.input_modalities),
        reasoning_mandatory=model.reasoning is not None and model.reasoning.mandatory,
        extract=frozenset(endpoint.extract),
        prefix=endpoint.prefix,
    )
