"""What lean does on the wire where the engines differ, and the bounds of what it takes from a peer."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

import pytest

from providers.errors import BadAnswer, Broken, Unreachable
from providers.transport.base import MAX_HEAD_BYTES, Limits
from providers.transport.connection import HIGH_WATER, SLICE, Connection
from providers.transport.dial import _adopt
from providers.transport.lean import LeanTransport
from tests.providers.transport.conftest import Make
from tests.providers.transport.raw import Peer, RawServer, ok, says, serve, until
from tests.providers.transport.test_engines import CHUNKED, ask, begun, fetch

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        OK + b"Content-Length: 3, 4\r\n\r\nabcd",
        OK + b"Content-Length: -3\r\n\r\nabc",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"tRANSFER-eNCODING: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        OK + b"A: b\0c\r\nContent-Length: 0\r\n\r\n",
        OK + b"A: b\rc\r\nContent-Length: 0\r\n\r\n",
        OK + b"A: b\nContent-Length: 0\r\n\r\n",
        OK + b"A : b\r\nContent-Length: 0\r\n\r\n",
        OK + b": b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1000 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"hello\r\n\r\n",
        OK + b"a: b\r\n" * 201 + b"\r\n",
        OK + b"a: " + b"b" * MAX_HEAD_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
        OK + b"".join(b"a%d: %b\r\n" % (n, b"b" * 1000) for n in range(70)) + b"\r\n",
    ],
)
async def test_an_answer_that_can_be_read_in_two_ways_or_is_too_big_is_refused_with_its_connection(
    lean: Make, answer: bytes
) -> None:
    async with RawServer(says(answer), serve) as server:
        transport = lean(server.url, Limits(connections=1))
        with pytest.raises(BadAnswer, match=rf"^127\.0\.0\.1:{server.port} did not answer in proper HTTP: "):
            await fetch(transport)
        assert await fetch(transport) == b"ok"
        await until(lambda: server.open_connections == 1)


async def test_trailers_are_not_among_the_headers_of_this_answer_or_the_next(lean: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"2\r\nok\r\n0\r\nRetry-After: 9\r\n\r\n")
        await serve(peer)

    async with RawServer(script) as server:
        transport = lean(server.url)
        for _ in range(2):
            response = await ask(transport)
            assert await response.read() == b"ok"
            assert await response.read() == b""
            assert "retry-after" not in response.headers
            response.close()
        assert server.accepted == 1


def endless(start: bytes, piece: bytes) -> Callable[[Peer], Awaitable[None]]:
    """A script that sends `piece` for ever, as long as anyone listens."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(piece)
            await asyncio.sleep(0)

    return script


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (OK, b"a: b\r\n"),
        (OK, b"a" * 1000),
        (OK + b"a: ", b"b" * 1000),
        (b"HTTP/1.1 200 ", b"reason " * 100),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"0\r\n", b"t: u\r\n"),
        (CHUNKED + b"0\r\nt: ", b"u" * 1000),
        (CHUNKED + b"3;", b"x" * 1000),
    ],
    ids=["fields", "name", "value", "reason", "hints", "continue", "trailers", "trailer", "extension"],
)
async def test_an_endless_head_or_tail_is_refused_within_bounded_memory(lean: Make, start: bytes, piece: bytes) -> None:
    async with RawServer(endless(start, piece), serve) as server:
        transport = lean(server.url)
        with pytest.raises(BadAnswer):
            await fetch(transport)
        await until(lambda: server.open_connections == 0)
        assert await fetch(transport) == b"ok"


async def test_many_small_chunks_with_their_sizes_sent_apart_are_no_overhead_to_refuse(lean: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(600):
            for piece in (b"3;" + b"x" * 200 + b"\r\n", b"abc\r\n"):
                await peer.send(piece)
                for _ in range(4):  # so that each arrives alone
                    await asyncio.sleep(0)
        await peer.send(b"0\r\n\r\n")

    async with RawServer(script) as server:
        assert await fetch(lean(server.url)) == b"abc" * 600


async def test_a_head_just_within_the_bounds_is_accepted(lean: Make) -> None:
    fields = b"".join(b"a%d: %b\r\n" % (n, b"b" * 300) for n in range(199))
    async with RawServer(says(OK + fields + b"Content-Length: 2\r\n\r\nok")) as server:
        response = await ask(lean(server.url))
        assert len(response.headers) == 200
        assert await response.read() == b"ok"
        response.close()


@pytest.mark.parametrize(
    ("start", "kind", "said"),
    [
        (b"", Unreachable, "did not answer: the connection was closed by the peer"),
        (b"HTTP/1.1 2", Broken, "broke off within the head of its answer"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", Broken, "broke off within the head of its answer"),
        (OK + b"Content-Length: 5\r\n\r\nabc", Broken, "broke off within the body of its answer"),
    ],
)
async def test_the_error_says_how_far_the_answer_came(
    lean: Make, start: bytes, kind: type[Exception], said: str
) -> None:
    async with RawServer(says(start)) as server:
        with pytest.raises(kind, match=re.escape(f"127.0.0.1:{server.port} {said}")):
            await fetch(lean(server.url))


async def test_a_stream_that_ends_by_reset_is_not_taken_for_one_that_ends_by_close(lean: Make) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\nabc")
        await read.wait()
        peer.reset()

    async with RawServer(script) as server:
        response = await ask(lean(server.url))
        assert await response.read() == b"abc"
        read.set()
        with pytest.raises(Broken, match="connection reset by peer"):
            await response.read()


async def test_an_answer_whole_but_unread_when_more_comes_is_still_read_whole(lean: Make) -> None:
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ok(b"mine"))
        await more.wait()
        await peer.send(ok(b"poison"))

    async with RawServer(script, serve) as server:
        transport = lean(server.url)
        response = await ask(transport)
        more.set()
        await until(lambda: server.open_connections == 0)
        assert (await response.read(), await response.read()) == (b"mine", b"")
        response.close()
        assert await fetch(transport) == b"ok"


async def test_nothing_is_written_after_the_peer_refused_a_large_body(lean: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.gone()

    async with RawServer(script) as server:
        response = await ask(lean(server.url), b"x" * 20_000_000)
        assert await response.read() == b"no"
        response.close()
        await until(lambda: server.open_connections == 0)


async def test_an_answer_begun_while_we_still_write_is_read_while_the_body_goes_on(lean: Make) -> None:
    body = b"x" * 20_000_000

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED + b"5\r\nfirst\r\n")
        await go_on.wait()
        assert await peer.reader.readexactly(len(body)) == body
        await peer.send(b"4\r\nlast\r\n0\r\n\r\n")
        await serve(peer)

    go_on = asyncio.Event()
    async with RawServer(script) as server:
        transport = lean(server.url)
        response = await ask(transport, body)
        assert await response.read() == b"first"
        go_on.set()
        assert await response.read() == b"last"
        response.close()
        assert await fetch(transport) == b"ok"
        assert server.accepted == 1


async def test_a_peer_that_does_not_read_our_body_bounds_what_is_buffered(lean: Make) -> None:
    stuck = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await stuck.wait()

    async with RawServer(script) as server:
        transport = lean(server.url)
        assert isinstance(transport, LeanTransport)
        request = begun(ask(transport, b"x" * 20_000_000))
        await until(lambda: server.requests)
        await asyncio.sleep(0.05)
        (connection,) = transport._open
        assert connection._transport.get_write_buffer_size() <= 3 * SLICE
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        stuck.set()
        await until(lambda: server.open_connections == 0)


async def test_a_reader_that_does_not_read_bounds_what_is_buffered(lean: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 40000000\r\n\r\n")
        for _ in range(400):
            await peer.send(b"x" * 100_000)

    async with RawServer(script) as server:
        transport = lean(server.url)
        assert isinstance(transport, LeanTransport)
        response = await ask(transport)
        (connection,) = transport._open
        await until(lambda: connection._reading_paused)
        await asyncio.sleep(0.05)
        assert HIGH_WATER < connection._pending_bytes <= 3 * HIGH_WATER
        total = 0
        while piece := await response.read():
            total += len(piece)
            assert len(piece) <= 3 * HIGH_WATER
        assert total == 40_000_000
        response.close()


# The pool


async def busy(transport: LeanTransport, count: int) -> None:
    """Have `count` connections open and idle."""
    responses = [await ask(transport) for _ in range(count)]
    for response in responses:
        await response.read()
        response.close()


async def test_the_connection_used_last_is_used_next(lean: Make) -> None:
    served: list[int] = []

    async def script(peer: Peer) -> None:
        number = peer.server.accepted
        while True:
            await peer.answer()
            served.append(number)

    async with RawServer(script) as server:
        transport = lean(server.url)
        assert isinstance(transport, LeanTransport)
        await busy(transport, 3)
        served.clear()
        for _ in range(4):
            await fetch(transport)
        assert served == [3, 3, 3, 3]


async def test_an_idle_connection_is_closed_when_its_time_is_over_without_a_request(lean: Make) -> None:
    async with RawServer(serve) as server:
        transport = lean(server.url, Limits(keepalive=0.05))
        assert isinstance(transport, LeanTransport)
        await busy(transport, 3)
        assert server.open_connections == 3
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)
        assert await fetch(transport) == b"ok"


async def test_each_idle_connection_is_closed_at_its_own_time(lean: Make) -> None:
    async with RawServer(serve) as server:
        transport = lean(server.url, Limits(keepalive=0.05))
        assert isinstance(transport, LeanTransport)
        await busy(transport, 2)
        assert transport._idle is not None
        transport._idle._idle[1].idle_since += 0.1
        await until(lambda: transport.open_connections == 1)
        await until(lambda: transport.open_connections == 0)


async def test_an_idle_connection_too_old_is_not_used(lean: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RawServer(serve) as server:
        transport = lean(server.url, Limits(keepalive=1000))
        assert isinstance(transport, LeanTransport)
        await busy(transport, 2)
        assert transport._idle is not None
        for connection in transport._idle._idle:
            connection.idle_since -= 1000
        assert await fetch(transport) == b"ok"
        assert server.accepted == 3
        await until(lambda: server.open_connections == 1)


async def test_no_more_idle_connections_are_kept_than_the_limit(lean: Make) -> None:
    async with RawServer(serve) as server:
        transport = lean(server.url, Limits(idle_connections=2))
        assert isinstance(transport, LeanTransport)
        await busy(transport, 5)
        await until(lambda: transport.open_connections == 2 and server.open_connections == 2)


async def test_no_more_connections_are_open_than_the_limit(lean: Make) -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        while True:
            await peer.request()
            most = max(most, transport.open_connections)
            await asyncio.sleep(0.002)
            await peer.send(ok(b"ok", b"Connection: close") if peer.server.accepted % 3 == 0 else ok())
            most = max(most, transport.open_connections)

    async with RawServer(script) as server:
        transport = lean(server.url, Limits(connections=4))
        assert await asyncio.gather(*[fetch(transport) for _ in range(60)]) == [b"ok"] * 60
        assert most == 4


async def test_a_failed_connect_gives_its_slot_back(lean: Make) -> None:
    transport = lean("http://127.0.0.1:9", Limits(connections=1))
    for _ in range(3):
        with pytest.raises(Unreachable):
            await ask(transport)
    assert transport.open_connections == 0


async def test_asking_on_a_connection_that_is_gone_fails_at_once() -> None:
    connection = Connection(asyncio.get_running_loop(), "peer:1", lambda _: None)
    with pytest.raises(Unreachable):
        await connection.ask(b"", b"")


class Wire(asyncio.Transport):
    """A transport that only notes whether it was aborted."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_a_connection_lost_before_its_connect_returned_is_not_counted_as_open(
    lean: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dial(connection: Connection, *_: object) -> None:
        connection.connection_made(Wire())
        connection.connection_lost(None)

    monkeypatch.setattr("providers.transport.lean.dial", dial)
    transport = lean("http://provider.test")
    with pytest.raises(Unreachable):
        await ask(transport)
    assert transport.open_connections == 0


async def test_cancelled_in_the_moment_in_which_it_is_connected_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = Wire()

    async def create_connection(factory: Callable[[], Connection], **_: object) -> None:
        factory().connection_made(wire)
        raise asyncio.CancelledError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "create_connection", create_connection)
    connection = Connection(loop, "peer:1", lambda _: None)
    with socket.socket() as sock:
        with pytest.raises(asyncio.CancelledError):
            await _adopt(connection, sock, None, "peer")
        assert sock.fileno() == -1
    assert wire.aborted


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "host:80",
        "https://",
        "https://user:secret@host/",
        "https://host/?key=secret",
        "http://h/#f",
        "http://host/a b",
        "http://host:port/",
    ],
)
def test_a_base_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        LeanTransport(url, Limits())
    assert "secret" not in str(caught.value)
