"""A proxy's side of connecting: asks it, on a connected socket, for a tunnel to the origin."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

_HEAD_BYTES = 8 * 1024
_REFUSALS = {
    1: "the proxy failed",
    2: "the proxy does not allow it",
    3: "network is unreachable",
    4: "host is unreachable",
    5: "connection refused",
    6: "the way is too long",
    7: "the proxy does not know how to connect",
    8: "the proxy does not know this kind of address",
}


class ProxyRefused(OSError):
    """The proxy was reached, but made no tunnel. The message is ours: it quotes nothing the proxy said."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A SOCKS5 proxy (RFC 1928), or an HTTP one that is asked to CONNECT. It, not we, resolves the origin's name."""

    host: str
    port: int
    socks: bool

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Raises ValueError for what is not socks5://host:port, socks5h:// or http://; it does not repeat it."""
        parts = urlsplit(url)
        if parts.scheme not in ("socks5", "socks5h", "http") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("proxy: only socks5://host:port and http://host:port, without a user, are supported")
        socks = parts.scheme != "http"
        return cls(parts.hostname, parts.port or (1080 if socks else 80), socks)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def tunnel(self, sock: socket.socket, host: str, port: int) -> None:
        """From here on what is written to `sock`, which is non-blocking, goes to host:port. Raises OSError."""
        await (_socks5 if self.socks else _connect)(sock, host, port)


async def _socks5(sock: socket.socket, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"\x05\x01\x00")  # one way to log in is offered: none
    version, method = await _exactly(sock, 2)
    if version != 5:
        raise ProxyRefused("the proxy does not speak SOCKS5")
    if method != 0:
        raise ProxyRefused("the proxy asks for a user and password, which are not supported")
    await loop.sock_sendall(sock, b"\x05\x01\x00" + _address(host) + port.to_bytes(2))
    version, reply, _, kind = await _exactly(sock, 4)
    if version != 5:
        raise ProxyRefused("the proxy does not speak SOCKS5")
    if reply != 0:
        raise ProxyRefused(_REFUSALS.get(reply, "the proxy refused"))
    await _exactly(sock, await _bound_length(sock, kind) + 2)


async def _bound_length(sock: socket.socket, kind: int) -> int:
    """Of the address the proxy connected from; nobody needs it, but it stands before the origin's bytes."""
    if kind == 3:
        return (await _exactly(sock, 1))[0]
    if kind not in (1, 4):
        raise ProxyRefused("the proxy does not speak SOCKS5")
    return 4 if kind == 1 else 16


def _address(host: str) -> bytes:
    try:
        address = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        if len(name) > 255:
            raise ProxyRefused("the name is too long for a proxy") from None
        return bytes([3, len(name)]) + name
    return bytes([1 if address.version == 4 else 4]) + address.packed


async def _connect(sock: socket.socket, host: str, port: int) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("ascii"))
    head = b""
    while b"\r\n\r\n" not in head:
        # nothing follows the head before we have begun TLS, so reading on takes nothing of the origin's
        piece = await loop.sock_recv(sock, 1024)
        if not piece or len(head) > _HEAD_BYTES:
            raise ProxyRefused("the proxy did not answer in proper HTTP")
        head += piece
    words = head.split(b"\r\n", 1)[0].split(b" ")
    status = words[1] if len(words) > 1 and words[0].startswith(b"HTTP/1.") else b""
    if len(status) != 3 or not status.isdigit() or not head.endswith(b"\r\n\r\n"):
        raise ProxyRefused("the proxy did not answer in proper HTTP")
    if not status.startswith(b"2"):
        raise ProxyRefused(f"the proxy answered {status.decode('ascii')}")


async def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await asyncio.get_running_loop().sock_recv(sock, count - len(data))
        if not piece:
            raise ProxyRefused("the proxy closed the connection")
        data += piece
    return data
