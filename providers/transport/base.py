"""The protocol of an upstream connection: open a request, get status, headers and chunks, close."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200

Header = tuple[bytes, bytes]

Take = Callable[[bytes], bool]
"""Is handed a piece of a body, never b""; False says: no more for now."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one transport. Seconds and counts."""

    connections: int | None = None
    """Most connections at once; a request above it waits for a free one. None: no bound."""
    keepalive: float = 60.0
    """An idle connection older than this is closed, not used."""
    idle_connections: int = 256
    """Most idle connections kept."""
    connect_timeout: float = 5.0


class Response(Protocol):
    """An answer whose head has arrived and whose body is being read."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names; of a repeated header the last value."""
        ...

    async def read(self) -> bytes:
        """The next piece of the body as it arrives; b"" once it has ended whole.

        Raises Broken (cut, reset, short body), BadAnswer (not HTTP), or what `abort` was given.
        """
        ...

    async def pump(self, take: Take) -> bool:
        """Have `take` called with each further piece right where it arrives; what lies unread comes first.

        False once `take` said so: what arrives from then on is kept, as it is for `read`. True at the body's end.
        Raises what `read` does, and what `take` raised, which ends the answer like a fault of the connection.
        `take` may close or abort the answer; once the pump is cancelled it is not called again.
        """
        ...

    def close(self) -> None:
        """Done with it: the connection is kept if the body was read to its end, else closed. Idempotent."""
        ...

    def abort(self, error: Exception) -> None:
        """Close the connection now; a `read` under way, or the next one, raises `error`. Idempotent."""
        ...


async def pump(response: Response, take: Take) -> bool:
    """`Response.pump` of an engine that has nothing better than to read on and on."""
    while piece := await response.read():
        try:
            if not take(piece):
                return False
        except Exception as error:
            response.abort(error)
            raise
    return True


class Transport(Protocol):
    """Connections to one origin. Safe to cancel at every await: it closes the request's connection."""

    async def open(self, path: bytes, headers: Sequence[Header], body: bytes) -> Response:
        """POST `body` to `path` (below the base URL's own path) and wait for the answer's head.

        `headers` come without host, content-length and connection; those are the transport's.
        Raises Unreachable or ConnectTimeout (nothing was received), Broken, BadAnswer.
        """
        ...

    @property
    def open_connections(self) -> int:
        """Connections open now, idle ones included."""
        ...

    async def aclose(self) -> None:
        """Close every connection and wait until they are gone."""
        ...
