"""Sockets that several processes listen on as one port."""

from __future__ import annotations

import socket
import sys

BACKLOG = 2048


def bind(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """Bound sockets for `count` processes, as many each as `host` has addresses. Raises OSError.

    Each process has its own queue of connections, which the kernel fills evenly; where it cannot do that, they
    share one. They stay open in whoever called, so the queue of a process that died waits for its successor.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places: list[list[socket.socket]] = [[] for _ in range(count)]
    for family, kind, protocol, _, address in dict.fromkeys(infos):
        # Alone first: beside another program that shares the port we would get half of its connections.
        first = _bound(family, kind, protocol, (address[0], port, *address[2:]), shared=False)
        port = first.getsockname()[1]
        if not sys.platform.startswith("linux"):
            for place in places:
                place.append(first)
            continue
        first.close()
        for place in places:
            place.append(_bound(family, kind, protocol, (address[0], port, *address[2:]), shared=True))
    return places


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        # Before there is anyone to accept: connections wait in the queue from now on.
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
