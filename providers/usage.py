"""Token usage: read from every form an upstream reports it in, and rendered as OpenRouter does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from providers.edit import changed, members_of
from providers.splice import NULL, encode, value_of

_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens one answer used. `prompt` includes `cached`, `completion` includes `reasoning`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    reported_cost: Decimal | None = None
    """USD as the upstream itself reported it."""
    raw: bytes | None = None
    """The upstream's usage object."""


def total(usages: Iterable[Usage]) -> Usage | None:
    """What several answers used together; None of none."""
    all_ = list(usages)
    if len(all_) == 1:
        return all_[0]
    reported = [usage.reported_cost for usage in all_ if usage.reported_cost is not None]
    if not all_:
        return None
    return Usage(
        prompt=sum(usage.prompt for usage in all_),
        completion=sum(usage.completion for usage in all_),
        cached=sum(usage.cached for usage in all_),
        cache_write=sum(usage.cache_write for usage in all_),
        reasoning=sum(usage.reasoning for usage in all_),
        reported_cost=sum(reported, Decimal(0)) if reported else None,
    )


def parse_usage(raw: bytes) -> Usage | None:
    """A provider's usage object, or None where it is none (null, empty, malformed)."""
    try:
        fields = value_of(raw)
    except ValueError:
        return None
    if not fields or not isinstance(fields, dict):
        return None
    prompt, completion = _first(fields, _PROMPT), _first(fields, _COMPLETION)
    reasoning = _most(fields, ("reasoning_tokens",), ("completion_tokens_details", "reasoning_tokens"))
    if reasoning and _first(fields, ("total_tokens",)) == prompt + completion + reasoning:
        completion += reasoning  # some (xAI) report an answer without its reasoning
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=min(prompt, _cached(fields)),
        cache_write=_most(fields, ("cache_creation_input_tokens",), ("prompt_tokens_details", "cache_write_tokens")),
        reasoning=min(completion, reasoning),
        reported_cost=_cost(members_of(raw)["cost"]) if "cost" in fields else None,
        raw=raw,
    )


def render_usage(usage: Usage | None, cost: Decimal | None, prompt_cost: Decimal | None = None) -> bytes | None:
    """The client's `usage` object: the upstream's own bytes, completed and priced. None: nothing is known.

    `cost` is in USD, `prompt_cost` the part of it that is not the completion's; None leaves what the upstream gave.
    """
    if usage is None:
        return None if cost is None else b'{"cost":' + render_decimal(cost) + b"}"
    raw = usage.raw or b"{}"
    members = members_of(raw)
    changes: dict[str, bytes | None] = dict(_missing_counts(members, usage))
    changes.update(_completed(members, "prompt_tokens_details", "cached_tokens", usage.cached))
    changes.update(_completed(members, "completion_tokens_details", "reasoning_tokens", usage.reasoning))
    if cost is not None:
        changes["cost"] = render_decimal(cost)
        changes["cost_details"] = _cost_details(members, usage.reported_cost, _parts(cost, prompt_cost))
    return changed(raw, members, changes)


def render_decimal(value: Decimal) -> bytes:
    """Plain notation, no exponent, no trailing zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


def _count(value: Any) -> int:
    """A token count in whatever number it came as; 0 where it is none."""
    if type(value) is int and 0 <= value < 1_000_000_000:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return 0
    return max(0, int(value)) if abs(value) < 1e15 else 0


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if fields.get(name) is not None:
            return _count(fields[name])
    return 0


def _most(fields: Mapping[str, Any], *paths: tuple[str, ...]) -> int:
    """The largest of one number reported under several names."""
    return max([_count(_at(fields, path)) for path in paths])


def _at(fields: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def _cached(fields: Mapping[str, Any]) -> int:
    return _most(fields, ("cached_tokens",), ("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",))


def _cost(raw: bytes | None) -> Decimal | None:
    """A cost with every digit it was spelled with. Perplexity reports an object with a total."""
    if raw is None:
        return None
    if raw.startswith(b"{"):
        return _cost(members_of(raw).get("total_cost"))
    try:
        cost = Decimal(raw.decode().strip('"'))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 else None


def _missing_counts(members: Mapping[str, bytes], usage: Usage) -> dict[str, bytes]:
    counts = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    return {name: encode(count) for name, count in counts.items() if members.get(name, NULL) == NULL}


def _completed(members: Mapping[str, bytes], group: str, name: str, count: int) -> dict[str, bytes]:
    """See to it that `group` is an object with `name` in it; what it has stays, but for what is null: OpenRouter's
    TypeScript SDK takes a count as missing, not as null."""
    details, inner = _object(members.get(group))
    changes: dict[str, bytes | None] = {key: None for key, value in inner.items() if value == NULL}
    if inner.get(name, NULL) == NULL:
        changes[name] = encode(count)
    return {group: changed(details, inner, changes)} if changes else {}


def _parts(cost: Decimal, prompt_cost: Decimal | None) -> dict[str, bytes]:
    """Both parts of a cost. OpenRouter's TypeScript SDK refuses details without them."""
    if prompt_cost is None:
        return {}
    return {
        "upstream_inference_prompt_cost": render_decimal(prompt_cost),
        "upstream_inference_completions_cost": render_decimal(cost - prompt_cost),
    }


def _cost_details(members: Mapping[str, bytes], reported: Decimal | None, parts: Mapping[str, bytes]) -> bytes:
    details, inner = _object(members.get("cost_details"))
    cost = NULL if reported is None else render_decimal(reported)
    missing = {name: part for name, part in parts.items() if inner.get(name, NULL) == NULL}
    return changed(details, inner, {"upstream_inference_cost": cost, **missing})


def _object(value: bytes | None) -> tuple[bytes, dict[str, bytes]]:
    """A value that is an object, and its members; an empty one for any other."""
    return (value, members_of(value)) if value is not None and value.startswith(b"{") else (b"{}", {})
