"""The plan of a request: which endpoints, in what order, and why not the others. Pure: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import NamedTuple

from router.ask import Ask
from router.catalogue import Catalogue, Endpoint, Model, Resolved
from router.errors import UnknownModel
from router.health import Standing, Tier
from router.policy import REGISTRY, Candidate
from router.preferences import Effective

EXPECTED_OUTPUT = 1_000
"""Tokens of output assumed where neither the request nor experience says."""

DEMOTIONS = {
    "throughput": 1,
    "latency": 2,
    "degraded": 4,
    "context_uncertain": 8,
    "parameters": 16,
    "outage": 32,
    "down": 64,
}
"""What sends an endpoint back in the order, and how far: any heavier reason outweighs all lighter ones."""

SOFT_PARAMETERS = ("tools", "response_format", "verbosity")
"""An endpoint that lacks one of these goes behind those that have it (OpenRouter, since August 2026)."""


@dataclass(frozen=True, slots=True, eq=False)
class Excluded:
    """An endpoint that may not serve the request, and why."""

    endpoint: Endpoint
    expected_cost: float
    """USD of this request, had it been served there."""
    reason: str
    until: float | None = None
    """When a passing exclusion ends, on the health's clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Endpoints to go through before the plan leaves a model (with `partition: none`: all models at once)."""

    models: tuple[str, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Stages in order, and everyone who is not in them."""

    models: tuple[str, ...]
    """Catalogue ids, the requested one first."""
    strategy: str
    stages: tuple[Stage, ...]
    excluded: tuple[Excluded, ...]
    last_resort: Endpoint | None
    """The best of those that only their health keeps out; tried once if no stage has anyone."""
    rules: Effective

    def chances(self) -> dict[Endpoint, float]:
        """Each endpoint's chance of being tried first, 0 to 1; those with none are left out."""
        if not self.stages:
            return {}
        batch, policy = next(pair for pair in _batches(list(self.stages[0].candidates), self.rules) if pair[0])
        shares = REGISTRY[policy].chances(batch)
        return {candidate.endpoint: share for candidate, share in zip(batch, shares, strict=True)}


class Context(NamedTuple):
    """What planning needs besides the request: read, never changed."""

    catalogue: Catalogue
    preferences: Callable[[str], Effective]
    """The YAML's preferences for a model id."""
    standing: Callable[[Endpoint], Standing]
    merge: Callable[[Effective, Ask], Effective]
    rng: Random
    allowed: Callable[[str], bool] = lambda model_id: True
    """Whether the caller's key may use a model."""


PASSING = ("ejected", "cooling", "provider_put_aside", "max_concurrency")
"""Exclusions that health alone made: they end by themselves."""


def make(ask: Ask, context: Context) -> Plan:
    """Plan a request. Raises UnknownModel."""
    excluded: list[Excluded] = []
    groups: list[tuple[str, Effective, list[Candidate]]] = []
    wanted = resolve(ask, context.catalogue)
    for resolved in wanted:
        rules = context.merge(context.preferences(resolved.model.id), ask)
        if resolved.sort:
            rules = replace(rules, sort=resolved.sort)
        groups.append((resolved.model.id, rules, _judge(ask, resolved.model, rules, context, excluded)))
    rules = groups[0][1]
    stages = _stages(groups, context.rng)
    return Plan(
        models=tuple(id_ for id_, _, _ in groups),
        strategy="order" if rules.order else rules.sort or "price",
        stages=tuple(stages),
        excluded=tuple(excluded),
        last_resort=None if stages else _last_resort(excluded),
        rules=next((own for id_, own, _ in groups if stages and id_ in stages[0].models), rules),
    )


def resolve(ask: Ask, catalogue: Catalogue) -> list[Resolved]:
    """The models of a request in order: those it names, else its model and the catalogue's fallbacks for it."""
    named: list[Resolved] = []
    for name in ask.models:
        resolved = catalogue.resolve(name)
        if resolved is None:
            raise _unknown(name, catalogue)
        if all(resolved.model is not other.model for other in named):
            named.append(resolved)
    if ask.named_fallbacks:
        return named
    first = named[0]
    fallbacks = (catalogue.models[id_] for id_ in first.model.fallbacks)
    return named + [Resolved(model, first.sort) for model in fallbacks if model is not first.model]


def _unknown(name: str, catalogue: Catalogue) -> UnknownModel:
    nearest = catalogue.nearest(name)
    hint = f" Did you mean {' or '.join(nearest)}?" if nearest else " See GET /v1/models."
    return UnknownModel(f"{name[:200]} is not a valid model ID.{hint}", param="model", metadata={"nearest": nearest})


# --- who may serve it ---------------------------------------------------------------------------------


def _judge(ask: Ask, model: Model, rules: Effective, context: Context, excluded: list[Excluded]) -> list[Candidate]:
    """The model's endpoints that may serve the request; the others go to `excluded`."""
    output = ask.max_tokens or EXPECTED_OUTPUT
    tokens = ask.prompt.tokens
    allowed = context.allowed(model.id)
    candidates: list[Candidate] = []
    for endpoint in model.endpoints:
        cost = endpoint.rates.expected(tokens, 0, output)
        reason = exclusion(ask, endpoint, rules) if allowed else "key_models"
        if reason is not None:
            excluded.append(Excluded(endpoint, cost, reason))
            continue
        standing = context.standing(endpoint)
        if standing.unavailable:
            excluded.append(Excluded(endpoint, cost, standing.unavailable, standing.until))
        else:
            candidates.append(Candidate(endpoint, standing, cost))
    return _demoted(ask, candidates)


Rule = Callable[[Ask, Endpoint, Effective], bool]


def _not_in_only(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return not all(any(endpoint.matches(name) for name in names) for names in rules.only)


def _lacks_parameters(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return rules.require_parameters and not all(endpoint.takes(_declared(name)) for name in ask.parameters)


def _declared(parameter: str) -> str:
    return "max_tokens" if parameter == "max_completion_tokens" else parameter


def _above(limit: Decimal | None, price: Decimal) -> bool:
    return limit is not None and price > limit


def _too_dear(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    rates = endpoint.rates
    return (
        _above(rules.max_prompt, rates.prompt)
        or _above(rules.max_completion, rates.completion)
        or _above(rules.max_request, rates.request)
    )


def _output_too_long(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return endpoint.max_output is not None and (ask.max_tokens or 0) > endpoint.max_output


def _does_not_fit(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return ask.prompt.low + (ask.max_tokens or 0) > endpoint.context_length


EXCLUSIONS: tuple[tuple[str, Rule], ...] = (
    ("provider_off", lambda ask, endpoint, rules: endpoint.provider.off is not None),
    ("only", _not_in_only),
    ("ignore", lambda ask, endpoint, rules: any(endpoint.matches(name) for name in rules.ignore)),
    (
        "quantizations",
        lambda ask, endpoint, rules: (
            rules.quantizations is not None and (endpoint.quantization or "unknown") not in rules.quantizations
        ),
    ),
    (
        "data_policy:training",
        lambda ask, endpoint, rules: rules.deny_collection and endpoint.provider.training,
    ),
    ("data_policy:zdr", lambda ask, endpoint, rules: rules.zdr and not endpoint.provider.zdr),
    ("max_price", _too_dear),
    ("require_parameters", _lacks_parameters),
    ("modality", lambda ask, endpoint, rules: not ask.modalities <= endpoint.modalities),
    ("max_output", _output_too_long),
    ("context_length", _does_not_fit),
)
"""Every reason that keeps an endpoint out, in the order they are looked at; the first that holds is named."""


def exclusion(ask: Ask, endpoint: Endpoint, rules: Effective) -> str | None:
    """Why an endpoint may not serve a request, or None."""
    for name, holds in EXCLUSIONS:
        if holds(ask, endpoint, rules):
            return name
    return None


# --- in what order ------------------------------------------------------------------------------------


def _demoted(ask: Ask, candidates: list[Candidate]) -> list[Candidate]:
    wanted = [name for name in SOFT_PARAMETERS if name in ask.parameters]
    had = [name for name in wanted if any(candidate.endpoint.takes(name) for candidate in candidates)]
    return [_demote(ask, candidate, had) for candidate in candidates]


def _demote(ask: Ask, candidate: Candidate, had: Sequence[str]) -> Candidate:
    endpoint, standing = candidate.endpoint, candidate.standing
    reasons: list[str] = []
    if ask.prompt.high + (ask.max_tokens or 0) > endpoint.context_length:
        reasons.append("context_uncertain")
    if not all(endpoint.takes(name) for name in had):
        reasons.append("parameters")
    if standing.outage:
        reasons.append("outage")
    if standing.tier is not Tier.NORMAL:
        reasons.append(standing.tier.name.lower())
    if not reasons:
        return candidate
    return Candidate(
        endpoint,
        standing,
        candidate.expected_cost,
        tuple(reasons),
        sum(DEMOTIONS[reason] for reason in reasons),
    )


def _stages(groups: list[tuple[str, Effective, list[Candidate]]], rng: Random) -> list[Stage]:
    rules = groups[0][1]
    if rules.across_models:
        everyone = [candidate for _, _, candidates in groups for candidate in candidates]
        merged = [(tuple(id_ for id_, _, _ in groups), rules, everyone)]
    else:
        merged = [((id_,), own, candidates) for id_, own, candidates in groups]
    return [Stage(models, tuple(_ordered(candidates, own, rng))) for models, own, candidates in merged if candidates]


def _ordered(candidates: list[Candidate], rules: Effective, rng: Random) -> list[Candidate]:
    """Those named in `order` first, as named; then group by group, the least demoted first."""
    order: list[Candidate] = []
    for batch, policy in _batches(candidates, rules):
        order += REGISTRY[policy].order(batch, rng) if len(batch) > 1 else batch
    return order


def _batches(candidates: list[Candidate], rules: Effective) -> Iterable[tuple[list[Candidate], str]]:
    """Candidates that are alike but for the policy, and the policy that orders them, first batch first."""
    left = candidates
    for name in rules.order:
        named = [candidate for candidate in left if candidate.endpoint.matches(name)]
        left = [candidate for candidate in left if not candidate.endpoint.matches(name)]
        yield named, "weighted"
    policy = rules.sort or "weighted"
    for severity in sorted({candidate.severity for candidate in left}):
        yield [candidate for candidate in left if candidate.severity == severity], policy


def _last_resort(excluded: list[Excluded]) -> Endpoint | None:
    """Of those that only health keeps out, the one whose time is over first; not one that is merely full."""
    waiting = [one for one in excluded if one.reason in PASSING[:3]]
    if not waiting:
        return None
    return min(waiting, key=lambda one: (one.until or 0.0, one.expected_cost)).endpoint
