"""OpenRouter's `reasoning` and `reasoning_effort` of a request, told in a vendor's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from providers.edit import changed, members_of, text_of
from providers.errors import InvalidRequest
from providers.splice import JsonObject, encode, value_of

EFFORT = "reasoning_effort"
RANKS: Mapping[str, int] = MappingProxyType(
    {name: rank for rank, name in enumerate(("none", "minimal", "low", "medium", "high", "xhigh", "max"))}
)
SHARES: Mapping[str, float] = MappingProxyType(
    {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
)
"""Of `max_tokens`, as OpenRouter reckons."""
USUAL_MAX_TOKENS = 32_768
"""What a budget is compared with where the request names no `max_tokens`."""
_DECLARED = ("reasoning", EFFORT, "include_reasoning")
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Thinking:
    """How models of one vendor are told whether and how much to reason.

    A member whose value is an object is merged into what the client itself sent there; any other member the
    client sent itself is left as it is.
    """

    models: re.Pattern[str] | None = None
    """Found anywhere in the upstream's id of the model; None: all."""
    on: Mapping[str, bytes] = field(default_factory=lambda: _NOTHING)
    """Request members, as JSON, that ask for reasoning."""
    off: Mapping[str, bytes] | None = field(default_factory=lambda: _NOTHING)
    """Those that ask for none; None: it cannot be switched off."""
    efforts: tuple[str, ...] = ()
    """Values `reasoning_effort` may have; (): it is not sent."""
    declared: bool = False
    """`reasoning_effort` is sent only where the endpoint lists it among what it supports."""
    budget: str | None = None
    """The member that takes a number of tokens."""
    forced_tools: Literal["with", "without"] = "with"
    """Whether a tool call can be forced while it reasons."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client wants of reasoning. None: it did not say."""

    enabled: bool | None = None
    effort: str | None = None
    budget: int | None = None


NO_WISH = Wish()


def wish(body: JsonObject) -> Wish:
    """What a request says. Raises InvalidRequest where it contradicts itself."""
    plain = body.get(EFFORT)
    reasoning = body.get("reasoning")
    if plain is None and reasoning is None:
        return NO_WISH
    members = members_of(reasoning) if reasoning is not None and reasoning.startswith(b"{") else {}
    effort = _agreed(text_of(plain or b""), text_of(members.get("effort", b"")))
    budget = _count(members.get("max_tokens"))
    enabled = {b"true": True, b"false": False}.get(members.get("enabled", b""))
    if effort == "none" or enabled is False:
        return Wish(enabled=False)
    return Wish(True if enabled or effort or budget else None, effort or None, budget)


def _agreed(plain: str, inner: str) -> str:
    if plain and inner and plain != inner:
        raise InvalidRequest(
            f"reasoning_effort: is {plain!r}, but reasoning.effort is {inner!r}; send one of them, or both alike."
        )
    return plain or inner


def _count(value: bytes | None) -> int | None:
    if value is None:
        return None
    count = value_of(value)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else None


def nearest(effort: str, offered: tuple[str, ...]) -> str:
    """The offered effort that is nearest; of two, the stronger. One that nobody knows counts as medium."""
    rank = RANKS.get(effort, RANKS["medium"])
    return min(offered, key=lambda name: (abs(RANKS[name] - rank), -RANKS[name]))


def effort_of(budget: int, max_tokens: int | None) -> str:
    """The effort that uses about this many tokens."""
    share = budget / (max_tokens or USUAL_MAX_TOKENS)
    return min(SHARES, key=lambda name: abs(SHARES[name] - share))


def told(
    body: JsonObject, wished: Wish, rule: Thinking, supports: frozenset[str] | None, *, mandatory: bool
) -> dict[str, bytes | None]:
    """The changes after which a request says in this vendor's words what the client wished."""
    if supports is not None and supports.isdisjoint(_DECLARED):
        return {EFFORT: None} if EFFORT in body else {}
    if wished.enabled is False and rule.off is not None and not mandatory:
        return _switched_off(body, rule.off, _takes_effort(rule, supports))
    changes = _effort(body, wished, rule, supports)
    if wished.enabled:
        changes.update(_merged(body, rule.on))
        changes.update(_budget(body, wished, rule))
    return changes


def _takes_effort(rule: Thinking, supports: frozenset[str] | None) -> bool | None:
    """None: nothing is known, so what the client wrote itself may be right."""
    if not rule.declared:
        return bool(rule.efforts)
    return None if supports is None else EFFORT in supports


def _switched_off(body: JsonObject, off: Mapping[str, bytes], takes: bool | None) -> dict[str, bytes | None]:
    changes = _merged(body, off)
    if not takes:
        changes.pop(EFFORT, None)
    if EFFORT in body and EFFORT not in changes and takes is not None:
        changes[EFFORT] = None
    return changes


def _effort(body: JsonObject, wished: Wish, rule: Thinking, supports: frozenset[str] | None) -> dict[str, bytes | None]:
    takes = _takes_effort(rule, supports)
    if not takes:
        kept = takes is None and wished.enabled is not False
        return {} if kept or EFFORT not in body else {EFFORT: None}
    effort = _wanted_effort(body, wished, rule)
    if effort is None:
        return {}
    value = encode(nearest(effort, rule.efforts))
    return {} if body.get(EFFORT) == value else {EFFORT: value}


def _wanted_effort(body: JsonObject, wished: Wish, rule: Thinking) -> str | None:
    if wished.enabled is False:
        return "minimal"  # as little as it can
    if wished.effort is not None or not wished.enabled:
        return wished.effort
    if wished.budget and rule.budget is None:
        return effort_of(wished.budget, _max_tokens(body))
    return None if rule.on or rule.budget else "medium"


def _budget(body: JsonObject, wished: Wish, rule: Thinking) -> dict[str, bytes | None]:
    if rule.budget is None or rule.budget in body:
        return {}
    budget, most = wished.budget, _max_tokens(body)
    if budget is None and wished.effort and most:
        budget = max(1, int(SHARES.get(wished.effort, SHARES["medium"]) * most))
    return {} if budget is None else {rule.budget: encode(budget)}


def _max_tokens(body: JsonObject) -> int | None:
    return _count(body.get("max_completion_tokens") or body.get("max_tokens"))


def _merged(body: JsonObject, wanted: Mapping[str, bytes]) -> dict[str, bytes | None]:
    changes: dict[str, bytes | None] = {}
    for name, value in wanted.items():
        own = body.get(name)
        if own is None or name in ("reasoning", EFFORT):
            changes[name] = value
        elif own.startswith(b"{") and value.startswith(b"{"):
            members = members_of(own)
            added: dict[str, bytes | None] = {
                key: given for key, given in members_of(value).items() if key not in members
            }
            if added:
                changes[name] = changed(own, members, added)
    return changes


def forced(body: JsonObject) -> bool:
    """Whether the request insists on a tool call."""
    choice = body.get("tool_choice")
    return choice is not None and (choice.startswith(b"{") or choice in (b'"required"', b'"any"'))


def made_possible(
    body: JsonObject, wished: Wish, rule: Thinking, *, mandatory: bool
) -> tuple[Wish, dict[str, bytes | None]]:
    """A forced tool call, where this vendor refuses one while it reasons: it is asked not to reason, or, where it
    must or the client wants it to, the tool is only offered."""
    if rule.forced_tools == "with" or not forced(body):
        return wished, {}
    if rule.off is None or mandatory or wished.enabled:
        return wished, {"tool_choice": b'"auto"'}
    return Wish(enabled=False), {}


def spared(body: JsonObject, wished: Wish) -> dict[str, bytes | None]:
    """For an upstream that reads `reasoning` itself: the changes that take a switched-off reasoning away from a
    model that always reasons, and that would refuse the request."""
    if wished.enabled is not False:
        return {}
    changes: dict[str, bytes | None] = {EFFORT: None} if EFFORT in body else {}
    reasoning = body.get("reasoning")
    if reasoning is not None and reasoning.startswith(b"{"):
        members = members_of(reasoning)
        rest = changed(reasoning, members, {name: None for name in ("effort", "enabled") if name in members})
        changes["reasoning"] = rest if members_of(rest) else None
    return changes


BY_EFFORT = (
    Thinking(
        off=MappingProxyType({EFFORT: b'"none"'}), efforts=("minimal", "low", "medium", "high", "xhigh"), declared=True
    ),
)
"""OpenAI's way, for endpoints that say they know it."""
