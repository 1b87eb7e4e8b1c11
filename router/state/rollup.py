"""What a row adds to the sums, by minute, hour and day, and how sums are grouped again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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

DIMENSIONS = {
    "traffic": ("model", "provider"),
    "requests": ("model", "provider", "key", "app"),
    "attempts": ("model", "provider", "tag"),
}
"""Three sets of sums: that of all traffic is small, so what does not ask for a key or an app is answered from it."""
MEASURES = {"traffic": REQUEST_MEASURES, "requests": REQUEST_MEASURES, "attempts": ATTEMPT_MEASURES}


Sums = dict[str, dict[tuple[int, int, tuple[str, ...]], list[int]]]
"""Increments of a batch: by set, then by (resolution, start of the bucket, dimensions)."""


class Apps:
    """The names of apps as the sums may show them: bounded."""

    def __init__(self) -> None:
        self._day = 0
        self._seen: set[str] = set()

    def name(self, row: Row) -> str:
        name = row.title or row.referer
        if not name:
            return ""
        name, day = name[:LONGEST], int(row.created // DAY)
        if day != self._day:
            self._day, self._seen = day, set()
        if name in self._seen:
            return name
        if len(self._seen) >= APPS_A_DAY:
            return OTHER_APPS
        self._seen.add(name)
        return name


def sums(rows: Iterable[Row], apps: Apps) -> Sums:
    """What these rows add."""
    requests: Found = defaultdict(lambda: [0] * len(REQUEST_MEASURES))
    attempts: Found = defaultdict(lambda: [0] * len(ATTEMPT_MEASURES))
    for row in rows:
        minute = int(row.created // MINUTE) * MINUTE
        dims = (row.model or row.requested[:LONGEST], row.provider or "", row.key, apps.name(row))
        _count(requests[minute, dims], row)
        for one in row.attempts:
            attempts[minute, (one.model, one.provider, one.tag)][_judged(one.result)] += 1
    traffic: Found = {}
    for (minute, served), measures in requests.items():
        _add(traffic, (minute, served[:2]), measures)
    by_kind = {"traffic": traffic, "requests": requests, "attempts": attempts}
    return {kind: _at_every_resolution(minutes) for kind, minutes in by_kind.items()}


Found = dict[tuple[int, tuple[str, ...]], list[int]]
"""Measures by minute and dimensions."""


def _at_every_resolution(
    minutes: Found,
) -> dict[tuple[int, int, tuple[str, ...]], list[int]]:
    out: dict[tuple[int, int, tuple[str, ...]], list[int]] = {}
    for resolution in RESOLUTIONS:
        for (minute, dims), measures in minutes.items():
            _add(out, (resolution, minute // resolution * resolution, dims), measures)
    return out


def kind_for(query: Query) -> str:
    """The smallest set of sums that answers a query of requests."""
    by_client = query.key is not None or query.app is not None or {"key", "app"} & set(query.by)
    return "requests" if by_client else "traffic"


def _count(held: list[int], row: Row) -> None:
    """Add a row to measures of its kind, which are in the order of REQUEST_MEASURES."""
    held[0] += 1
    status = row.status
    if status >= 400:
        held[1] += status != CLIENT_LEFT
    else:
        held[2] += any([one.result not in ("success", "cancelled") for one in row.attempts])
    held[3] += row.prompt
    held[4] += row.cached
    held[5] += row.cache_write
    held[6] += row.reasoning
    held[7] += row.completion
    held[8] += to_units(row.cost)


def _judged(result: str) -> int:
    """Which of ATTEMPT_MEASURES an attempt is."""
    if result == "success":
        return 0
    return 2 if result in NEUTRAL else 1


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
    """Group buckets of `kind_for(query)`."""
    return [Total(group, *_counts(held), to_usd(held[-1])) for group, held in _grouped(query, found, kind_for(query))]


def _counts(measures: Sequence[int]) -> tuple[int, int, int, int, int, int, int, int]:
    requests, errors, saved, prompt, cached, cache_write, reasoning, completion, _ = measures
    return requests, errors, saved, prompt, cached, cache_write, reasoning, completion


def attempt_totals(query: Query, found: Iterable[Bucketed]) -> list[AttemptTotal]:
    """Group buckets of attempts."""
    return [AttemptTotal(group, *held) for group, held in _grouped(query, found, "attempts")]


def filters(query: Query, kind: str) -> dict[str, str]:
    """What a query wants some dimensions to be."""
    wanted = {"model": query.model, "provider": query.provider, "key": query.key, "app": query.app}
    return {name: want for name, want in wanted.items() if want is not None and name in DIMENSIONS[kind]}


def _grouped(query: Query, found: Iterable[Bucketed], kind: str) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    groups: dict[tuple[str, ...], list[int]] = {}
    names = DIMENSIONS[kind]
    wanted = [(names.index(name), want) for name, want in filters(query, kind).items()]
    places = [(_TIMES.get(one, 0), names.index(one) if one in names else 0) for one in query.by]
    for bucket, dims, measures in found:
        if any(dims[place] != want for place, want in wanted):
            continue
        group = tuple(str(bucket // span * span) if span else dims[place] for span, place in places)
        _add(groups, group, measures)
    yield from sorted(groups.items())
