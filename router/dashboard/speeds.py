"""How fast providers were in recent requests, for comparing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router.speed import Spread, spread
from router.state.values import AttemptRow, Row


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one provider or endpoint: seconds to the first token of streams, and output tokens a second."""

    first_token: Spread | None = None
    throughput: Spread | None = None


UNKNOWN = Speed()


def speeds(rows: Sequence[Row], group: Callable[[AttemptRow], str], model: str | None = None) -> dict[str, Speed]:
    """By group, of the attempts that succeeded in these requests."""
    first: dict[str, list[float]] = {}
    through: dict[str, list[float]] = {}
    for row in rows:
        last = row.attempts[-1] if row.attempts else None
        if last is None or last.result != "success" or model not in (None, last.model):
            continue
        if row.stream and last.first_token is not None:
            first.setdefault(group(last), []).append(last.first_token)
        if row.completion and last.duration > 0:
            through.setdefault(group(last), []).append(row.completion / last.duration)
    return {
        one: Speed(spread(first.get(one, ())), spread(through.get(one, ()), more_is_better=True))
        for one in {*first, *through}
    }
