"""The package's front door: one provider's dialect, transport and headers, ready to be called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from providers.dialects.base import Call, Dialect
from providers.transport.base import Header, Response, Transport

PATH = b"/chat/completions"
TRACE_HEADERS = (b"traceparent", b"tracestate")
"""Client headers every provider gets to see; all others stay here but for those its dialect forwards."""


@dataclass(frozen=True, slots=True)
class Client:
    """One provider. `headers` hold its key: never shown, never logged."""

    slug: str
    dialect: Dialect
    transport: Transport
    headers: tuple[Header, ...] = field(repr=False, default=())
    _forwards: frozenset[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [*TRACE_HEADERS, *[name.encode() for name in self.dialect.forwards()]]
        object.__setattr__(self, "_forwards", frozenset(names))

    async def open(self, call: Call, client_headers: Mapping[bytes, bytes]) -> Response:
        """Send a completion request and wait for the answer's head.

        `client_headers` by lower-case name; only those on the allow-list are sent on.
        Raises InvalidRequest, and what Transport.open raises.
        """
        body = self.dialect.encode(call)
        headers: Sequence[Header] = self.headers
        if not self._forwards.isdisjoint(client_headers):
            headers = [*headers, *[(name, client_headers[name]) for name in self._forwards if name in client_headers]]
        return await self.transport.open(PATH, headers, body)


def standard_headers(key: str | None, extra: Mapping[str, str], version: str) -> tuple[Header, ...]:
    """What every request to a provider carries, beside what its transport adds."""
    headers = [
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"turnout/" + version.encode()),
    ]
    if key is not None:
        headers.append((b"authorization", b"Bearer " + key.encode()))
    headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    return tuple(headers)
