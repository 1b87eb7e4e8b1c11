"""One row a request for the ledger: an observer that writes down what was served."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from providers.usage import Usage, total
from router.outcome import Outcome
from router.served import Served
from router.state.values import AttemptRow, Row

_NOTHING = Usage()


class Writer(Protocol):
    """Takes rows over, never waits."""

    def add(self, row: Row) -> None: ...


class Recorder:
    """Writes one row a request."""

    def __init__(self, writer: Writer, wall: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._wall = wall

    def attempted(self, outcome: Outcome) -> None:
        """Attempts are written with their request."""

    def served(self, served: Served) -> None:
        self._writer.add(row(served, self._wall()))


def row(served: Served, now: float) -> Row:
    """The ledger's row of a request that ended at unix time `now`. Tokens and cost are summed over its attempts."""
    request, decision, endpoint = served.request, served.decision, served.endpoint
    attempts = served.attempts
    used = total([outcome.usage for outcome in attempts if outcome.usage is not None]) or _NOTHING
    last = attempts[-1] if attempts else None
    first_token = last.first_token if last is not None else None
    return Row(
        id=request.generation,
        created=served.grant.at if served.grant is not None else now - served.duration,
        requested=decision.plan.models[0],
        status=served.status,
        key=request.caller.digest,
        key_name=request.caller.name or "",
        model=endpoint.model_id if endpoint else None,
        provider=endpoint.provider.slug if endpoint else None,
        provider_name=endpoint.provider.name if endpoint else None,
        tag=endpoint.tag if endpoint else None,
        stream=decision.ask.stream,
        cancelled=served.status == 499,
        finish_reason=last.finish_reason if last is not None else None,
        first_token=first_token,
        duration=served.duration,
        generation=max(0.0, last.duration - (first_token or 0.0)) if last is not None else 0.0,
        overhead=served.overhead,
        prompt=used.prompt,
        cached=used.cached,
        cache_write=used.cache_write,
        reasoning=used.reasoning,
        completion=used.completion,
        cost=served.cost,
        upstream_cost=used.reported_cost,
        estimated=any([outcome.estimated for outcome in attempts]),
        referer=request.header(b"http-referer") or request.header(b"referer"),
        title=request.header(b"x-openrouter-title") or request.header(b"x-title"),
        user_agent=request.header(b"user-agent"),
        session=decision.ask.session,
        attempts=tuple([_attempt(outcome, request.received) for outcome in attempts]),
        decision=msgspec.Raw(decision.metadata()),
    )


def _attempt(outcome: Outcome, received: float) -> AttemptRow:
    error, endpoint = outcome.error, outcome.endpoint
    return AttemptRow(
        provider=endpoint.provider.slug,
        name=endpoint.provider.name,
        model=endpoint.model_id,
        tag=endpoint.tag,
        status=200 if error is None else error.upstream_status or outcome.upstream_status or error.status,
        result=outcome.label,
        error=None if error is None else error.message,
        duration=outcome.duration,
        first_token=outcome.first_token,
        cost=outcome.cost,
        started=round(outcome.started - received, 6),
    )
