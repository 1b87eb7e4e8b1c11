"""An answer under way: what its client is handed next, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

from providers.dialects.base import Tail
from providers.errors import ProviderError
from router.attempt import Attempt
from router.catalogue import Endpoint
from router.decision import Decision
from router.request import Request

CLIENT_LEFT = 499
"""The status a request is recorded with whose client did not wait for it."""


class Answer:
    """An answer under way: take `next` until it is empty, and `close` it whatever happens."""

    def __init__(
        self,
        attempt: Attempt,
        first: bytes,
        decision: Decision,
        request: Request,
        report: Callable[[int], None],
    ) -> None:
        self._attempt = attempt
        self._pending = first
        self._decision = decision
        self._request = request
        self._report = report
        self._ended = False
        self._status = CLIENT_LEFT

    @property
    def endpoint(self) -> Endpoint:
        return self._attempt.endpoint

    def whole(self) -> bytes:
        """The complete JSON of an answer that is not streamed."""
        self._record()
        self._ended = True
        self._status = 200
        return self._attempt.finish(self._tail())

    async def next(self) -> bytes:
        """Client-ready events; b"" after the last. A stream that breaks ends with an error in it: this never raises
        but for being cancelled."""
        if self._pending:
            out, self._pending = self._pending, b""
            return out
        if self._ended:
            return b""
        try:
            out = await self._attempt.next()
        except ProviderError as error:
            return self._broken(error)
        if out:
            return out
        self._record()
        self._ended = True
        self._status = 200
        return self._attempt.finish(self._tail())

    def _broken(self, error: ProviderError) -> bytes:
        self._record()
        self._ended = True
        failure = self._decision.error(0.0)
        self._status = failure.status
        metadata = {"error_type": failure.error_type, **failure.metadata}
        return self._attempt.fail(error, failure.status, metadata, self._tail())

    def _tail(self) -> Tail:
        outcome = self._attempt.outcome
        assert outcome is not None
        return Tail(
            cost=outcome.cost,
            prompt_cost=outcome.endpoint.rates.prompt_cost(outcome.usage) if outcome.usage else None,
            usage=outcome.usage if outcome.estimated else None,
            metadata=self._decision.metadata() if self._request.metadata else None,
        )

    def _record(self) -> None:
        assert self._attempt.outcome is not None
        self._decision.attempts.append(self._attempt.outcome)

    def interrupt(self) -> None:
        """End the stream with an error in it."""
        self._attempt.interrupt()

    def close(self) -> None:
        """Done with it, at its end or before: what is still open upstream is closed."""
        if not self._ended:
            self._attempt.cancel()
            self._record()
            self._ended = True
        self._report(self._status)
