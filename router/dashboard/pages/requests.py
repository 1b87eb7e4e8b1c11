"""Requests: the newest, and what was decided for one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.dashboard.view import Asked, Context, NotFound
from router.recorded import metadata
from router.state.values import AttemptRow, Row

A_PAGE = 50
CLIENT_LEFT = 499

REASONS = {
    "provider_off": "its provider is off",
    "only": "the preferences allow other providers only (`only`)",
    "ignore": "the preferences leave this provider out (`ignore`)",
    "quantizations": "the preferences ask for other quantizations",
    "data_policy:training": "it may train on what it is sent (`data_collection: deny`)",
    "data_policy:zdr": "it keeps what it is sent (`zdr: true`)",
    "max_price": "it is dearer than `max_price`",
    "require_parameters": "it does not take every parameter of the request",
    "modality": "it does not take this kind of input",
    "max_output": "its longest answer is shorter than `max_tokens`",
    "context_length": "the prompt and the answer do not fit its context",
    "ejected": "it was ejected after failures in a row",
    "cooling": "it had asked us to slow down",
    "provider_put_aside": "our account at this provider had a problem",
    "max_concurrency": "it had as many requests under way as it may",
    "outage": "most of its newest attempts failed",
    "tier": "its uptime of the last minutes was low",
}


def failed(row: Row) -> bool:
    return row.status >= 400 and row.status != CLIENT_LEFT


def fell_back(row: Row) -> bool:
    """Answered though an attempt failed, as the ledger's sums count it."""
    return row.status < 400 and any(one.result not in ("success", "cancelled") for one in row.attempts)


def _slow(row: Row) -> bool:
    return row.duration >= 10


SHOWN: dict[str, tuple[str, Callable[[Row], bool]]] = {
    "all": ("All", lambda row: True),
    "failed": ("Failed", failed),
    "fallback": ("Fell back", fell_back),
    "slow": ("Over 10 s", _slow),
    "left": ("Client left", lambda row: row.status == CLIENT_LEFT),
}


async def requests(asked: Asked) -> Context:
    shown = asked.one("show", "all")
    shown = shown if shown in SHOWN else "all"
    wanted, before = asked.one("q").strip().lower(), asked.one("before") or None
    rows = await asked.sources.figures.page(before)
    kept = [row for row in rows if SHOWN[shown][1](row) and _matches(row, wanted)]
    page = kept[:A_PAGE]
    # Of a filtered list the next page begins where the search ended, which may be far below the last one shown.
    last = page[-1] if len(kept) > A_PAGE else rows[-1] if rows else None
    more = len(kept) > A_PAGE or len(rows) >= 300
    return {
        "rows": page,
        "shown": shown,
        "choices": [(name, label) for name, (label, _) in SHOWN.items()],
        "wanted": wanted,
        "searched": len(rows),
        "before": before,
        "older": last.id if last is not None and more else None,
        "any": bool(rows),
    }


def _matches(row: Row, wanted: str) -> bool:
    parts = (row.id, row.requested, row.model, row.provider, row.provider_name, row.key_name, row.title, row.referer)
    return not wanted or any(wanted in part.lower() for part in parts if part)


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt on the time line. Shares of the whole request, in percent."""

    attempt: AttemptRow
    start: float
    waiting: float
    """Until the first token."""
    answering: float
    note: str = ""

    @property
    def tone(self) -> str:
        """ok, bad, or none for one that was closed since another was faster."""
        return {"success": "ok", "cancelled": "none"}.get(self.attempt.result, "bad")


async def request(asked: Asked, id_: str) -> Context:
    row = await asked.sources.figures.row(id_[:200])
    if row is None:
        raise NotFound(
            f"There is no request {id_[:80]}. Old rows are deleted; the newest take up to a second to arrive.",
            [("requests", "The newest requests")],
        )
    decision = _decision(row)
    return {
        "row": row,
        "bars": bars(row, [one for one in _list(decision.get("attempts")) if isinstance(one, dict)]),
        "summary": _text(decision.get("summary")),
        "strategy": _text(decision.get("strategy")),
        "ignored": [_text(one) for one in _list(decision.get("ignored_preferences"))],
        "endpoints": _endpoints(decision),
        "reasons": REASONS,
        "raw": json.dumps(decision, indent=2, ensure_ascii=False),
        "verdict": _verdict(row),
    }


def _decision(row: Row) -> dict[str, Any]:
    try:
        found = json.loads(bytes(metadata(row)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Considered:
    """One endpoint as the decision saw it."""

    provider: str
    tag: str
    model: str
    selected: bool
    expected_cost: float | None
    chance: float | None
    excluded_by: str
    """The rule's name, or "" where it was in the plan."""
    demoted_by: Sequence[str]


def _endpoints(decision: dict[str, Any]) -> list[Considered]:
    """Older rows may say less than newer ones."""
    found = decision.get("endpoints")
    rows = _list(found.get("available")) if isinstance(found, dict) else []
    return [_considered(one) for one in rows if isinstance(one, dict)]


def _considered(one: dict[str, Any]) -> Considered:
    return Considered(
        _text(one.get("provider")),
        _text(one.get("tag")),
        _text(one.get("model")),
        one.get("selected") is True,
        _number(one.get("expected_cost")),
        _number(one.get("chance")),
        _text(one.get("excluded_by")),
        [_text(reason) for reason in _list(one.get("demoted_by"))],
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _verdict(row: Row) -> tuple[str, str]:
    if row.status == CLIENT_LEFT:
        return "warn", "The client left before it was answered"
    if failed(row):
        return "bad", f"Failed with status {row.status}"
    if fell_back(row):
        return "saved", "Answered, saved by fallback"
    return "ok", "Answered at the first attempt"


def bars(row: Row, facts: Sequence[dict[str, Any]] = ()) -> list[Bar]:
    """The attempts where they began, so that those that raced lie beside each other. `facts`: the decision's attempts,
    which say more of each."""
    told = [*facts, *[{}] * len(row.attempts)]
    whole = max(row.duration, 1e-9, *(one.started + one.duration for one in row.attempts))
    each = sorted(zip(row.attempts, told, strict=False), key=lambda pair: pair[0].started)
    return [_bar(attempt, whole, _note(fact)) for attempt, fact in each]


def _bar(attempt: AttemptRow, whole: float, note: str) -> Bar:
    lasted, share = attempt.duration, 100 / whole
    first = lasted if attempt.first_token is None else min(attempt.first_token, lasted)
    return Bar(attempt, share * max(0.0, attempt.started), share * first, share * (lasted - first), note)


def _note(fact: dict[str, Any]) -> str:
    if fact.get("rescue"):
        return "carried on a stream that had broken"
    return "started beside one that was slow to begin" if fact.get("hedged") is True else ""
