"""Where a transport's requests go, and what may stand in the head of one."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from providers.transport.base import Header

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"/[!-~]*")
_OURS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})
_VALUE_BYTES = bytes([9, *range(32, 127), *range(128, 256)])


@dataclass(frozen=True, slots=True)
class Origin:
    """The scheme, host and port of a base URL, and the path below which requests go."""

    host: str
    """ASCII; an IPv6 address without its brackets."""
    port: int
    secure: bool
    path: bytes
    """Without a slash at its end; may be empty."""

    @classmethod
    def parse(cls, base_url: str) -> Origin:
        """Raises ValueError where the URL is not a plain http(s) one; the message does not repeat it."""
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("a base URL looks like https://host/path")
        if "@" in url.netloc or url.query or url.fragment:
            raise ValueError("a base URL has no user, password, query or fragment")
        path = url.path.rstrip("/").encode("ascii")
        if path and not _TARGET.fullmatch(path):
            raise ValueError("the path of a base URL is printable ASCII")
        host = url.hostname if ":" in url.hostname else url.hostname.encode("idna").decode("ascii")
        secure = url.scheme == "https"
        return cls(host, url.port or (443 if secure else 80), secure, path)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class RequestHead:
    """Writes the heads of requests to one origin."""

    __slots__ = ("_after_length", "_after_path", "_before_length", "_before_path", "_headers", "_path")

    def __init__(self, origin: Origin) -> None:
        self._before_path = b"POST " + origin.path
        self._after_path = b" HTTP/1.1\r\nhost: %b\r\ncontent-length: " % origin.authority.encode("ascii")
        self._path: bytes | None = None
        self._headers: Sequence[Header] = ()

    def post(self, path: bytes, headers: Sequence[Header], length: int) -> bytes:
        """The head of a POST with a body of `length` bytes. Raises ValueError as `check` does.

        For the very tuple it was given last, all is checked and written already.
        """
        if headers is not self._headers or path is not self._path:
            check(path, headers)
            lines = [name + b": " + value for name, value in headers]
            self._before_length = self._before_path + path + self._after_path
            self._after_length = b"\r\n".join([b"", *lines, b"\r\n"])
            self._headers, self._path = headers, path if isinstance(headers, tuple) else None
        return b"%b%d%b" % (self._before_length, length, self._after_length)


def check(path: bytes, headers: Sequence[Header]) -> None:
    """Raises ValueError for what could smuggle a header or a request, and for the transport's own headers."""
    _check_path(path)
    for name, _ in headers:
        _check_name(name)
    if b"".join([value for _, value in headers]).translate(None, _VALUE_BYTES):
        name = next(name for name, value in headers if value.translate(None, _VALUE_BYTES))
        raise ValueError(f"the header {name.decode()} has a line break or a control character in its value")


@lru_cache(1024)
def _check_path(path: bytes) -> None:
    if not _TARGET.fullmatch(path):
        raise ValueError(f"a request's path is / and printable ASCII, not {path[:80]!r}")


@lru_cache(1024)
def _check_name(name: bytes) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"not a header's name: {name[:80]!r}")
    if name.lower() in _OURS:
        raise ValueError(f"the header {name.decode().lower()} is set by the transport alone")


def reason_of(error: BaseException | None) -> str:
    """Why a connection failed, in the system's words; never what the peer sent."""
    if error is None:
        return "closed by the peer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {getattr(error, 'verify_message', 'unknown').rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(getattr(error, 'reason', None) or 'protocol error').replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.strerror:
        # asyncio and aiohttp put addresses into strerror; of getaddrinfo's errors only it has the words
        if error.errno and not isinstance(error, socket.gaierror):
            return os.strerror(error.errno).lower()
        return error.strerror.lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
