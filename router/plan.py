"""The plan of a request: which endpoints, in what order, and why not the others. Pure: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from config.preferences import Percentiles
from router.ask import Ask
from router.catalogue import Catalogue, Endpoint, Model, Resolved
from router.errors import UnknownModel
from router.exclusion import Need, Sieve, exclusion, in_force, sieve
from router.facts import Standing, Tier
from router.learned import Learned, nothing
from router.policy import REGISTRY, Candidate
from router.preferences import Effective
from router.speed import Spread

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
    rules: Effective
    draw: str
    """The policy where neither `order` nor `sort` decides; see router.policy.REGISTRY."""

    def batches(self) -> Iterable[tuple[list[Candidate], list[float]]]:
        """Candidates that are alike but for the policy, and each one's chance of being the first of them."""
        for batch, policy in _batches(list(self.candidates), self.rules, self.draw):
            if batch:
                yield batch, REGISTRY[policy].chances(batch)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Stages in order, and everyone who is not in them."""

    models: tuple[str, ...]
    """Catalogue ids, the requested one first."""
    strategy: str
    stages: tuple[Stage, ...]
    excluded: tuple[Excluded, ...]
    last_resorts: tuple[Endpoint, ...]
    """Those that only their health keeps out, the best first; one is tried once if no stage has anyone."""
    rules: Effective

    def chances(self) -> dict[Endpoint, float]:
        """Each endpoint's chance of being tried first, 0 to 1; those with none are left out."""
        if not self.stages:
            return {}
        batch, shares = next(iter(self.stages[0].batches()))
        return {candidate.endpoint: share for candidate, share in zip(batch, shares, strict=True)}


def _sieve(model: Model, rules: Effective) -> Sieve:
    return sieve(model.endpoints, rules)


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
    stuck: tuple[str, str] | None = None
    """(model id, tag) of the endpoint that has this conversation in its cache."""
    cached: int = 0
    """Tokens of the prompt that are cached there."""
    learned: Callable[[str], Learned] = nothing
    """What experience says of a model id."""
    draw: str = "weighted"
    """The policy behind `routing.strategy`; see router.policy.STRATEGIES."""
    sieve: Callable[[Model, Effective], Sieve] = _sieve
    """What preferences alone make of a model's endpoints; may remember it."""


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
    stages = _stages(groups, context)
    return Plan(
        models=tuple(id_ for id_, _, _ in groups),
        strategy="order" if rules.order else rules.sort or ("price" if context.draw == "weighted" else context.draw),
        stages=tuple(stages),
        excluded=tuple(excluded),
        last_resorts=() if stages else _last_resorts(excluded),
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
    learned = context.learned(model.id)
    prompt, most_output = learned.prompt(ask.prompt), ask.max_tokens or 0
    need = Need(ask, prompt.tokens, prompt.low + most_output, prompt.high + most_output)
    output = learned.completion(ask.max_tokens, EXPECTED_OUTPUT)
    allowed = context.allowed(model.id)
    among = context.sieve(model, rules)
    asked = in_force(need, among)
    candidates: list[Candidate] = []
    for endpoint, kept_out in among.endpoints:
        cached = min(context.cached, need.tokens) if context.stuck == endpoint.key else 0
        cost = endpoint.rates.expected(need.tokens, cached, output)
        reason = "key_models" if not allowed else kept_out or (exclusion(asked, need, endpoint) if asked else None)
        if reason is not None:
            excluded.append(Excluded(endpoint, cost, reason))
            continue
        standing = context.standing(endpoint)
        if standing.unavailable:
            excluded.append(Excluded(endpoint, cost, standing.unavailable, standing.until))
        else:
            candidates.append(Candidate(endpoint, standing, cost))
    return _demoted(need, among, candidates, context.stuck)


# --- in what order ------------------------------------------------------------------------------------


def _demoted(need: Need, among: Sieve, candidates: list[Candidate], stuck: tuple[str, str] | None) -> list[Candidate]:
    wanted = [name for name in SOFT_PARAMETERS if name in need.ask.parameters]
    had = [name for name in wanted if any(candidate.endpoint.takes(name) for candidate in candidates)]
    speeds = among.rules.min_throughput is not None or among.rules.max_latency is not None
    if had or speeds or need.most > among.least_context or any(one.standing.troubled for one in candidates):
        candidates = [_demote(need, candidate, among.rules, had) for candidate in candidates]
    return candidates if stuck is None else [_marked(candidate, stuck) for candidate in candidates]


def _marked(candidate: Candidate, stuck: tuple[str, str]) -> Candidate:
    """A cache is worth a slower endpoint, not one in an outage or one that cannot do what is asked."""
    if candidate.endpoint.key != stuck or candidate.severity >= DEMOTIONS["parameters"]:
        return candidate
    return candidate._replace(sticky=True)


def _demote(need: Need, candidate: Candidate, rules: Effective, had: Sequence[str]) -> Candidate:
    endpoint, standing = candidate.endpoint, candidate.standing
    reasons: list[str] = []
    if rules.min_throughput is not None and _misses(standing.throughput, rules.min_throughput, above=True):
        reasons.append("throughput")
    if rules.max_latency is not None and _misses(standing.latency, rules.max_latency, above=False):
        reasons.append("latency")
    if need.most > endpoint.context_length:
        reasons.append("context_uncertain")
    if not all(endpoint.takes(name) for name in had):
        reasons.append("parameters")
    if standing.outage:
        reasons.append("outage")
    if standing.tier is not Tier.NORMAL:
        reasons.append(standing.tier.name.lower())
    if not reasons:
        return candidate
    severity = sum(DEMOTIONS[reason] for reason in reasons)
    return Candidate(endpoint, standing, candidate.expected_cost, tuple(reasons), severity)


def _misses(measured: Spread | None, wanted: Percentiles, *, above: bool) -> bool:
    """Whether any of the percentiles asked for is not met. What was never measured is no miss: it must be tried to be
    known."""
    if measured is None:
        return False
    pairs = (
        (measured.p50, wanted.p50),
        (measured.p75, wanted.p75),
        (measured.p90, wanted.p90),
        (measured.p99, wanted.p99),
    )
    return any(cutoff is not None and (figure < cutoff if above else figure > cutoff) for figure, cutoff in pairs)


def _stages(groups: list[tuple[str, Effective, list[Candidate]]], context: Context) -> list[Stage]:
    rules = groups[0][1]
    if rules.across_models:
        everyone = [candidate for _, _, candidates in groups for candidate in candidates]
        merged = [(tuple(id_ for id_, _, _ in groups), rules, everyone)]
    else:
        merged = [((id_,), own, candidates) for id_, own, candidates in groups]
    return [
        Stage(models, _ordered(candidates, own, context), own, context.draw)
        for models, own, candidates in merged
        if candidates
    ]


def _ordered(candidates: list[Candidate], rules: Effective, context: Context) -> tuple[Candidate, ...]:
    """Those named in `order` first, as named; then group by group, the least demoted first."""
    order: list[Candidate] = []
    for batch, policy in _batches(candidates, rules, context.draw):
        order += REGISTRY[policy].order(batch, context.rng) if len(batch) > 1 else batch
    return tuple(order)


def _batches(candidates: list[Candidate], rules: Effective, draw: str) -> Iterable[tuple[list[Candidate], str]]:
    """Candidates that are alike but for the policy, and the policy that orders them, first batch first."""
    if rules.order or any(one.severity or one.sticky for one in candidates):
        return _told_apart(candidates, rules, draw)
    return [(candidates, rules.sort or draw)]


def _told_apart(candidates: list[Candidate], rules: Effective, draw: str) -> Iterable[tuple[list[Candidate], str]]:
    left = candidates
    for name in rules.order:
        named = [candidate for candidate in left if candidate.endpoint.matches(name)]
        left = [candidate for candidate in left if not candidate.endpoint.matches(name)]
        yield named, "weighted"
    if not rules.order and not rules.sort:
        yield [candidate for candidate in left if candidate.sticky], "weighted"
        left = [candidate for candidate in left if not candidate.sticky]
    policy = rules.sort or draw
    for severity in sorted({candidate.severity for candidate in left}):
        yield [candidate for candidate in left if candidate.severity == severity], policy


def _last_resorts(excluded: list[Excluded]) -> tuple[Endpoint, ...]:
    """Of those that only health keeps out, the one whose time is over first; not one that is merely full."""
    waiting = [one for one in excluded if one.reason in PASSING[:3]]
    return tuple(one.endpoint for one in sorted(waiting, key=lambda one: (one.until or 0.0, one.expected_cost)))
