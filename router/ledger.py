"""One row a request for the ledger: an observer that writes down what was served."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from providers.usage import Usage, total
from router import recorded
from router.answer import CLIENT_LEFT
from router.catalogue import Endpoint
from router.outcome import Outcome
from router.served import Served
from router.state.values import AttemptRow, Row

LONGEST = 500
"""Characters of a header that are kept."""
_NOTHING = Usage()
_NOBODY = (None, None, None, None)
_NO_ENDING = (None, None, 0.0)


class Writer(Protocol):
    """Takes rows over, never waits."""

    def add(self, row: Row) -> None: ...


class Recorder:
    """Writes one row a request."""

    def __init__(self, writer: Writer, wall: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._wall = wall

    def served(self, served: Served) -> None:
        self._writer.add(row(served, self._wall()))


def row(served: Served, now: float) -> Row:
    """The ledger's row of a request that ended at unix time `now`. Tokens and cost are summed over its attempts."""
    request, decision, attempts = served.request, served.decision, served.attempts
    caller, ask, header = request.caller, decision.ask, request.headers.get
    model, provider, provider_name, tag = _NOBODY if served.endpoint is None else _names(served.endpoint)
    finish_reason, first_token, generation = _ending(attempts[-1]) if attempts else _NO_ENDING
    used, estimated = _used(attempts)
    referer = header(b"http-referer") or header(b"referer")
    title = header(b"x-openrouter-title") or header(b"x-title")
    user_agent = header(b"user-agent")
    # By place: a name is looked for among all of them, which at thirty costs more than everything else here.
    return Row(
        request.generation,
        now - served.duration if served.grant is None else served.grant.at,
        decision.plan.models[0],
        served.status,
        recorded.kept(decision),
        caller.digest,
        caller.name or "",
        model,
        provider,
        provider_name,
        tag,
        ask.stream,
        served.status == CLIENT_LEFT,
        finish_reason,
        None,
        first_token,
        served.duration,
        generation,
        served.overhead,
        used.prompt,
        used.cached,
        used.cache_write,
        used.reasoning,
        used.completion,
        served.cost,
        used.reported_cost,
        estimated,
        _text(referer) if referer else None,
        _text(title) if title else None,
        _text(user_agent) if user_agent else None,
        ask.session,
        tuple([_attempt(outcome, request.received) for outcome in attempts]),
    )


def _names(endpoint: Endpoint) -> tuple[str, str, str, str]:
    provider = endpoint.provider
    return endpoint.model_id, provider.slug, provider.name, endpoint.tag


def _ending(last: Outcome) -> tuple[str | None, float | None, float]:
    """Why it ended, seconds to its first token and seconds since."""
    first_token = last.first_token
    return last.finish_reason, first_token, max(0.0, last.duration - (first_token or 0.0))


def _used(attempts: Sequence[Outcome]) -> tuple[Usage, bool]:
    """Tokens of all attempts, and whether any of them is estimated."""
    if len(attempts) == 1:
        return attempts[0].usage or _NOTHING, attempts[0].estimated
    used = total([outcome.usage for outcome in attempts if outcome.usage is not None])
    return used or _NOTHING, any([outcome.estimated for outcome in attempts])


def _text(header: bytes) -> str:
    return header.decode("utf-8", "replace")[:LONGEST]


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
        hedged=outcome.hedged,
        rescue=outcome.rescue,
    )
