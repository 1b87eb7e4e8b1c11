"""One call to one endpoint: from opening the connection to the one outcome it is settled with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from config.schema import Timeouts
from providers.client import Client
from providers.dialects.base import Call, Envelope, StreamReader, Tail, Usage, Whole
from providers.errors import (
    BadAnswer,
    Cancelled,
    FirstTokenTimeout,
    Interrupted,
    ProviderError,
    TotalTimeout,
)
from providers.transport.base import Response
from router.ask import Ask
from router.facts import Ticket
from router.outcome import Outcome
from router.recall import NOTHING, Recalled
from router.rescue.ways import Way
from router.watch import Watch

MAX_ANSWER = 64 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
SLOWEST_WHOLE = 100
"""Tokens a second. An answer that is not streamed has no first token to wait for, so it is given the time to
make `max_tokens` at this speed on top of `first_token`."""
BYTES_PER_TOKEN = 4
"""For estimating what was produced where no usage was reported."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every attempt of one request has in common."""

    ask: Ask
    generation: str
    created: int
    client_headers: Mapping[bytes, bytes]
    timeouts: Timeouts
    deadline: float
    """On the loop's clock: when the whole request's time is over."""
    recalled: Recalled = NOTHING

    @property
    def patience(self) -> float:
        """Seconds an attempt may take to begin its answer."""
        ask, patience = self.ask, self.timeouts.first_token
        return patience if ask.stream else patience + (ask.max_tokens or 0) / SLOWEST_WHOLE


class Attempt:
    """One call. `start` it, take `next` until it is empty, then `finish`; `cancel` it at any time.

    However it ends, `settle` is called exactly once with its outcome.
    """

    def __init__(
        self,
        job: Job,
        ticket: Ticket,
        client: Client,
        settle: Callable[[Ticket, Outcome], None],
        *,
        hedged: bool = False,
        way: Way | None = None,
    ) -> None:
        """`hedged`: it is started beside another one. `way`: how it is to carry on an answer that broke."""
        self.endpoint = ticket.endpoint
        self.begun: Callable[[], None] = _nobody
        """Called once, when the first content is there (of an answer that is not streamed: its first byte)."""
        self._hedged = hedged
        self._way = way
        self._beaten = False
        self._patience: asyncio.Timeout | None = None
        self._job = job
        self._ticket = ticket
        self._client = client
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._first_token: float | None = None
        self._response: Response | None = None
        self._watch: Watch | None = None
        self._reader: StreamReader | None = None
        self._whole: Whole | None = None
        self._events = 0
        self.outcome: Outcome | None = None

    async def start(self) -> bytes:
        """Up to the first content: of a stream its first client-ready bytes (b"" where the client has them already),
        else b"" with the answer read whole.

        Raises ProviderError; then nothing has reached the client, and another endpoint may be tried.
        """
        try:
            return await self._begin()
        except ProviderError as error:
            self._end(error)
            raise
        except BaseException:
            self.cancel()
            raise

    async def _begin(self) -> bytes:
        job = self._job
        try:
            async with asyncio.timeout_at(min(self._started + job.patience, job.deadline)) as self._patience:
                response = await self._open()
                if job.ask.stream:
                    return await self._first_content(response)
                first = await _first_of_body(response)
        except TimeoutError:
            raise self._timed_out() from None
        self._has_begun()
        self._whole = await self._read_whole(response, first)
        self._end(None)
        return b""

    def _timed_out(self) -> ProviderError:
        if self._beaten:
            return Cancelled("another endpoint was faster")
        if self._loop.time() >= self._job.deadline:
            return TotalTimeout("no answer within the time a request may take")
        return FirstTokenTimeout(f"no answer was begun within {self._job.patience:g} s")

    def _has_begun(self) -> None:
        if self._beaten:
            raise Cancelled("another endpoint was faster")
        self._first_token = self._loop.time() - self._started
        self.begun()

    async def _open(self) -> Response:
        ask, endpoint = self._job.ask, self.endpoint
        call = Call(
            body=ask.body,
            model=endpoint.upstream_model,
            stream=ask.stream,
            supports=endpoint.supports,
            reasoning_mandatory=endpoint.reasoning_mandatory,
            provider=endpoint.provider.slug,
            recalled=self._job.recalled.thoughts,
            origins=self._job.recalled.origins,
        )
        if self._way is not None:
            call = self._way.call(call)
        response = self._response = await self._client.open(call, self._job.client_headers)
        if response.status != 200:
            body = await _read_up_to(response, MAX_ERROR_BODY)
            raise self._client.dialect.classify(response.status, response.headers, body)
        return response

    def _envelope(self) -> Envelope:
        job, endpoint = self._job, self.endpoint
        return Envelope(
            id=job.generation,
            model=endpoint.model_id,
            provider=endpoint.provider.name,
            created=job.created,
            exclude_reasoning=job.ask.exclude_reasoning,
            usage_chunk=job.ask.usage_chunk,
            remember=True,
            extract=endpoint.extract,
        )

    async def _first_content(self, response: Response) -> bytes:
        reader = self._client.dialect.stream(self._envelope())
        if self._way is not None:
            reader = self._way.reader(reader)
        self._reader = reader
        while True:
            out = await self._read(response, reader)
            if out or reader.started or reader.ended:
                break
        if reader.error is not None and not out:
            raise reader.error
        self._has_begun()
        self._events = reader.events
        timeouts = self._job.timeouts
        self._watch = Watch(response, timeouts.idle, self._job.deadline)
        return out

    @staticmethod
    async def _read(response: Response, reader: StreamReader) -> bytes:
        data = await response.read()
        return reader.feed(data) if data else reader.eof()

    async def _read_whole(self, response: Response, first: bytes) -> Whole:
        watch = self._watch = Watch(response, self._job.timeouts.idle, self._job.deadline)
        pieces, size, piece = [first], len(first), first
        while piece:
            piece = await response.read()
            watch.touch()
            pieces.append(piece)
            size += len(piece)
            if size > MAX_ANSWER:
                raise BadAnswer(f"the answer is larger than {MAX_ANSWER >> 20} MiB")
        watch.stop()
        return self._client.dialect.whole(b"".join(pieces), self._envelope())

    async def next(self) -> bytes:
        """Further client-ready bytes of a stream; b"" once it has ended well. Raises ProviderError where it broke."""
        response, reader, watch = self._response, self._reader, self._watch
        assert response is not None
        assert reader is not None
        assert watch is not None
        try:
            while not reader.ended:
                out = await self._read(response, reader)
                if reader.events != self._events:
                    self._events = reader.events
                    watch.touch()
                if out:
                    return out
        except ProviderError as error:
            self._end(error)
            raise
        except BaseException:
            self.cancel()
            raise
        self._end(reader.error)
        if reader.error is not None:
            raise reader.error
        return b""

    def finish(self, tail: Tail) -> bytes:
        """The last bytes for the client: of a stream its finish and `[DONE]`, else the whole answer."""
        if self._whole is not None:
            return self._whole.render(tail)
        assert self._reader is not None
        return self._reader.finish(tail)

    def fail(self, error: ProviderError, status: int, metadata: Mapping[str, object], tail: Tail) -> bytes:
        """The in-band error that ends a stream which had content."""
        assert self._reader is not None
        return self._reader.fail(error, status, metadata, tail)

    def interrupt(self) -> None:
        """End a stream whose client waits for more: its `next` raises Interrupted."""
        if self._response is not None:
            self._response.abort(Interrupted("the gateway is shutting down and had to end this answer"))

    def cancel(self) -> None:
        """Close the connection; settled as cancelled unless it was settled already."""
        self._end(Cancelled("the request was cancelled"))

    def lose(self) -> None:
        """The same, since another attempt was faster; where `start` still waits, it raises Cancelled."""
        if self.outcome is not None:
            return
        self._beaten = True
        if self._patience is not None and self._first_token is None:
            self._patience.reschedule(self._loop.time())
        self._end(Cancelled("another endpoint was faster"))

    def _end(self, error: ProviderError | None) -> None:
        if self.outcome is not None:
            return
        if self._watch is not None:
            self._watch.stop()
        response = self._response
        if response is not None:
            if error is None:
                response.close()
            else:
                response.abort(error)
        self.outcome = self._outcome(error)
        self._settle(self._ticket, self.outcome)

    def _outcome(self, error: ProviderError | None) -> Outcome:
        source = self._whole or self._reader
        usage = source.usage if source is not None else None
        produced = source.produced if source is not None else 0
        if error is not None and produced == 0:
            usage = None  # a failure that produced nothing costs its client nothing, whatever was reported
        # One that was beaten had the prompt to read at least, and will be paid for that.
        estimated = usage is None and (produced > 0 or self._beaten)
        if estimated:
            usage = Usage(self._job.ask.prompt.tokens, -(-produced // BYTES_PER_TOKEN))
        return Outcome(
            generation=self._job.generation,
            endpoint=self.endpoint,
            started=self._started,
            duration=self._loop.time() - self._started,
            error=error,
            stream=self._job.ask.stream,
            first_token=self._first_token,
            usage=usage,
            estimated=estimated,
            cost=self.endpoint.rates.cost(usage) if usage is not None else Decimal(0),
            finish_reason=source.finish_reason if source is not None else None,
            upstream_status=self._response.status if self._response is not None else None,
            thoughts=source.thoughts if source is not None and error is None else (),
            hedged=self._hedged,
            rescue=self._way.how if self._way is not None else None,
        )


def _nobody() -> None:
    pass


async def _first_of_body(response: Response) -> bytes:
    """The body's first bytes that say anything; padding sent while the provider thinks does not count."""
    while (piece := await response.read()) and not piece.strip():
        pass
    return piece


async def _read_up_to(response: Response, most: int) -> bytes:
    """The body, or its first `most` bytes; an error page is not worth more."""
    pieces: list[bytes] = []
    size = 0
    while size < most and (piece := await response.read()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)[:most]
