"""One HTTP/2 connection: its streams, their flow control, and its end."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import NoSuchStreamError, ProtocolError
from h2.settings import SettingCodes, Settings

from providers.errors import BadAnswer, Broken, ProviderError, Unreachable
from providers.transport.base import MAX_HEAD_BYTES, MAX_HEADERS, Header
from providers.transport.connection import HIGH_WATER
from providers.transport.dial import Dialled
from providers.transport.h2_frames import LAST_STREAM, Frames
from providers.transport.h2_stream import Stream
from providers.transport.origin import reason_of

MOST_STREAMS = 100
"""Streams we open on one connection, if the peer does not allow fewer."""
_MOST_UNSENT = 1024 * 1024
"""Bytes the peer may let pile up; a body of ours waits before that, so they are answers to its control frames."""


class Session(Dialled):
    """Connected by `dial`, then `ready`; from then on any number of `ask` at once, as long as there is `room`."""

    _transport: asyncio.Transport

    def __init__(
        self, loop: asyncio.AbstractEventLoop, number: int, peer: str, on_change: Callable[[Session], None]
    ) -> None:
        """`peer` is host:port, for messages; `on_change` is called when a stream or the connection is gone."""
        self.number = number
        self._loop = loop
        self._peer = peer
        self._on_change = on_change
        self._h2 = H2Connection(H2Configuration())
        self._streams: dict[int, Stream] = {}
        self._frames = Frames(self._farewell)
        self._error: ProviderError | None = None
        self._ready: asyncio.Future[None] = loop.create_future()
        self._writing_paused = False
        self._leaving = False
        self.connected = False
        self.gone = False
        """The socket is closed."""
        self.served = 0
        """Answers begun."""
        self._expiry: asyncio.TimerHandle | None = None

    # What the transport above does with it

    @property
    def busy(self) -> bool:
        return bool(self._streams)

    @property
    def room(self) -> bool:
        """Whether one more request may be sent."""
        most = min(MOST_STREAMS, self._h2.remote_settings.max_concurrent_streams)
        return self.connected and not self._leaving and len(self._streams) < most

    async def ready(self) -> None:
        """Until the peer has said how many streams it allows. Raises Unreachable, BadAnswer."""
        await self._ready
        if self._error is not None:
            raise self._error

    def ask(self, fields: Sequence[Header], body: bytes) -> Stream:
        """Send a request; its answer is to be awaited."""
        number = self._h2.get_next_available_stream_id()
        stream = Stream(self._loop, number, body, self._release, self._acknowledge, reusing=self.served > 0)
        if not self.room:
            stream.lost(self._peer, "it takes no more requests", untouched=True)
            return stream
        self._streams[number] = stream
        self._leaving = number + 2 > LAST_STREAM
        if self._expiry is not None:
            self._expiry.cancel()
        self._h2.send_headers(number, fields, end_stream=not body)
        self._flush()
        self._pump(stream)
        return stream

    def expire(self, seconds: float, error: ProviderError) -> None:
        """Leave if nothing is asked for so long."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later(seconds, self.leave, error)

    def leave(self, error: ProviderError) -> None:
        """Say goodbye and close; every answer being read ends with `error`."""
        if self.connected:
            with suppress(ProtocolError):
                self._h2.close_connection()
            self._flush()
        self._shut(error)

    def abort(self, error: Exception | None = None) -> None:
        """Close at once, connected or not."""
        reason = f"the connection to {self._peer} was closed by this side"
        self._shut(error if isinstance(error, ProviderError) else Unreachable(reason))

    # Sending

    def _pump(self, stream: Stream) -> None:
        """As much of the body as the peer's window and the socket take; the rest goes when either says so."""
        try:
            while stream.unsent and not self._writing_paused and (size := self._window(stream)) > 0:
                piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
                self._h2.send_data(stream.number, bytes(piece), end_stream=not stream.unsent)
                self._flush()
        except NoSuchStreamError:
            pass  # the peer has just reset it, in the packet in which it made us go on

    def _window(self, stream: Stream) -> int:
        if not self.connected:
            return 0
        return min(self._h2.local_flow_control_window(stream.number), self._h2.max_outbound_frame_size)

    def _pump_all(self) -> None:
        for stream in tuple(self._streams.values()):
            self._pump(stream)

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)

    def _release(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is None:
            return
        if self.connected:
            if not stream.finished:
                # A provider that is not told goes on generating, at our expense.
                with suppress(NoSuchStreamError):
                    self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
            self._acknowledge(stream)
            self._flush()
        self._settle()

    def _acknowledge(self, stream: Stream) -> None:
        """Only what was read makes room for more, so a slow reader makes the provider wait."""
        if self.connected and stream.owed:
            owed, stream.owed = stream.owed, 0
            self._h2.acknowledge_received_data(owed, stream.number)
            self._flush()

    def _settle(self) -> None:
        if self._leaving and not self._streams:
            self.leave(Unreachable(f"{self._peer} closed the connection"))
        self._on_change(self)

    # Events

    def _heed(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            if not self._ready.done():
                self._ready.set_result(None)
            self._pump_all()
        elif isinstance(event, WindowUpdated):
            self._pump_all()
        elif isinstance(event, ResponseReceived | DataReceived | StreamEnded | StreamReset):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None:
                self._heed_stream(stream, event)

    def _heed_stream(self, stream: Stream, event: Event) -> None:
        if isinstance(event, DataReceived):
            stream.feed(event.data or b"", event.flow_controlled_length or 0)
        elif isinstance(event, StreamEnded):
            stream.end()
        elif isinstance(event, StreamReset):
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            stream.lost(self._peer, f"it reset the stream: {_name(event.error_code)}", untouched=refused)
        elif isinstance(event, ResponseReceived):
            self._begin(stream, event.headers)

    def _begin(self, stream: Stream, fields: list[Header]) -> None:
        self.served += 1
        status = next((value for name, value in fields if name == b":status"), b"")
        if len(fields) > MAX_HEADERS or not re.fullmatch(rb"[1-9][0-9][0-9]", status):
            what = "too many headers" if len(fields) > MAX_HEADERS else "no status"
            stream.fail(BadAnswer(f"{self._peer} did not answer in proper HTTP: {what}"))
        else:
            stream.begin(int(status), fields)

    def _farewell(self, last: int) -> None:
        """The peer takes no further request, and has not begun those after `last`."""
        self._leaving = True
        for stream in tuple(self._streams.values()):
            if stream.number > last:
                stream.lost(self._peer, "it is closing the connection", untouched=True)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if self._error is not None or tls is None or tls.selected_alpn_protocol() != "h2":
            self._shut(Unreachable(f"{self._peer} does not offer HTTP/2: leave out http2: true"))
            self._transport.abort()
            return
        self.connected = True
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: HIGH_WATER,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
            },
        )
        self._h2.initiate_connection()
        # room for every stream's window, so that one that nobody reads holds up no other
        self._h2.increment_flow_control_window(HIGH_WATER * MOST_STREAMS)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if not self.connected:
            return
        try:
            for event in self._h2.receive_data(self._frames.whole(data)):
                self._heed(event)
        except ProtocolError as error:
            self._flush()
            self._shut(BadAnswer(f"{self._peer} did not answer in proper HTTP: {reason_of(error)}"))
            return
        self._flush()
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._shut(BadAnswer(f"{self._peer} did not answer in proper HTTP: it does not read"))
        elif self._leaving:
            self._settle()

    def pause_writing(self) -> None:
        """See asyncio."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """See asyncio."""
        self._writing_paused = False
        self._pump_all()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.gone = True
        self._shut(None, reason_of(exc) if exc else "the connection was closed by the peer")

    def _shut(self, error: ProviderError | None, reason: str = "") -> None:
        """Once: what is under way ends with `error`, None: with what its progress makes of `reason`."""
        if self.connected:
            self.connected = False
            self._transport.abort()
        if self._expiry is not None:
            self._expiry.cancel()
        if self._error is None:
            self._error = error or Unreachable(f"{self._peer} did not answer: {reason}")
        if not self._ready.done():
            self._ready.set_result(None)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if error is None:
                stream.lost(self._peer, reason, untouched=stream.reusing)
            else:
                stream.fail(error if stream.status else _asked_in_vain(error))
        self._on_change(self)


def _name(code: int | None) -> str:
    return ErrorCodes(code).name.lower().replace("_", " ") if code in list(ErrorCodes) else f"code {code}"


def _asked_in_vain(error: ProviderError) -> ProviderError:
    return Unreachable(error.message) if isinstance(error, Broken) else error
