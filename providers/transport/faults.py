"""What httpx and aiohttp raise, as our errors: one table, looked up by the nearest class."""

from __future__ import annotations

import ssl

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from providers.errors import BadAnswer, Broken, ConnectTimeout, ProviderError, TimedOut, Unreachable
from providers.transport.origin import reason_of

FOREIGN = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpx.CookieConflict,
    aiohttp.ClientError,
    HttpProcessingError,
    OSError,
)
"""Every base class of what either library lets out; each class below it has its row by inheritance."""

_TABLE: dict[type[BaseException], type[ProviderError]] = {
    httpx.HTTPError: Broken,
    httpx.TimeoutException: TimedOut,
    httpx.ConnectTimeout: ConnectTimeout,
    httpx.PoolTimeout: Unreachable,
    httpx.ConnectError: Unreachable,
    httpx.ProxyError: Unreachable,
    httpx.UnsupportedProtocol: Unreachable,
    httpx.HTTPStatusError: BadAnswer,
    httpx.DecodingError: BadAnswer,
    httpx.TooManyRedirects: BadAnswer,
    httpx.InvalidURL: Unreachable,
    httpx.StreamError: Broken,
    httpx.CookieConflict: BadAnswer,
    aiohttp.ClientError: Broken,
    aiohttp.ClientConnectionError: Unreachable,
    aiohttp.ServerTimeoutError: TimedOut,
    aiohttp.ConnectionTimeoutError: ConnectTimeout,
    aiohttp.ClientHttpProxyError: Unreachable,
    aiohttp.ClientResponseError: BadAnswer,
    aiohttp.InvalidURL: Unreachable,
    HttpProcessingError: BadAnswer,
    OSError: Unreachable,
    TimeoutError: TimedOut,
}


def nearest(kind: type[BaseException]) -> type[ProviderError]:
    """The row of `kind`, or of the nearest class it is derived from."""
    return next(_TABLE[cls] for cls in kind.__mro__ if cls in _TABLE)


def translated(error: BaseException, peer: str, *, answering: bool) -> ProviderError:
    """Our error for a foreign one. `answering`: the head had come, so the peer cannot be unreachable.

    The message is ours: theirs quote the answer's bytes, the URL, and a proxy's password.
    """
    origin = _original(error)
    kind = nearest(type(origin))
    if answering and issubclass(kind, (Unreachable, TimedOut)):
        kind = Broken
    return kind(f"{_said(kind, peer)}: {_reason(origin)}")


def _original(error: BaseException) -> BaseException:
    """httpx-aiohttp calls most of aiohttp's errors a ConnectTimeout; the cause says what they were."""
    cause = error.__cause__
    return cause if isinstance(cause, aiohttp.ClientError) else error


def _said(kind: type[ProviderError], peer: str) -> str:
    if issubclass(kind, Unreachable):
        return f"could not connect to {peer}"
    if issubclass(kind, BadAnswer):
        return f"{peer} did not answer in proper HTTP"
    if issubclass(kind, TimedOut):
        return f"{peer} was silent for too long"
    return f"{peer} broke off its answer"


def _reason(error: BaseException) -> str:
    """The system's own words where the system failed, else the name of the error."""
    innermost: BaseException = error
    while (cause := innermost.__cause__) is not None:
        innermost = cause
    known = isinstance(innermost, ssl.SSLError) or (isinstance(innermost, OSError) and innermost.strerror)
    return reason_of(innermost if known else error)
