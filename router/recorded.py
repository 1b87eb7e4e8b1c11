"""A decision as the ledger keeps it: what its row does not say already; and `openrouter_metadata` told from both."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec

from providers.splice import encode
from router.decision import Decision, Rescued
from router.state.values import AttemptRow, Row

Planned = tuple[str, str, str, float, float, tuple[str, ...]]
"""An endpoint of the plan: provider's name, model, tag, expected cost, chance of being first, what demoted it."""
Excluded = tuple[str, str, str, float, str]
"""One that was left out: provider's name, model, tag, expected cost, why."""


class Kept(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An array, which tells it from the metadata that rows of older versions hold whole."""

    asked: str
    """The model as the client wrote it."""
    strategy: str
    planned: list[Planned]
    excluded: list[Excluded]
    rescues: list[Rescued]
    ignored: tuple[str, ...]


_decode = msgspec.json.Decoder(Kept).decode


_ENDPOINT = ("endpoint.provider.name", "endpoint.model_id", "endpoint.tag", "expected_cost")
_PLANNED = attrgetter(*_ENDPOINT, "chance", "demoted_by")
_EXCLUDED = attrgetter(*_ENDPOINT, "reason")


def kept(decision: Decision) -> msgspec.Raw:
    """What a row is to hold of a decision."""
    ask, plan = decision.ask, decision.plan
    planned: list[Planned] = []
    for stage in plan.stages:
        planned += map(_PLANNED, stage.candidates)
    excluded = list(map(_EXCLUDED, plan.excluded))
    whole = Kept(ask.models[0], plan.strategy, planned, excluded, decision.rescues, ask.unknown_preferences)
    return msgspec.Raw(encode(whole))


def metadata(row: Row) -> msgspec.Raw:
    """`openrouter_metadata` of a stored request, as its client could have had it."""
    raw = row.decision
    if not bytes(raw).startswith(b"["):
        return raw
    held = _decode(raw)
    endpoints = [
        _endpoint(row, (provider, model, tag), cost, chance, None, demoted_by)
        for provider, model, tag, cost, chance, demoted_by in held.planned
    ]
    endpoints += [
        _endpoint(row, (provider, model, tag), cost, 0.0, reason, ())
        for provider, model, tag, cost, reason in held.excluded
    ]
    value: dict[str, Any] = {
        "requested": held.asked,
        "strategy": held.strategy,
        "region": None,
        "summary": _summary(row),
        "attempt": len(row.attempts),
        "is_byok": False,
        "endpoints": {"total": len(endpoints), "available": endpoints},
        "attempts": [_attempt(one) for one in row.attempts],
    }
    if held.rescues:
        value["rescues"] = held.rescues
    if held.ignored:
        value["ignored_preferences"] = held.ignored
    return msgspec.Raw(encode(value))


def _endpoint(
    row: Row,
    names: tuple[str, str, str],
    cost: float,
    chance: float,
    excluded_by: str | None,
    demoted_by: tuple[str, ...],
) -> dict[str, Any]:
    provider, model, tag = names
    return {
        "provider": provider,
        "model": model,
        "tag": tag,
        "selected": (model, tag) == (row.model, row.tag),
        "expected_cost": round(cost, 9),
        "chance": round(chance, 6),
        "excluded_by": excluded_by,
        "demoted_by": demoted_by,
    }


def _attempt(one: AttemptRow) -> dict[str, Any]:
    return {
        "provider": one.name,
        "model": one.model,
        "tag": one.tag,
        "status": one.status,
        "result": one.result,
        "error": one.error,
        "started": one.started,
        "duration": round(one.duration, 6),
        "first_token": None if one.first_token is None else round(one.first_token, 6),
        "hedged": one.hedged,
        "rescue": one.rescue,
    }


def _summary(row: Row) -> str:
    if row.model is None:
        made = len(row.attempts)
        return f"no endpoint answered after {made} attempt{'' if made == 1 else 's'}"
    failed = [one.tag for one in row.attempts if one.result not in ("success", "cancelled")]
    after = f" after {', '.join(failed)} failed" if failed else ""
    return f"{row.provider_name} served {row.model}{after}"
