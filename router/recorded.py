"""A decision as the ledger keeps it: what its row does not say already; and `openrouter_metadata` told from both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from providers.splice import encode
from router.decision import Decision, Rescued
from router.plan import Stage
from router.policy.weighted import ERROR_PENALTY, FREE
from router.state.values import AttemptRow, Row

Planned = tuple[str, str, str, float, float, tuple[str, ...]]
"""An endpoint of the plan: provider's name, model, tag, expected cost, error rate, what demoted it."""
Excluded = tuple[str, str, str, float, str]
"""One that was left out: provider's name, model, tag, expected cost, why."""


class Kept(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An array, which tells it from the metadata that rows of older versions hold whole."""

    asked: str
    """The model as the client wrote it."""
    strategy: str
    drawn: int
    """How many of `planned` were drawn from by the default draw alone, so that cost and error rate say the chances."""
    firsts: Sequence[float]
    """Else the chances of being tried first, of those that begin `planned`."""
    planned: list[Planned]
    excluded: list[Excluded]
    rescues: list[Rescued]
    ignored: tuple[str, ...]


_decode = msgspec.json.Decoder(Kept).decode


def kept(decision: Decision) -> msgspec.Raw:
    """What a row is to hold of a decision."""
    ask, plan = decision.ask, decision.plan
    planned: list[Planned] = []
    for stage in plan.stages:
        planned += [
            (at.provider.name, at.model_id, at.tag, one.expected_cost, one.standing.error_rate, one.demoted_by)
            for one in stage.candidates
            for at in (one.endpoint,)
        ]
    excluded = [
        (at.provider.name, at.model_id, at.tag, one.expected_cost, one.reason)
        for one in plan.excluded
        for at in (one.endpoint,)
    ]
    drawn = _drawn(plan.stages[0]) if plan.stages else 0
    firsts = () if drawn else plan.firsts()
    rescues, ignored = decision.rescues, ask.unknown_preferences
    return msgspec.Raw(encode(Kept(ask.models[0], plan.strategy, drawn, firsts, planned, excluded, rescues, ignored)))


def _drawn(stage: Stage) -> int:
    """How many of a stage are drawn from at once by the default draw; 0: it is not so simple."""
    rules, candidates = stage.rules, stage.candidates
    if stage.draw != "weighted" or rules.order or rules.sort:
        return 0
    for one in candidates:
        if one.severity or one.sticky:
            return 0
    return len(candidates)


def metadata(row: Row) -> msgspec.Raw:
    """`openrouter_metadata` of a stored request, as its client could have had it."""
    raw = row.decision
    if not bytes(raw).startswith(b"["):
        return raw
    held = _decode(raw)
    chances = held.firsts or _chances(held.planned[: held.drawn])
    endpoints = [
        _endpoint(row, (provider, model, tag), cost, chance, None, demoted_by)
        for (provider, model, tag, cost, _, demoted_by), chance in zip(
            held.planned, [*chances, *[0.0] * len(held.planned)], strict=False
        )
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


def _chances(drawn: Sequence[Planned]) -> list[float]:
    """As router.policy.weighted has them."""
    shares = [max(cost * (1 + ERROR_PENALTY * errors), FREE) ** -2 for _, _, _, cost, errors, _ in drawn]
    return [share / sum(shares) for share in shares]


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
