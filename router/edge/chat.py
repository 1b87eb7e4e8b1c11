"""POST /chat/completions, as a bare ASGI endpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from router.answer import Answer
from router.ask import Ask, parse
from router.auth import Auth
from router.core import Core, Underway, new_generation
from router.edge import body
from router.edge.asgi import Receive, Scope, Send, respond
from router.edge.disconnect import Departure
from router.edge.errors import send_error
from router.edge.stream import Stream
from router.edge.wire import EXTENSION as WIRE
from router.edge.wire import Wire
from router.errors import ApiError, Busy
from router.request import Request

log = logging.getLogger("turnout")

LARGE = 1 << 20
"""Bytes of a request above which others have their turn between its being read and its being sent on."""

_FIELDS = b"content-type: application/json\r\nx-generation-id: %b\r\n"


class Talk(msgspec.Struct, frozen=True, gc=False):
    """How the client is talked to; where there is a wire, by that."""

    receive: Receive
    send: Send
    wire: Wire | None


class Chat:
    """Serves completions, streamed and not."""

    def __init__(self, core: Core, auth: Callable[[], Auth]) -> None:
        self._core = core
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = self._core.health.now()
        wire: Wire | None = scope.get("extensions", {}).get(WIRE)
        headers = dict(scope["headers"]) if wire is None else wire.headers
        generation = new_generation()
        try:
            caller = await self._auth().caller(headers)
            underway = self._core.enter()
        except ApiError as error:
            await send_error(send, error, generation)
            return
        try:
            request = Request(generation, headers, received, caller, _wants_metadata(headers))
            await self._serve(Talk(receive, send, wire), request, underway)
        finally:
            self._core.leave(underway)

    async def _serve(self, talk: Talk, request: Request, underway: Underway) -> None:
        most = self._core.setup.settings.server.max_body_bytes
        receive, send, wire = talk.receive, talk.send, talk.wire
        try:
            data = await body.read(receive, request.headers, most, wire)
            ask = parse(data, request.headers)
        except body.ClientLeft:
            return
        except ApiError as error:
            await send_error(send, error, request.generation)
            return
        if len(data) > LARGE:
            await asyncio.sleep(0)
        with Departure(wire, receive) as departure:
            underway.task = departure.task
            if ask.stream:
                await self._streamed(ask, request, Stream(send, request.generation, wire), underway)
            else:
                await self._whole(ask, request, talk, underway)

    async def _complete(self, ask: Ask, request: Request, underway: Underway) -> Answer:
        """An answer under way. Raises ApiError, and nothing else but for being cancelled: a fault of ours is logged and
        told as a 500 that says no more."""
        try:
            return await self._core.complete(ask, request)
        except ApiError:
            raise
        except asyncio.CancelledError:
            if not underway.interrupted or underway.task is None or underway.task.uncancel():
                raise
            raise Busy("The gateway is shutting down. Try again.", retry_after=1.0) from None
        except Exception:
            log.exception("request %s failed in the gateway", request.generation)
            raise ApiError("The gateway failed on this request; its log says why.") from None

    async def _whole(self, ask: Ask, request: Request, talk: Talk, underway: Underway) -> None:
        send, wire = talk.send, talk.wire
        try:
            answer = await self._complete(ask, request, underway)
        except ApiError as error:
            await send_error(send, error, request.generation)
            return
        try:
            generation = request.generation.encode()
            if wire is not None:
                await wire.respond(_FIELDS % generation, answer.whole())
            else:
                await respond(send, 200, answer.whole(), [(b"x-generation-id", generation)])
        finally:
            answer.close()

    async def _streamed(self, ask: Ask, request: Request, stream: Stream, underway: Underway) -> None:
        with stream:
            try:
                answer = await self._complete(ask, request, underway)
            except ApiError as error:
                await stream.refuse(error)
                return
            underway.answer = answer
            try:
                await answer.relay(stream)
                await stream.end()
            finally:
                answer.close()


def _wants_metadata(headers: Mapping[bytes, bytes]) -> bool:
    value = headers.get(b"x-openrouter-metadata") or headers.get(b"x-openrouter-experimental-metadata")
    return value is not None and value.strip().lower() in (b"enabled", b"true", b"1")
