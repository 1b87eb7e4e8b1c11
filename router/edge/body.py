"""Reading a request's body within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from router.edge.asgi import Receive
from router.edge.wire import Wire
from router.errors import BadRequest, TooLarge

BODY_SECONDS = 30.0
"""A body that has not arrived whole by then is answered 408."""


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


async def read(receive: Receive, headers: Mapping[bytes, bytes], most: int, wire: Wire | None = None) -> bytes:
    """The body. Raises TooLarge (413), BadRequest (408, 415) or ClientLeft."""
    if b"content-encoding" in headers and headers[b"content-encoding"].strip().lower() != b"identity":
        raise BadRequest("Content-Encoding is not supported: send the body uncompressed.", status=415)
    arrived = wire.body() if wire is not None else None
    if arrived is not None:
        if len(arrived) > most:
            raise _too_large(most)
        return arrived
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _gather(receive, most)
    except TimeoutError:
        raise BadRequest(f"The body did not arrive within {BODY_SECONDS:g} s.", status=408) from None


async def _gather(receive: Receive, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is larger than {most:,} bytes, the most this gateway takes (server.max_body_bytes).")
