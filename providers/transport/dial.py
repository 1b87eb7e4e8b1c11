"""Connects: resolves a name, races its addresses (happy eyeballs, RFC 8305), has a proxy tunnel, makes TLS."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from providers.errors import ConnectTimeout, Unreachable
from providers.transport.origin import Origin, reason_of
from providers.transport.proxy import Proxy, ProxyRefused

ATTEMPT_DELAY = 0.25
"""Seconds an address is given before the next is tried beside it."""

_PENDING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class Dialled(asyncio.Protocol):
    """What is to be connected."""

    __slots__ = ()

    def abort(self, error: Exception | None = None) -> None:
        """Close at once, connected or not."""


class Address(NamedTuple):
    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


@lru_cache(1)
def default_context() -> ssl.SSLContext:
    """The system's trust store (or SSL_CERT_FILE), names verified, HTTP/1.1 offered."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def dial(
    connection: Dialled,
    origin: Origin,
    context: ssl.SSLContext | None,
    timeout: float,  # seconds
    proxy: Proxy | None = None,
) -> None:
    """Connect `connection` to `origin` within `timeout`; name resolution, a proxy's answer and TLS are included.

    Raises Unreachable, ConnectTimeout. However it ends, no socket is left behind.
    """
    where = f"{origin} through the proxy {proxy}" if proxy else str(origin)
    try:
        async with asyncio.timeout(timeout):
            sock = await _reach(origin, proxy)
            await _adopt(connection, sock, context, origin.host)
    except TimeoutError as error:
        raise ConnectTimeout(f"could not connect to {where} within {timeout:g} s") from error
    except OSError as error:
        reason = str(error) if isinstance(error, ProxyRefused) else reason_of(error)
        raise Unreachable(f"could not connect to {where}: {reason}") from error


async def _reach(origin: Origin, proxy: Proxy | None) -> socket.socket:
    first = proxy or origin
    sock = await _Race(await resolve(first.host, first.port)).winner()
    if proxy is not None:
        try:
            await proxy.tunnel(sock, origin.host, origin.port)
        except BaseException:
            sock.close()
            raise
    return sock


async def _adopt(connection: Dialled, sock: socket.socket, context: ssl.SSLContext | None, host: str) -> None:
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: connection, sock=sock, ssl=context, server_hostname=host if context else None
        )
    except BaseException:
        connection.abort()
        sock.close()
        raise


async def resolve(host: str, port: int) -> list[Address]:
    """Addresses in the order to be tried, families taking turns. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(_taking_turns([Address(family, sockaddr) for family, _, _, _, sockaddr in found]))


def _taking_turns(addresses: list[Address]) -> Iterator[Address]:
    first = [address for address in addresses if address.family == addresses[0].family]
    others = [address for address in addresses if address.family != addresses[0].family]
    for pair in zip_longest(first, others):
        yield from filter(None, pair)


class _Race:
    """Non-blocking connects on the loop's own callbacks: no task is started, so none can be left behind.

    (The stdlib's happy eyeballs would do, but uvloop has none.)
    """

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._loop = asyncio.get_running_loop()
        self._untried = list(addresses)
        self._trying: list[socket.socket] = []
        self._won: asyncio.Future[socket.socket | None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._error: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")

    async def winner(self) -> socket.socket:
        """The socket that connected first. Raises the OSError of the last that failed."""
        winner = None
        self._try_next()
        try:
            winner = await self._won
        finally:
            self._stop(winner)
        if winner is None:
            raise self._error
        return winner

    def _stop(self, winner: socket.socket | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._trying:
            self._loop.remove_writer(sock)
            if sock is not winner:
                sock.close()

    def _try_next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._untried:
            if self._try(self._untried.pop(0)):
                self._timer = self._loop.call_later(ATTEMPT_DELAY, self._try_next)
                return
        if not self._trying and not self._won.done():
            self._won.set_result(None)

    def _try(self, address: Address) -> bool:
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:  # a family the system does not have
            self._error = error
            return False
        sock.setblocking(False)
        code = sock.connect_ex(address.sockaddr)
        if code not in _PENDING:
            self._lose(sock, code)
            return False
        self._trying.append(sock)
        self._loop.add_writer(sock, self._decide, sock)
        return True

    def _decide(self, sock: socket.socket) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            if not self._won.done():
                self._won.set_result(sock)
            return
        self._loop.remove_writer(sock)
        self._trying.remove(sock)
        self._lose(sock, code)
        self._try_next()

    def _lose(self, sock: socket.socket, code: int) -> None:
        sock.close()
        self._error = OSError(code, os.strerror(code))
