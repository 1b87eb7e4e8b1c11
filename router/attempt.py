"""One call to one endpoint: from opening the connection to the one outcome it is settled with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from config.schema import Timeouts
from providers.client import Client
from providers.dialects.base import Call, Envelope, StreamReader, Tail, Usage, Whole
from providers.errors import BadAnswer, Cancelled, Interrupted, ProviderError
from providers.transport.base import Response
from router.ask import Ask
from router.facts import Ticket
from router.outcome import Outcome
from router.recall import NOTHING, Recalled
from router.rescue.ways import Way
from router.watch import NEVER, Slow, Watch

MAX_ANSWER = 64 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
SLOWEST_WHOLE = 100
"""Tokens a second. An answer that is not streamed has no first token to wait for, so it is given the time to
make `max_tokens` at this speed on top of `first_token`."""
BYTES_PER_TOKEN = 4
"""For estimating what was produced where no usage was reported."""
Give = Callable[[bytes], bool]
"""Takes client-ready bytes; False: the client does not keep up, so no more for now."""


class Job(msgspec.Struct, frozen=True, gc=False):
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
    """One call. `start` it, `pump` it until it has ended, then `finish`; `cancel` it at any time.

    However it ends, `settle` is called exactly once with its outcome.
    """

    __slots__ = (
        "_beaten",
        "_client",
        "_events",
        "_first_token",
        "_give",
        "_hedged",
        "_job",
        "_keeping_up",
        "_pieces",
        "_reader",
        "_response",
        "_settle",
        "_size",
        "_source",
        "_ticket",
        "_time",
        "_watch",
        "_way",
        "_whole",
        "begun",
        "endpoint",
        "outcome",
        "started",
    )
    _reader: StreamReader
    """Of a stream, once it is there."""
    _pieces: list[bytes]
    """Of what is not streamed, as far as it came."""
    _whole: Whole
    """The same, once it is there."""

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
        self.begun: Callable[[], None] | None = None
        """Called once, when the first content is there (of an answer that is not streamed: its first byte)."""
        self.outcome: Outcome | None = None
        self._hedged = hedged
        self._way = way
        self._beaten = False
        self._job = job
        self._ticket = ticket
        self._client = client
        self._settle = settle
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self.started = loop.time()
        """When it was made, on the loop's clock."""
        self._first_token: float | None = None
        self._response: Response | None = None
        self._watch = Watch(loop, self.started, job.patience, job.deadline)
        self._source: StreamReader | Whole | None = None
        """Where usage and the like are read."""
        self._events = 0
        self._size = 0
        self._give: Give = _nobody
        self._keeping_up = True

    async def start(self, slow: Slow | None = None, slow_at: float = NEVER) -> bytes:
        """Up to the first content: of a stream its first client-ready bytes (b"" where the client has them already),
        else b"" with the answer read whole. `slow` is called where it has not begun by `slow_at`.

        Raises ProviderError; then nothing has reached the client, and another endpoint may be tried.
        """
        job = self._job
        watch = self._watch
        watch.start(slow, slow_at)
        try:
            response = await self._open()
            if job.ask.stream:
                return await self._first_content(response)
            self._whole = self._source = await self._read_whole(response)
        except ProviderError as error:
            self._end(error)
            raise
        except asyncio.CancelledError:
            if watch.gave_up is not None and watch.is_ours():
                self._end(watch.gave_up)
                raise watch.gave_up from None
            self.cancel()
            raise
        except BaseException:
            self.cancel()
            raise
        self._end(None)
        return b""

    def _has_begun(self, response: Response) -> None:
        self._watch.begun(response, self._job.timeouts.idle)
        self._first_token = self._watch.last - self.started
        if self.begun is not None:
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
        self._reader = self._source = reader
        while True:
            data = await response.read()
            out = reader.feed(data) if data else reader.eof()
            if out or reader.started or reader.ended:
                break
        if reader.error is not None and not out:
            raise reader.error
        self._events = reader.events
        self._has_begun(response)
        if self._ticket.begun is not None and reader.error is None:
            self._ticket.begun(self._ticket)
        return out

    async def _read_whole(self, response: Response) -> Whole:
        self._pieces = []
        await response.pump(self._keep)
        return self._client.dialect.whole(b"".join(self._pieces), self._envelope())

    def _keep(self, piece: bytes) -> bool:
        """A piece of an answer that is not streamed."""
        if self._first_token is None:
            if not piece.strip():
                return True  # padding sent while the provider thinks is no answer yet
            assert self._response is not None
            self._has_begun(self._response)
        else:
            self._watch.last = self._time()
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_ANSWER:
            raise BadAnswer(f"the answer is larger than {MAX_ANSWER >> 20} MiB")
        return True

    async def pump(self, give: Give) -> bool:
        """Hand `give` a stream's further client-ready bytes as they come, until it has ended well (True) or `give`
        returned False. Raises ProviderError where it broke."""
        reader, response = self._reader, self._response
        assert response is not None
        self._give = give
        self._keeping_up = True
        try:
            while not reader.ended and self._keeping_up:
                if await response.pump(self._take) and not reader.ended and (out := reader.eof()):
                    give(out)
        except ProviderError as error:
            self._end(error)
            raise
        except BaseException:
            self.cancel()
            raise
        finally:
            self._give = _nobody
        if not reader.ended:
            return False
        self._end(reader.error)
        if reader.error is not None:
            raise reader.error
        return True

    def _take(self, data: bytes) -> bool:
        """Bytes of the provider, as they arrive; False: no more for now."""
        reader = self._reader
        out = reader.feed(data)
        if reader.events != self._events:
            self._events = reader.events
            self._watch.last = self._time()
        if out:
            self._keeping_up = self._give(out)
            return self._keeping_up and not reader.ended
        return not reader.ended

    async def next(self) -> bytes:
        """The next client-ready bytes of a stream alone; b"" once it has ended well. Raises ProviderError."""
        pieces: list[bytes] = []

        def keep(out: bytes) -> bool:
            pieces.append(out)
            return False

        try:
            await self.pump(keep)
        except ProviderError:
            if not pieces:  # an error that came together with content is raised the next time
                raise
        return b"".join(pieces)

    def finish(self, tail: Tail) -> bytes:
        """The last bytes for the client: of a stream its finish and `[DONE]`, else the whole answer."""
        if self._job.ask.stream:
            return self._reader.finish(tail)
        return self._whole.render(tail)

    def fail(self, error: ProviderError, status: int, metadata: Mapping[str, object], tail: Tail) -> bytes:
        """The in-band error that ends a stream which had content."""
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
        error = Cancelled("another endpoint was faster")
        if self._first_token is None:
            self._watch.give_up(error)
        self._end(error)

    def _end(self, error: ProviderError | None) -> None:
        if self.outcome is not None:
            return
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
        source = self._source
        reason = source.finish_reason if source is not None else None
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
            started=self.started,
            duration=self._time() - self.started,
            error=error,
            stream=self._job.ask.stream,
            first_token=self._first_token,
            usage=usage,
            estimated=estimated,
            cost=self.endpoint.rates.cost(usage) if usage is not None else Decimal(0),
            finish_reason=reason,
            upstream_status=self._response.status if self._response is not None else None,
            thoughts=source.thoughts if source is not None and error is None else (),
            malformed=source.malformed if reason == "tool_calls" and error is None and source is not None else None,
            hedged=self._hedged,
            rescue=self._way.how if self._way is not None else None,
        )


def _nobody(out: bytes) -> bool:
    return False


async def _read_up_to(response: Response, most: int) -> bytes:
    """The body, or its first `most` bytes; an error page is not worth more."""
    pieces: list[bytes] = []
    size = 0
    while size < most and (piece := await response.read()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)[:most]
