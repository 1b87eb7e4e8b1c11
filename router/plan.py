"""The plan of a request: which endpoints, in what order, and why not the others. Pure: nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from config.preferences import Percentiles
from router.ask import Ask
from router.catalogue import Endpoint
from router.exclusion import Need, Rule, Sieve, exclusion, in_force
from router.facts import Standing, Tier
from router.learned import Learned, nothing
from router.offers import Choice, Offers
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


class Excluded(Struct, frozen=True, eq=False, gc=False):
    """An endpoint that may not serve the request, and why."""

    endpoint: Endpoint
    expected_cost: float
    """USD of this request, had it been served there."""
    reason: str
    until: float | None = None
    """When a passing exclusion ends, on the health's clock."""


class Stage(Struct, frozen=True, eq=False, gc=False):
    """Endpoints to go through before the plan leaves a model (with `partition: none`: all models at once)."""

    models: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    rules: Effective
    draw: str
    """The policy where neither `order` nor `sort` decides; see router.policy.REGISTRY."""

    def batches(self) -> Iterable[tuple[list[Candidate], list[float]]]:
        """Candidates that are alike but for the policy, and each one's chance of being the first of them."""
        for batch, policy in _told_apart(list(self.candidates), self.rules, self.draw):
            if batch:
                yield batch, REGISTRY[policy].chances(batch)


class Plan(Struct, frozen=True, eq=False, gc=False):
    """Stages in order, and everyone who is not in them."""

    models: tuple[str, ...]
    """Catalogue ids, the requested one first."""
    strategy: str
    stages: tuple[Stage, ...]
    excluded: Sequence[Excluded]
    last_resorts: tuple[Endpoint, ...]
    """Those that only their health keeps out, the best first; one is tried once if no stage has anyone."""
    rules: Effective
    """Of the first model that has anyone."""


def anything(model_id: str) -> bool:
    """For planning without a key."""
    return True


class Context(Struct, frozen=True):
    """What planning needs besides the request: read, never changed."""

    offers: Offers
    standings: Callable[[Sequence[Endpoint]], Sequence[Standing]]
    rng: Random
    allowed: Callable[[str], bool] = anything
    """Whether the caller's key may use a model."""
    stuck: tuple[str, str] | None = None
    """(model id, tag) of the endpoint that has this conversation in its cache."""
    cached: int = 0
    """Tokens of the prompt that are cached there."""
    learned: Callable[[str], Learned] = nothing
    """What experience says of a model id."""
    draw: str = "weighted"
    """The policy behind `routing.strategy`; see router.policy.STRATEGIES."""


PASSING = ("ejected", "cooling", "provider_put_aside", "max_concurrency")
"""Exclusions that health alone made: they end by themselves."""


def make(ask: Ask, context: Context) -> Plan:
    """Plan a request. Raises UnknownModel."""
    excluded: list[Excluded] = []
    choice = context.offers.of(ask)
    rules = choice.sieves[0].rules
    stages = (_mixed if rules.across_models else _in_turn)(ask, choice, context, excluded)
    return Plan(
        choice.models,
        "order" if rules.order else rules.sort or ("price" if context.draw == "weighted" else context.draw),
        stages,
        excluded,
        () if stages else _last_resorts(excluded),
        stages[0].rules if stages else rules,
    )


# --- who may serve it ---------------------------------------------------------------------------------


def _judge(ask: Ask, among: Sieve, context: Context, excluded: list[Excluded]) -> list[Candidate]:
    """The model's endpoints that may serve the request; the others go to `excluded`."""
    learned, limit = context.learned(among.model), ask.max_tokens
    prompt, output = learned.prompt(ask.prompt), learned.completion(limit, EXPECTED_OUTPUT)
    need = Need(ask, prompt, prompt.high + (limit or 0))
    standings = context.standings(among.endpoints)
    if REGISTRY[among.rules.sort or context.draw].by_traffic:
        costs = among.usual_costs(prompt.tokens, output, standings)
    else:
        costs = among.costs(prompt.tokens, output)
    candidates = list(map(Candidate, among.endpoints, standings, costs))
    if context.stuck is not None and context.stuck[0] == among.model:
        _at_home(candidates, context.stuck, prompt.tokens, min(context.cached, prompt.tokens), output)
    calm = not any(map(_TROUBLED, standings))
    allowed, rules = context.allowed(among.model), in_force(need, among)
    if among.kept_out or rules or not (calm and allowed):
        reasons = _reasons(need, among, rules) if allowed else dict.fromkeys(among.endpoints, "key_models")
        candidates = _sifted(candidates, reasons, excluded)
    return candidates if calm and _nothing_demotes(need, among) else _demoted(need, among, candidates)


_TROUBLED = attrgetter("troubled")


def _at_home(candidates: list[Candidate], stuck: tuple[str, str], prompt: int, cached: int, output: float) -> None:
    """Mark the one that has the conversation in its cache, and price it so."""
    for index, one in enumerate(candidates):
        if one.endpoint.key == stuck:
            cost = one.endpoint.rates.expected(prompt, cached, output)
            candidates[index] = replace(one, expected_cost=cost, sticky=True)


def _reasons(need: Need, among: Sieve, rules: Sequence[Rule]) -> Mapping[Endpoint, str]:
    """Whom the preferences and the request keep out, and why."""
    if not rules:
        return among.kept_out
    by_request = {one: reason for one in among.endpoints if (reason := exclusion(rules, need, one)) is not None}
    return {**by_request, **among.kept_out}


def _sifted(candidates: list[Candidate], reasons: Mapping[Endpoint, str], excluded: list[Excluded]) -> list[Candidate]:
    kept: list[Candidate] = []
    for one in candidates:
        reason, standing = reasons.get(one.endpoint), one.standing
        if reason is not None:
            excluded.append(Excluded(one.endpoint, one.expected_cost, reason))
        elif standing.unavailable is not None:
            excluded.append(Excluded(one.endpoint, one.expected_cost, standing.unavailable, standing.until))
        else:
            kept.append(one)
    return kept


# --- in what order ------------------------------------------------------------------------------------


def _nothing_demotes(need: Need, among: Sieve) -> bool:
    return need.most <= among.least_context and not among.cutoffs and need.ask.parameters.isdisjoint(among.lacking)


def _demoted(need: Need, among: Sieve, candidates: list[Candidate]) -> list[Candidate]:
    wanted = need.ask.parameters & among.lacking
    had = [name for name in wanted if any(one.endpoint.takes(name) for one in candidates)]
    return [_demote(need, one, among.rules, had) for one in candidates]


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
    # A cache is worth a slower endpoint, not one in an outage or one that cannot do what is asked.
    sticky = candidate.sticky and severity < DEMOTIONS["parameters"]
    return Candidate(endpoint, standing, candidate.expected_cost, tuple(reasons), severity, sticky)


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


def _in_turn(ask: Ask, choice: Choice, context: Context, excluded: list[Excluded]) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    for among in choice.sieves:
        if candidates := _judge(ask, among, context, excluded):
            order = _ordered(candidates, among.rules, context, first=not stages)
            stages.append(Stage((among.model,), order, among.rules, context.draw))
    return tuple(stages)


def _mixed(ask: Ask, choice: Choice, context: Context, excluded: list[Excluded]) -> tuple[Stage, ...]:
    """The endpoints of all models by the preferences of the first."""
    rules = choice.sieves[0].rules
    everyone = [one for among in choice.sieves for one in _judge(ask, among, context, excluded)]
    order = _ordered(everyone, rules, context, first=True) if everyone else ()
    return (Stage(choice.models, order, rules, context.draw),) if order else ()


def _ordered(candidates: list[Candidate], rules: Effective, context: Context, *, first: bool) -> tuple[Candidate, ...]:
    """Those named in `order` first, as named; then group by group, the least demoted first. `first`: of these one is
    tried first."""
    if _alike(candidates, rules):
        return tuple(_drawn(candidates, rules.sort or context.draw, context.rng, first))
    order: list[Candidate] = []
    for batch, policy in _told_apart(candidates, rules, context.draw):
        if batch:
            order += _drawn(batch, policy, context.rng, first and not order)
    return tuple(order)


def _drawn(batch: list[Candidate], policy: str, rng: Random, first: bool) -> list[Candidate]:
    ways = REGISTRY[policy]
    chances = ways.chances(batch)
    if first:
        for one, chance in zip(batch, chances, strict=True):
            one.chance = chance
    return ways.order(batch, chances, rng)


def _alike(candidates: list[Candidate], rules: Effective) -> bool:
    """Whether nothing but the policy tells them apart."""
    return not (rules.order or any(map(_SEVERITY, candidates)) or any(map(_STICKY, candidates)))


_SEVERITY, _STICKY = attrgetter("severity"), attrgetter("sticky")


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


def _last_resorts(excluded: Sequence[Excluded]) -> tuple[Endpoint, ...]:
    """Of those that only health keeps out, the one whose time is over first; not one that is merely full."""
    waiting = [one for one in excluded if one.reason in PASSING[:3]]
    return tuple(one.endpoint for one in sorted(waiting, key=lambda one: (one.until or 0.0, one.expected_cost)))
