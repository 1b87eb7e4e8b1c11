"""Which endpoints may not serve a request at all, by what the request and the preferences say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from router.ask import TEXT, Ask
from router.catalogue import Endpoint, Model
from router.facts import Standing
from router.preferences import Effective
from router.tokens import Estimate


class Need(Struct, frozen=True, gc=False):
    """A request as one model sees it."""

    ask: Ask
    prompt: Estimate
    most: int
    """Tokens of context it may take, what it may write included."""

    @property
    def least(self) -> int:
        """Tokens of context it takes for certain, what it may write included."""
        return self.prompt.low + (self.ask.max_tokens or 0)


def _not_in_only(endpoint: Endpoint, rules: Effective) -> bool:
    return not all(any(endpoint.matches(name) for name in names) for names in rules.only)


def _ignored(endpoint: Endpoint, rules: Effective) -> bool:
    return any(endpoint.matches(name) for name in rules.ignore)


def _not_in_order(endpoint: Endpoint, rules: Effective) -> bool:
    """No fallbacks means no other provider than those named; an order of ignored providers only is a contradiction,
    which is better told than guessed at."""
    final = rules.order and (not rules.allow_fallbacks or all(name in rules.ignore for name in rules.order))
    return bool(final) and not any(endpoint.matches(name) for name in rules.order)


def _other_quantization(endpoint: Endpoint, rules: Effective) -> bool:
    return rules.quantizations is not None and (endpoint.quantization or "unknown") not in rules.quantizations


def _above(limit: Decimal | None, price: Decimal) -> bool:
    return limit is not None and price > limit


def _too_dear(endpoint: Endpoint, rules: Effective) -> bool:
    rates = endpoint.rates
    return (
        _above(rules.max_prompt, rates.prompt)
        or _above(rules.max_completion, rates.completion)
        or _above(rules.max_request, rates.request)
    )


BY_PREFERENCES: tuple[tuple[str, Callable[[Endpoint, Effective], bool]], ...] = (
    ("provider_off", lambda endpoint, rules: endpoint.provider.off is not None),
    ("only", _not_in_only),
    ("ignore", _ignored),
    ("order", _not_in_order),
    ("quantizations", _other_quantization),
    ("data_policy:training", lambda endpoint, rules: rules.deny_collection and endpoint.provider.training),
    ("data_policy:zdr", lambda endpoint, rules: rules.zdr and not endpoint.provider.zdr),
    ("max_price", _too_dear),
)
"""What keeps an endpoint out whatever is asked of it, in the order it is looked at; the first that holds is named."""


SOFT_PARAMETERS = frozenset(("tools", "response_format", "verbosity"))
"""An endpoint that lacks one of these goes behind those that have it (OpenRouter, since August 2026)."""


class Sieve(Struct, frozen=True, eq=False):
    """What preferences alone make of a model's endpoints: the same for every request that has them."""

    model: str
    rules: Effective
    endpoints: tuple[Endpoint, ...]
    prices: tuple[tuple[float, float, float], ...]
    """USD at each per prompt token, per completion token and per request."""
    savings: tuple[float, ...]
    """USD at each that a prompt token costs less where it is in its cache."""
    kept_out: Mapping[Endpoint, str]
    """Those that may not serve, and why."""
    least_context: int
    """Of the others: what fits in this fits in each."""
    least_output: float
    """The same of `max_output`; infinite where none has one."""
    lacking: frozenset[str]
    """Soft parameters that not all of them take."""
    cutoffs: bool
    """Whether speed is asked for."""

    def costs(self, prompt: float, completion: float) -> list[float]:
        """USD a request of so many tokens would cost at each endpoint."""
        return [prompt * read + completion * written + fee for read, written, fee in self.prices]

    def usual_costs(self, prompt: float, completion: float, standings: Sequence[Standing]) -> list[float]:
        """The same with as much of the prompt cached as each lately had of its prompts."""
        costs = zip(self.costs(prompt, completion), self.savings, standings, strict=True)
        return [cost - prompt * standing.cached * saving for cost, saving, standing in costs]


def sieve(model: Model, rules: Effective) -> Sieve:
    """A model's endpoints by preferences."""
    kept_out = {one: reason for one in model.endpoints if (reason := _kept_out(one, rules)) is not None}
    kept = [one for one in model.endpoints if one not in kept_out]
    quick = [one.rates.quick for one in model.endpoints]
    return Sieve(
        model=model.id,
        rules=rules,
        endpoints=model.endpoints,
        prices=tuple([(prompt, completion, request) for prompt, completion, _, request in quick]),
        savings=tuple([prompt - cached for prompt, _, cached, _ in quick]),
        kept_out=kept_out,
        least_context=min([one.context_length for one in kept], default=0),
        least_output=min([one.max_output for one in kept if one.max_output is not None], default=math.inf),
        lacking=frozenset([name for name in SOFT_PARAMETERS if not all([one.takes(name) for one in kept])]),
        cutoffs=rules.min_throughput is not None or rules.max_latency is not None,
    )


def _kept_out(endpoint: Endpoint, rules: Effective) -> str | None:
    return next((name for name, holds in BY_PREFERENCES if holds(endpoint, rules)), None)


SPELLINGS = {
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
    "include_reasoning": "reasoning",
}
"""Parameters that say what another says: an endpoint that takes the other takes them too."""


def _lacks_parameters(need: Need, endpoint: Endpoint) -> bool:
    names = need.ask.parameters
    return not all(endpoint.takes(name) or endpoint.takes(SPELLINGS.get(name, name)) for name in names)


def _output_too_long(need: Need, endpoint: Endpoint) -> bool:
    return endpoint.max_output is not None and (need.ask.max_tokens or 0) > endpoint.max_output


class Rule(NamedTuple):
    """One reason to keep endpoints out of a request."""

    name: str
    concerns: Callable[[Need, Sieve], bool]
    """Whether any endpoint can be touched by it: most rules concern few requests."""
    holds: Callable[[Need, Endpoint], bool]


BY_REQUEST: tuple[Rule, ...] = (
    Rule("require_parameters", lambda need, among: among.rules.require_parameters, _lacks_parameters),
    Rule(
        "modality",
        lambda need, among: len(need.ask.modalities) > 1,
        lambda need, endpoint: not need.ask.modalities <= endpoint.modalities,
    ),
    Rule(
        "max_output",
        lambda need, among: (need.ask.max_tokens or 0) > among.least_output,
        _output_too_long,
    ),
    Rule(
        "context_length",
        lambda need, among: need.least > among.least_context,
        lambda need, endpoint: need.least > endpoint.context_length,
    ),
)
"""What keeps an endpoint out of one request, looked at after its preferences, in this order."""


def in_force(need: Need, among: Sieve) -> Sequence[Rule]:
    """The rules that can keep any endpoint out of this request."""
    ask = need.ask
    fits = need.most <= among.least_context and (ask.max_tokens or 0) <= among.least_output
    if fits and ask.modalities is TEXT and not among.rules.require_parameters:
        return ()
    return [rule for rule in BY_REQUEST if rule.concerns(need, among)]


def exclusion(among: Sequence[Rule], need: Need, endpoint: Endpoint) -> str | None:
    """The first of the rules that keeps an endpoint out of a request, by name, or None."""
    return next((rule.name for rule in among if rule.holds(need, endpoint)), None)
