"""Which endpoints may not serve a request at all, by what the request and the preferences say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from router.ask import Ask
from router.catalogue import Endpoint
from router.preferences import Effective

Holds = Callable[[Ask, Endpoint, Effective], bool]


class Rule(NamedTuple):
    """One reason to keep endpoints out."""

    name: str
    concerns: Callable[[Ask, Effective], bool]
    """Whether the request can be touched by it at all: most rules concern few requests."""
    holds: Holds


def _always(ask: Ask, rules: Effective) -> bool:
    return True


def _more_than_text(ask: Ask, rules: Effective) -> bool:
    return len(ask.modalities) > 1


def _not_in_only(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return not all(any(endpoint.matches(name) for name in names) for names in rules.only)


def _ignored(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return any(endpoint.matches(name) for name in rules.ignore)


def _order_is_final(ask: Ask, rules: Effective) -> bool:
    """No fallbacks means no other provider than those named; an order of ignored providers only is a contradiction,
    which is better told than guessed at."""
    return bool(rules.order) and (not rules.allow_fallbacks or all(name in rules.ignore for name in rules.order))


def _not_in_order(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return not any(endpoint.matches(name) for name in rules.order)


def _other_quantization(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return rules.quantizations is not None and (endpoint.quantization or "unknown") not in rules.quantizations


def _has_limit(ask: Ask, rules: Effective) -> bool:
    return (rules.max_prompt, rules.max_completion, rules.max_request) != (None, None, None)


def _above(limit: Decimal | None, price: Decimal) -> bool:
    return limit is not None and price > limit


def _too_dear(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    rates = endpoint.rates
    return (
        _above(rules.max_prompt, rates.prompt)
        or _above(rules.max_completion, rates.completion)
        or _above(rules.max_request, rates.request)
    )


def _lacks_parameters(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return not all(endpoint.takes(name) or endpoint.takes(SPELLINGS.get(name, name)) for name in ask.parameters)


SPELLINGS = {
    "max_completion_tokens": "max_tokens",
    "reasoning_effort": "reasoning",
    "include_reasoning": "reasoning",
}
"""Parameters that say what another says: an endpoint that takes the other takes them too."""


def _output_too_long(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return endpoint.max_output is not None and (ask.max_tokens or 0) > endpoint.max_output


def _does_not_fit(ask: Ask, endpoint: Endpoint, rules: Effective) -> bool:
    return ask.prompt.low + (ask.max_tokens or 0) > endpoint.context_length


EXCLUSIONS: tuple[Rule, ...] = (
    Rule("provider_off", _always, lambda ask, endpoint, rules: endpoint.provider.off is not None),
    Rule("only", lambda ask, rules: bool(rules.only), _not_in_only),
    Rule("ignore", lambda ask, rules: bool(rules.ignore), _ignored),
    Rule("order", _order_is_final, _not_in_order),
    Rule("quantizations", lambda ask, rules: rules.quantizations is not None, _other_quantization),
    Rule(
        "data_policy:training",
        lambda ask, rules: rules.deny_collection,
        lambda ask, endpoint, rules: endpoint.provider.training,
    ),
    Rule("data_policy:zdr", lambda ask, rules: rules.zdr, lambda ask, endpoint, rules: not endpoint.provider.zdr),
    Rule("max_price", _has_limit, _too_dear),
    Rule("require_parameters", lambda ask, rules: rules.require_parameters, _lacks_parameters),
    Rule("modality", _more_than_text, lambda ask, endpoint, rules: not ask.modalities <= endpoint.modalities),
    Rule("max_output", lambda ask, rules: ask.max_tokens is not None, _output_too_long),
    Rule("context_length", _always, _does_not_fit),
)
"""Every reason that keeps an endpoint out, in the order they are looked at; the first that holds is named."""


def in_force(ask: Ask, rules: Effective) -> list[Rule]:
    """The rules that can keep any endpoint out of this request."""
    return [rule for rule in EXCLUSIONS if rule.concerns(ask, rules)]


def exclusion(among: Sequence[Rule], ask: Ask, endpoint: Endpoint, rules: Effective) -> str | None:
    """The first of the rules that keeps an endpoint out of a request, by name, or None."""
    for name, _, holds in among:
        if holds(ask, endpoint, rules):
            return name
    return None
