"""One row a request, for the ledger and the log: an observer that writes down what was served."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple, Protocol

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


class _NoAttempt(NamedTuple):
    """What a row tells of the last attempt, where there was none."""

    first_token: None = None
    usage: None = None
    estimated: bool = False
    finish_reason: None = None
    duration: float = 0.0


_NONE = _NoAttempt()


class Writer(Protocol):
    """Takes rows over, never waits."""

    def add(self, row: Row) -> None: ...


class Recorder:
    """Writes one row a request."""

    def __init__(self, writer: Writer, wall: Callable[[], float] = time.time) -> None:
        self.writers = [writer]
        """Whoever is given the rows; more may be added."""
        self._wall = wall

    def served(self, served: Served) -> None:
        made = row(served, self._wall())
        for writer in self.writers:
            writer.add(made)


def row(served: Served, now: float) -> Row:
    """The ledger's row of a request that ended at unix time `now`. Tokens and cost are summed over its attempts."""
    request, decision, attempts = served.request, served.decision, served.attempts
    caller, ask, header = request.caller, decision.ask, request.headers.get
    model, provider, provider_name, tag = _NOBODY if served.endpoint is None else _names(served.endpoint)
    last = attempts[-1] if attempts else _NONE
    first_token, used, estimated = last.first_token, last.usage or _NOTHING, last.estimated
    if len(attempts) > 1:
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
        last.finish_reason,
        None,
        first_token,
        served.duration,
        last.duration if first_token is None else max(0.0, last.duration - first_token),
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
        tuple(map(_attempt, attempts, repeat(request.received))),
    )


def _names(endpoint: Endpoint) -> tuple[str, str, str, str]:
    provider = endpoint.provider
    return endpoint.model_id, provider.slug, provider.name, endpoint.tag


def _used(attempts: Sequence[Outcome]) -> tuple[Usage, bool]:
    """Tokens of several attempts, and whether any of them is estimated."""
    used = total([outcome.usage for outcome in attempts if outcome.usage is not None])
    return used or _NOTHING, any([outcome.estimated for outcome in attempts])


def _text(header: bytes) -> str:
    return header.decode("utf-8", "replace")[:LONGEST]


def _attempt(outcome: Outcome, received: float) -> AttemptRow:
    error, endpoint = outcome.error, outcome.endpoint
    provider = endpoint.provider
    return AttemptRow(
        provider.slug,
        provider.name,
        endpoint.model_id,
        endpoint.tag,
        200 if error is None else error.upstream_status or outcome.upstream_status or error.status,
        "success" if error is None else outcome.label,
        None if error is None else error.message,
        outcome.duration,
        outcome.first_token,
        outcome.cost,
        round(outcome.started - received, 6),
        outcome.hedged,
        outcome.rescue,
    )
