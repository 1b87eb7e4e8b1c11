"""A gateway's own past as a simulation's input: the ledger's requests, and how its endpoints behaved in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from router.simulation.behaviour import Behaviour, Wait
from router.simulation.workload import Item
from router.state.base import Ledger
from router.state.values import AttemptRow, Row

PAGE = 1_000
NOBODYS_FAILURE = frozenset(("success", "cancelled", "interrupted", "invalid_request", "content_refused"))
NEXT_TO_NOTHING = 0.001
"""Seconds or tokens a second below which a measured figure is not believed."""


async def rows(ledger: Ledger, since: float) -> list[Row]:
    """Every request since a unix time, oldest first."""
    found: list[Row] = []
    page = await ledger.recent(PAGE)
    while page:
        found += [row for row in page if row.created >= since]
        if len(page) < PAGE or page[-1].created < since:
            break
        page = await ledger.recent(PAGE, before=page[-1].id)
    return found[::-1]


def items(found: Sequence[Row]) -> list[Item]:
    """The requests, in seconds from the first; those that produced nothing asked for what they sent."""
    if not found:
        return []
    first = min(row.created for row in found)
    ordered = sorted(found, key=lambda row: row.created)
    return [
        Item(
            at=row.created - first,
            model=row.requested,
            prompt_tokens=row.prompt,
            completion_tokens=row.completion,
        )
        for row in ordered
    ]


def measured(found: Iterable[Row]) -> dict[str, Behaviour]:
    """How each endpoint behaved, by `model id@tag`; one without a first token has the default wait."""
    attempts: dict[str, list[AttemptRow]] = defaultdict(list)
    speeds: dict[str, list[float]] = defaultdict(list)
    for row in found:
        for attempt in row.attempts:
            attempts[f"{attempt.model}@{attempt.tag}"].append(attempt)
        if row.completion and row.generation > NEXT_TO_NOTHING:
            speeds[f"{row.model}@{row.tag}"].append(row.completion / row.generation)
    return {name: _behaviour(made, speeds[name]) for name, made in attempts.items()}


def _behaviour(made: Sequence[AttemptRow], speeds: Sequence[float]) -> Behaviour:
    failed = [attempt for attempt in made if attempt.result not in NOBODYS_FAILURE]
    waits = sorted(attempt.first_token for attempt in made if attempt.first_token)
    default = Behaviour()
    p50 = max(_at(waits, 0.5), NEXT_TO_NOTHING) if waits else default.ttft.p50
    return Behaviour(
        error_rate=len(failed) / len(made),
        ttft=Wait(p50=p50, p95=max(_at(waits, 0.95), p50) if waits else default.ttft.p95),
        tokens_per_second=_at(sorted(speeds), 0.5) if speeds else default.tokens_per_second,
        error_after=_at(sorted(attempt.duration for attempt in failed), 0.5) if failed else default.error_after,
    )


def _at(ranked: Sequence[float], share: float) -> float:
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]
