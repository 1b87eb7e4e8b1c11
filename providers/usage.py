"""Token usage: read from every form an upstream reports it in, and rendered as OpenRouter does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec

from providers.edit import members_of, rewritten
from providers.splice import members_in, value_of

_NULL = msgspec.Raw(b"null")
_COUNTS = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))
_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")


class Usage(msgspec.Struct, frozen=True, gc=False):
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


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1_000_000_000)]


class _Details(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    reasoning_tokens: _Count = 0


class _Plain(msgspec.Struct, gc=False):
    """A usage as most report it: under the usual names, in numbers that need no second look."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    reasoning_tokens: _Count = 0
    cached_tokens: _Count = 0
    prompt_cache_hit_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0
    cost: msgspec.Raw = _NULL


class _Cached(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: _Count


class _Reasoned(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: _Count


class _Whole(msgspec.Struct, gc=False):
    """A usage that OpenRouter's clients can read as it is, but for our price, where nothing in it is null."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Cached
    completion_tokens_details: _Reasoned
    cost: None = None
    cost_details: None = None


_NO_DETAILS = _Details()
_plain = msgspec.json.Decoder(_Plain).decode
_whole = msgspec.json.Decoder(_Whole).decode


def parse_usage(raw: bytes) -> Usage | None:
    """A provider's usage object, or None where it is none (null, empty, malformed)."""
    try:
        told = _plain(raw)
    except (ValueError, RecursionError):
        return _out_of_any_form(raw)
    prompt, completion = told.prompt_tokens, told.completion_tokens
    asked, said = told.prompt_tokens_details or _NO_DETAILS, told.completion_tokens_details or _NO_DETAILS
    reasoning = max(told.reasoning_tokens, said.reasoning_tokens)
    if reasoning and told.total_tokens == prompt + completion + reasoning:
        completion += reasoning  # some (xAI) report an answer without its reasoning
    return Usage(
        prompt,
        completion,
        min(prompt, max(told.cached_tokens, asked.cached_tokens, told.prompt_cache_hit_tokens)),
        max(told.cache_creation_input_tokens, asked.cache_write_tokens),
        min(completion, reasoning),
        None if told.cost is _NULL else _cost(bytes(told.cost)),
        raw,
    )


def _out_of_any_form(raw: bytes) -> Usage | None:
    """The same where a count has another name, or is a number that must be mended."""
    try:
        fields = value_of(raw)
    except ValueError:
        return None
    if not fields or not isinstance(fields, dict):
        return None
    prompt, completion = _first(fields, _PROMPT), _first(fields, _COMPLETION)
    reasoning = _most(fields, ("reasoning_tokens",), ("completion_tokens_details", "reasoning_tokens"))
    if reasoning and _first(fields, ("total_tokens",)) == prompt + completion + reasoning:
        completion += reasoning
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
    if cost is not None and prompt_cost is not None and _lacks_only_a_price(raw):
        return _priced(raw, usage.reported_cost, cost, prompt_cost)
    members = members_in(raw)
    whole = members.keys() >= _COUNTS and _NULL not in members.values()
    changes: dict[str, object] = {} if whole else _missing_counts(members, usage)
    _complete(changes, members, "prompt_tokens_details", "cached_tokens", usage.cached)
    _complete(changes, members, "completion_tokens_details", "reasoning_tokens", usage.reasoning)
    if cost is not None:
        changes["cost"] = _number(cost)
        changes["cost_details"] = _cost_details(members.get("cost_details"), usage.reported_cost, cost, prompt_cost)
    return rewritten(raw, members, changes) if changes else raw


def _lacks_only_a_price(raw: bytes) -> bool:
    if b"null" in raw:
        return False
    try:
        _whole(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _priced(raw: bytes, reported: Decimal | None, cost: Decimal, prompt_cost: Decimal) -> bytes:
    """A usage that has no price yet, with ours behind what it says."""
    upstream = "null" if reported is None else _plainly(reported)
    price = (
        f',"cost":{_plainly(cost)},"cost_details":{{"upstream_inference_cost":{upstream}'
        f',"upstream_inference_prompt_cost":{_plainly(prompt_cost)}'
        f',"upstream_inference_completions_cost":{_plainly(cost - prompt_cost)}}}}}'
    )
    return raw[:-1] + price.encode()


def render_decimal(value: Decimal) -> bytes:
    """Plain notation, no exponent, no trailing zeros."""
    return _plainly(value).encode()


def _number(value: Decimal) -> msgspec.Raw:
    return msgspec.Raw(_plainly(value))


def _plainly(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


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


def _missing_counts(members: Mapping[str, msgspec.Raw], usage: Usage) -> dict[str, object]:
    counts = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    return {name: count for name, count in counts.items() if members.get(name, _NULL) == _NULL}


def _complete(
    changes: dict[str, object], members: Mapping[str, msgspec.Raw], group: str, name: str, count: int
) -> None:
    """See to it that `group` is an object with `name` in it; what it has stays, but for what is null: OpenRouter's
    TypeScript SDK takes a count as missing, not as null."""
    if group not in members:
        changes[group] = {name: count}
        return
    details, inner = _object(members[group])
    if name in inner and _NULL not in inner.values():
        return
    told = {} if inner.get(name, _NULL) != _NULL else {name: count}
    nulls = [key for key, value in inner.items() if value == _NULL and key not in told]
    changes[group] = msgspec.Raw(rewritten(details, inner, told, nulls))


def _cost_details(
    details: msgspec.Raw | None, reported: Decimal | None, cost: Decimal, prompt_cost: Decimal | None
) -> msgspec.Raw | dict[str, object]:
    """What the upstream takes, and both parts of our cost: OpenRouter's TypeScript SDK refuses details without them."""
    told: dict[str, object] = {"upstream_inference_cost": _NULL if reported is None else _number(reported)}
    if prompt_cost is not None:
        told["upstream_inference_prompt_cost"] = _number(prompt_cost)
        told["upstream_inference_completions_cost"] = _number(cost - prompt_cost)
    if details is None:
        return told
    data, inner = _object(details)
    kept = {name for name, value in inner.items() if value != _NULL and name != "upstream_inference_cost"}
    return msgspec.Raw(rewritten(data, inner, {name: one for name, one in told.items() if name not in kept}))


def _object(value: msgspec.Raw) -> tuple[bytes, dict[str, msgspec.Raw]]:
    """A value that is an object, and its members; an empty one for any other."""
    data = bytes(value)
    return (data, members_in(data)) if data.startswith(b"{") else (b"{}", {})
