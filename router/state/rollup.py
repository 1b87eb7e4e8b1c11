"""What a row adds to the sums, by minute, hour and day, and how sums are grouped again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from router.state.values import AttemptTotal, Query, Row, Total, to_units, to_usd

MINUTE, HOUR, DAY = 60, 3600, 86_400
RESOLUTIONS = (MINUTE, HOUR, DAY)
KEPT = {MINUTE: 2 * DAY, HOUR: 90 * DAY, DAY: 800 * DAY}
"""Seconds each resolution is kept for."""

REQUEST_MEASURES = ("requests", "errors", "saved", "prompt", "cached", "cache_write", "reasoning", "completion", "cost")
ATTEMPT_MEASURES = ("good", "bad", "other")

APPS_A_DAY = 1000
OTHER_APPS = "(other)"
"""Apps name themselves, so there may be any number: those beyond the first thousand of a day are one."""
LONGEST = 200

CLIENT_LEFT = 499
NEUTRAL = frozenset({"rate_limited", "context_exceeded", "invalid_request", "content_refused", "refused", "cancelled"})
"""Attempt results that say nothing against the provider."""

RequestDims = tuple[str, str, str, str]
"""Model, provider, key, app."""
AttemptDims = tuple[str, str, str]
"""Model, provider, tag."""


@dataclass(slots=True)
class Sums:
    """Increments of a batch, by (resolution, start of the bucket, dimensions)."""

    requests: dict[tuple[int, int, RequestDims], list[int]]
    attempts: dict[tuple[int, int, AttemptDims], list[int]]


class Apps:
    """The names of apps as the sums may show them: bounded."""

    def __init__(self) -> None:
        self._day = 0
        self._seen: set[str] = set()

    def name(self, row: Row) -> str:
        name = (row.title or row.referer or "")[:LONGEST]
        day = int(row.created // DAY)
        if day != self._day:
            self._day, self._seen = day, set()
        if name in self._seen or not name:
            return name
        if len(self._seen) >= APPS_A_DAY:
            return OTHER_APPS
        self._seen.add(name)
        return name


def sums(rows: Iterable[Row], apps: Apps) -> Sums:
    """What these rows add."""
    out = Sums({}, {})
    for row in rows:
        dims = (row.model or row.requested[:LONGEST], row.provider or "", row.key, apps.name(row))
        measures = _measures(row)
        tries = [((one.model, one.provider, one.tag), _judged(one.result)) for one in row.attempts]
        for resolution in RESOLUTIONS:
            bucket = int(row.created // resolution) * resolution
            _add(out.requests, (resolution, bucket, dims), measures)
            for tried, judged in tries:
                _add(out.attempts, (resolution, bucket, tried), judged)
    return out


def _measures(row: Row) -> tuple[int, ...]:
    error = row.status >= 400 and row.status != CLIENT_LEFT
    failed = any(one.result not in ("success", "cancelled") for one in row.attempts)
    return (
        1,
        int(error),
        int(row.status < 400 and failed),
        row.prompt,
        row.cached,
        row.cache_write,
        row.reasoning,
        row.completion,
        to_units(row.cost),
    )


def _judged(result: str) -> tuple[int, int, int]:
    if result == "success":
        return 1, 0, 0
    return (0, 0, 1) if result in NEUTRAL else (0, 1, 0)


def _add(into: dict[Any, list[int]], at: object, measures: Sequence[int]) -> None:
    held = into.get(at)
    if held is None:
        into[at] = list(measures)
    else:
        for index, measure in enumerate(measures):
            held[index] += measure


def resolution_for(query: Query, now: float) -> int:
    """The coarsest buckets that answer a query exactly enough."""
    if "minute" in query.by:
        return MINUTE
    age = now - query.since
    if "hour" not in query.by and query.since % DAY == 0 and (query.until or 0.0) % DAY == 0:
        return DAY
    if age <= KEPT[MINUTE] and "hour" not in query.by:
        return MINUTE
    return HOUR if age <= KEPT[HOUR] or "hour" in query.by else DAY


Bucketed = tuple[int, tuple[str, ...], Sequence[int]]
"""Start of the bucket, dimensions, measures."""

_TIMES = {"minute": MINUTE, "hour": HOUR, "day": DAY}


def totals(query: Query, found: Iterable[Bucketed]) -> list[Total]:
    """Group buckets with dimensions (model, provider, key, app)."""
    wanted = (query.model, query.provider, query.key, query.app)
    grouped = _grouped(query, found, ("model", "provider", "key", "app"), wanted)
    return [Total(group, *_counts(sums_), to_usd(sums_[-1])) for group, sums_ in grouped]


def _counts(measures: Sequence[int]) -> tuple[int, int, int, int, int, int, int, int]:
    requests, errors, saved, prompt, cached, cache_write, reasoning, completion, _ = measures
    return requests, errors, saved, prompt, cached, cache_write, reasoning, completion


def attempt_totals(query: Query, found: Iterable[Bucketed]) -> list[AttemptTotal]:
    """Group buckets with dimensions (model, provider, tag)."""
    grouped = _grouped(query, found, ("model", "provider", "tag"), (query.model, query.provider, None))
    return [AttemptTotal(group, *sums_) for group, sums_ in grouped]


def _grouped(
    query: Query, found: Iterable[Bucketed], names: Sequence[str], wanted: Sequence[str | None]
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    groups: dict[tuple[str, ...], list[int]] = {}
    places = [(_TIMES.get(one, 0), names.index(one) if one in names else 0) for one in query.by]
    for bucket, dims, measures in found:
        if any(want is not None and want != dim for want, dim in zip(wanted, dims, strict=True)):
            continue
        group = tuple(str(bucket // span * span) if span else dims[place] for span, place in places)
        _add(groups, group, measures)
    yield from sorted(groups.items())
