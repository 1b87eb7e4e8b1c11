"""An answer under way: what its client is handed next, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

from providers.dialects.base import Tail
from providers.errors import ProviderError
from providers.usage import total
from router.attempt import Give
from router.catalogue import Endpoint
from router.decision import Decision
from router.dispatch import Started
from router.outcome import Outcome
from router.request import Request
from router.rescue.rescue import Insurance
from router.rescue.transcript import LARGE, MANY

CLIENT_LEFT = 499
"""The status a request is recorded with whose client did not wait for it."""


class Sink(Protocol):
    """Where a stream goes: its client."""

    def push(self, events: bytes) -> bool:
        """Whole events. False: the client does not keep up, `drained` is to be waited for before more is pushed."""
        ...

    async def drained(self) -> None: ...


class Answer:
    """An answer under way: take it `whole` or `relay` it, and `close` it whatever happens."""

    __slots__ = (
        "_attempt",
        "_condense",
        "_decision",
        "_ended",
        "_first",
        "_heard",
        "_insurance",
        "_interrupted",
        "_push",
        "_report",
        "_request",
        "_rescuing",
        "_status",
    )

    def __init__(
        self,
        started: Started,
        decision: Decision,
        request: Request,
        insurance: Insurance | None,
        report: Callable[[int], None],
    ) -> None:
        """`insurance`: who carries a stream on that breaks."""
        self._attempt = started.attempt
        self._first = started.first
        self._decision = decision
        self._request = request
        self._insurance = insurance
        self._report = report
        self._ended = False
        self._status = CLIENT_LEFT
        self._rescuing: asyncio.Task[object] | None = None
        self._interrupted = False

    @property
    def endpoint(self) -> Endpoint:
        return self._attempt.endpoint

    def whole(self) -> bytes:
        """The complete JSON of an answer that is not streamed."""
        return self._finished()

    async def relay(self, sink: Sink) -> None:
        """Hand the client its events up to the last. A stream that breaks is carried on elsewhere or ends with an error
        in it: this never raises but for being cancelled."""
        give = self._push = sink.push
        if self._insurance is not None:
            give = self._give
            self._heard, self._condense = self._insurance.transcript.events, self._insurance.transcript.condense
        out = self._first
        while not self._ended:
            if out and not give(out):
                await sink.drained()
            out = await self._go_on(sink, give)
        sink.push(out)
        await sink.drained()

    async def _go_on(self, sink: Sink, give: Give) -> bytes:
        """Up to the end, or where the stream is carried on. Returns the events that are due next."""
        try:
            while not await self._attempt.pump(give):
                await sink.drained()
        except ProviderError as error:
            return await self._broken(error)
        return self._finished()

    def _give(self, events: bytes) -> bool:
        """Of an insured stream every event passes here."""
        heard = self._heard
        heard.append(events)
        if len(heard) >= MANY or len(events) >= LARGE:
            self._condense()
        return self._push(events)

    def _finished(self) -> bytes:
        self._ended = True
        self._status = 200
        return self._attempt.finish(self._tail())

    async def _broken(self, error: ProviderError) -> bytes:
        started = await self._carried_on(error)
        if started is None:
            return self._failed(error)
        self._attempt = started.attempt
        return started.first or self._finished()

    async def _carried_on(self, error: ProviderError) -> Started | None:
        if self._insurance is None:
            return None
        self._rescuing = asyncio.current_task()
        try:
            return await self._insurance.carry_on(self._attempt, error)
        except asyncio.CancelledError:
            if not self._interrupted or self._rescuing is None or self._rescuing.uncancel():
                raise
            return None
        finally:
            self._rescuing = None

    def _failed(self, error: ProviderError) -> bytes:
        outcome = self._attempt.outcome
        assert outcome is not None
        self._ended = True
        failure = self._decision.broken(outcome)
        self._status = failure.status
        metadata = {"error_type": failure.error_type, **failure.metadata}
        return self._attempt.fail(error, failure.status, metadata, self._tail())

    def _tail(self) -> Tail:
        metadata = self._decision.metadata() if self._request.metadata else None
        last = self._attempt.outcome
        assert last is not None
        if not self._decision.rescues:
            shown = last.usage if last.estimated else None
            return Tail(last.cost, last.endpoint.rates.prompt_cost(last.usage) if last.usage else None, metadata, shown)
        return _tail_of(self._parts(), metadata)

    def _parts(self) -> list[Outcome]:
        """Of a stream that broke: that attempt, and all made to carry it on."""
        attempts = self._decision.attempts
        first = next(index for index, outcome in enumerate(attempts) if outcome.first_token is not None)
        return attempts[first:]

    def interrupt(self) -> None:
        """End the stream with an error in it."""
        self._interrupted = True
        if self._rescuing is not None:
            self._rescuing.cancel()
        else:
            self._attempt.interrupt()

    def close(self) -> None:
        """Done with it, at its end or before: what is still open upstream is closed."""
        if not self._ended:
            self._attempt.cancel()
            self._ended = True
        self._report(self._status)


def _tail_of(parts: Sequence[Outcome], metadata: bytes | None) -> Tail:
    """What an answer from several attempts came to."""
    used = [(outcome.endpoint.rates, outcome.usage) for outcome in parts if outcome.usage is not None]
    return Tail(
        cost=sum((outcome.cost for outcome in parts), Decimal(0)),
        prompt_cost=sum((rates.prompt_cost(usage) for rates, usage in used), Decimal(0)),
        metadata=metadata,
        usage=total([usage for _, usage in used]),
    )
