"""What the engines promise: see `providers/transport/base.py`."""

from __future__ import annotations

import asyncio
import gc
import random
import re
import socket
from collections.abc import Coroutine
from typing import Any

import pytest

from providers.errors import BadAnswer, Broken, ConnectTimeout, ProviderError, Unreachable
from providers.transport.base import Header, Limits, Response, Transport
from providers.transport.httpx import HttpxTransport
from tests.providers.transport.conftest import Make
from tests.providers.transport.raw import Peer, RawServer, Script, ok, says, serve, until

HEADERS: list[Header] = [(b"accept-encoding", b"identity"), (b"content-type", b"application/json")]


def begun(coro: Coroutine[object, object, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coro)


async def ask(transport: Transport, body: bytes = b"{}") -> Response:
    return await transport.open(b"/chat/completions", HEADERS, body)


async def whole(response: Response) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


async def fetch(transport: Transport, body: bytes = b"{}") -> bytes:
    response = await ask(transport, body)
    try:
        return await whole(response)
    finally:
        response.close()


async def test_sends_the_callers_headers_and_body_and_its_own_framing(engine: Make) -> None:
    bodies = []

    async def script(peer: Peer) -> None:
        bodies.append(await peer.request())
        await peer.send(ok(b"hello", b"X-One: a", b"X-One: b", b"X-Empty:"))

    async with RawServer(script) as server:
        response = await ask(engine(server.url), b'{"model":"m"}')
        assert (response.status, await whole(response)) == (200, b"hello")
        assert response.headers["x-one"] == "b"
        assert response.headers["x-empty"] == ""
        response.close()
        lines = server.requests[0].lower().split(b"\r\n")
    assert lines[0] == b"post /v1/chat/completions http/1.1"
    assert sorted(line for line in lines[1:] if line) == [
        b"accept-encoding: identity",
        b"content-length: 13",
        b"content-type: application/json",
        b"host: 127.0.0.1:%d" % server.port,
    ]
    assert bodies == [b'{"model":"m"}']


async def test_adds_no_header_of_its_own_where_the_caller_gave_none(engine: Make) -> None:
    async with RawServer(serve) as server:
        response = await engine(server.url).open(b"/x", [], b"{}")
        response.close()
        names = {line.split(b":")[0].lower() for line in server.requests[0].split(b"\r\n")[1:] if line}
    assert names == {b"host", b"content-length"}


async def test_one_connection_serves_one_request_after_another(engine: Make) -> None:
    async with RawServer(serve) as server:
        transport = engine(server.url)
        assert [await fetch(transport) for _ in range(5)] == [b"ok"] * 5
        assert (server.accepted, transport.open_connections) == (1, 1)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([ok(b"abc")], b"abc"),
        ([ok(b"")], b""),
        ([CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"], b"abcde"),
        ([CHUNKED, b"3\r", b"\nab", b"c\r\n", b"0\r\n", b"\r\n"], b"abc"),
        ([CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"], b"abc"),
        ([b"HTTP/1.1 200 OK\r\n\r\nabc", b"def"], b"abcdef"),
        ([b"HTTP/1.0 200 OK\r\n\r\nabc"], b"abc"),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"], b"abc"),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"abc")], b"abc"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", ok(b"abc")], b"abc"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"], b""),
        ([b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"], b"ok"),
        ([bytes([byte]) for byte in ok(b"byte by byte")], b"byte by byte"),
        ([ok(b"\x1f\x8b\x08not really gzip", b"Content-Encoding: gzip")], b"\x1f\x8b\x08not really gzip"),
    ],
)
async def test_reads_every_way_to_frame_a_body(engine: Make, pieces: list[bytes], body: bytes) -> None:
    async with RawServer(says(*pieces)) as server:
        assert await fetch(engine(server.url)) == body


async def test_the_fields_of_an_interim_answer_are_not_the_answers(engine: Make) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 99\r\n\r\n"
    async with RawServer(says(hints + ok(b"abc"))) as server:
        response = await ask(engine(server.url))
        assert (response.status, "retry-after" in response.headers) == (200, False)
        response.close()


async def test_pieces_are_handed_out_as_they_arrive(engine: Make) -> None:
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nfirst\r\n")
        await more.wait()
        await peer.send(b"6\r\nsecond\r\n0\r\n\r\n")

    async with RawServer(script) as server:
        response = await ask(engine(server.url))
        assert await response.read() == b"first"
        more.set()
        assert await whole(response) == b"second"
        assert await response.read() == b""
        response.close()


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 429, 500, 503])
async def test_every_status_is_an_answer_and_no_redirect_is_followed(engine: Make, status: int) -> None:
    answer = b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno" % status
    async with RawServer(says(answer)) as server:
        response = await ask(engine(server.url))
        assert (response.status, await whole(response)) == (status, b"no")
        response.close()
        assert len(server.requests) == 1


async def test_cookies_of_one_answer_do_not_go_with_the_next_request(engine: Make) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(b"ok", b"Set-Cookie: who=me; Path=/")

    async with RawServer(script) as server:
        transport = engine(f"http://localhost:{server.port}")  # a jar keeps none for a bare address
        await fetch(transport)
        await fetch(transport)
        assert b"cookie" not in server.requests[1].lower()


async def test_the_environments_proxy_is_not_used(engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with RawServer(serve) as server:
        assert await fetch(engine(server.url)) == b"ok"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-title", b"a\r\nx-evil: 1"),
        (b"x-title", b"a\nx-evil: 1"),
        (b"x-title", b"a\rb"),
        (b"x-title", b"a\0b"),
        (b"x-title\r\nx-evil", b"1"),
        (b"x title", b"1"),
        (b"", b"1"),
        (b"Content-Length", b"0"),
        (b"transfer-encoding", b"chunked"),
        (b"host", b"elsewhere"),
    ],
)
async def test_headers_that_could_smuggle_are_refused_before_anything_is_sent(engine: Make, header: Header) -> None:
    async with RawServer(serve) as server:
        transport = engine(server.url, Limits(connections=1))
        with pytest.raises(ValueError):
            await transport.open(b"/x", [(b"authorization", b"Bearer canary"), header], b"{}")
        with pytest.raises(ValueError):
            await transport.open(b"/x HTTP/1.1\r\nx-evil: 1", [], b"{}")
        assert await fetch(transport) == b"ok"
        assert (server.accepted, len(server.requests)) == (1, 1)


# Faults

THROUGH = re.compile(r" through the proxy [0-9.]+:[0-9]+")


def refused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_refused_connection_is_unreachable_and_says_where_and_why(engine: Make) -> None:
    port = refused_port()
    with pytest.raises(Unreachable) as caught:
        await ask(engine(f"http://127.0.0.1:{port}/v1"))
    assert THROUGH.sub("", caught.value.message) == f"could not connect to 127.0.0.1:{port}: connection refused"


async def test_a_name_that_does_not_exist_is_unreachable(engine: Make) -> None:
    with pytest.raises(Unreachable, match=r"could not connect to provider\.invalid:80\b.*: "):
        await ask(engine("http://provider.invalid/v1"))


async def test_a_peer_that_never_accepts_is_a_connect_timeout(engine: Make) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        transport = engine(f"http://127.0.0.1:{port}/v1", Limits(connect_timeout=0.1))
        with pytest.raises(ConnectTimeout, match=f"could not connect to 127.0.0.1:{port}"):
            await ask(transport)
        assert transport.open_connections == 0
        for sock in waiting:
            sock.close()


@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        (says(b""), (Unreachable,)),
        (says(b"HTTP/1.1 200 OK\r\nContent-Le"), (Broken, Unreachable, BadAnswer)),
        (says(b"\x15\x03\x01\x00\x02\x02\x46"), (BadAnswer,)),
        (says(b"SSH-2.0-OpenSSH_9.6\r\n"), (BadAnswer,)),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), (BadAnswer,)),
        (says(b"HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 0\r\n\r\n"), (BadAnswer,)),
        (says(b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n"), (BadAnswer,)),
        (says(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n"), (BadAnswer,)),
        (says(b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n"), (BadAnswer,)),
    ],
    ids=["nothing", "half a head", "TLS", "SSH", "two lengths", "space in name", "NUL", "flood", "long"],
)
async def test_an_answer_that_is_none_is_a_clean_error_and_its_connection_gone(
    engine: Make, script: Script, kinds: tuple[type[ProviderError], ...]
) -> None:
    async with RawServer(script, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        with pytest.raises(kinds, match=f"127.0.0.1:{server.port}") as caught:
            await ask(transport)
        assert "OpenSSH" not in caught.value.message
        assert await fetch(transport) == b"ok"
        await until(lambda: server.open_connections == 1)
        assert server.accepted == 2


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"ff\r\nabc",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
    ],
    ids=["short", "between chunks", "within a chunk", "within the end"],
)
async def test_a_body_cut_short_is_broken_after_what_had_come(engine: Make, start: bytes, reset: bool) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        await read.wait()
        if reset:
            peer.reset()
        else:
            await peer.close()

    async with RawServer(script, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        assert await response.read() == b"abc"
        read.set()
        for _ in range(2):
            with pytest.raises(Broken, match=f"127.0.0.1:{server.port}"):
                await response.read()
        response.close()
        assert await fetch(transport) == b"ok"


async def test_malformed_chunks_end_the_answer_and_the_connection(engine: Make) -> None:
    async with RawServer(says(CHUNKED + b"3\r\nabc\r\nzz\r\n"), serve) as server:
        transport = engine(server.url)
        with pytest.raises((Broken, BadAnswer)):
            await fetch(transport)
        assert await fetch(transport) == b"ok"
        assert server.accepted == 2


@pytest.mark.parametrize("rest", [b"x", b"GARBAGE\r\n\r\n", ok(b"poison")])
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
async def test_what_follows_an_answer_never_becomes_the_next_answer(engine: Make, rest: bytes, apart: bool) -> None:
    idle = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ok(b"mine") + (b"" if apart else rest))
        if apart:
            await idle.wait()
            await peer.send(rest)

    async with RawServer(script, serve) as server:
        transport = engine(server.url)
        try:
            assert await fetch(transport) == b"mine"
        except BadAnswer:
            assert isinstance(transport, HttpxTransport)  # aiohttp rejects what came in one packet
        idle.set()
        await asyncio.sleep(0.02)
        assert await fetch(transport) == b"ok"
        await until(lambda: server.open_connections == 1)


async def test_connection_close_is_obeyed(engine: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"ok", b"Connection: close")

    async with RawServer(script) as server:
        transport = engine(server.url)
        assert [await fetch(transport) for _ in range(3)] == [b"ok"] * 3
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)
        assert server.accepted == 3


# Connections the server closed while they were idle


async def test_a_connection_closed_while_idle_is_dropped(engine: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer()
        await peer.close()

    async with RawServer(script) as server:
        transport = engine(server.url)
        for _ in range(3):
            assert await fetch(transport) == b"ok"
            await until(lambda: transport.open_connections == 0)
        assert (server.accepted, len(server.requests)) == (3, 3)


async def closes_on_reuse(peer: Peer) -> None:
    await peer.answer()
    await peer.request()
    await peer.close()


async def resets_on_reuse(peer: Peer) -> None:
    await peer.answer()
    await peer.head()
    peer.reset()


@pytest.mark.parametrize("stale", [closes_on_reuse, resets_on_reuse], ids=["FIN", "RST"])
async def test_a_stale_connection_is_replaced_without_an_error(engine: Make, stale: Script) -> None:
    async with RawServer(stale) as server:
        transport = engine(server.url, Limits(connections=2))
        for count in range(20):
            assert await fetch(transport) == b"ok", count
        assert len(server.requests) == 39


async def test_a_fresh_connection_that_fails_too_is_not_followed_by_another(engine: Make) -> None:
    async with RawServer(closes_on_reuse, says(b"")) as server:
        transport = engine(server.url, Limits(connections=1))
        await fetch(transport)
        with pytest.raises(Unreachable):
            await fetch(transport)
        assert (server.accepted, len(server.requests)) == (2, 3)


async def test_a_first_request_that_fails_is_never_sent_twice(engine: Make) -> None:
    async with RawServer(says(b"")) as server:
        with pytest.raises(Unreachable):
            await fetch(engine(server.url))
        assert len(server.requests) == 1


async def test_nothing_is_sent_again_once_a_byte_of_the_answer_has_come(engine: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer()
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nServer: x\r\n")
        await peer.close()

    async with RawServer(script) as server:
        transport = engine(server.url)
        await fetch(transport)
        with pytest.raises((Broken, Unreachable, BadAnswer)):
            await fetch(transport)
        assert len(server.requests) == 2


# Cancellation, abort, close


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.gone()


async def starts(peer: Peer) -> None:
    await peer.request()
    await peer.send(CHUNKED + b"5\r\nfirst\r\n")
    await peer.gone()


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_while_it_waits_for_the_head(engine: Make) -> None:
    async with RawServer(silent, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        task = begun(ask(transport))
        await until(lambda: server.requests)
        await cancelled(task)
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)
        assert await fetch(transport) == b"ok"


async def test_cancelled_while_it_waits_for_the_body(engine: Make) -> None:
    async with RawServer(starts, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        assert await response.read() == b"first"
        task = begun(response.read())
        await asyncio.sleep(0.01)
        await cancelled(task)
        await until(lambda: server.open_connections == 0 and transport.open_connections == 0)
        assert await fetch(transport) == b"ok"
        response.close()
        assert [await fetch(transport) for _ in range(3)] == [b"ok"] * 3


async def test_closed_in_the_midst_of_a_body(engine: Make) -> None:
    async with RawServer(starts, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        response.close()
        response.close()
        await until(lambda: server.open_connections == 0)
        assert await fetch(transport) == b"ok"
        with pytest.raises(Broken):
            await response.read()


async def test_closed_after_the_whole_body_the_connection_is_kept_even_when_read_was_not_asked_again(
    engine: Make,
) -> None:
    async with RawServer(serve) as server:
        transport = engine(server.url, Limits(connections=1))
        for _ in range(3):
            response = await ask(transport)
            assert await response.read() == b"ok"
            response.close()
        assert server.accepted == 1


async def test_an_answer_closed_twice_does_not_touch_the_next_one_on_its_connection(engine: Make) -> None:
    async with RawServer(serve) as server:
        transport = engine(server.url, Limits(connections=1))
        first = await ask(transport)
        assert await whole(first) == b"ok"
        first.close()
        second = await ask(transport)
        first.close()
        first.abort(RuntimeError("late"))
        assert await whole(second) == b"ok"
        second.close()
        assert server.accepted == 1


async def test_cancelled_while_it_waits_for_a_free_connection(engine: Make) -> None:
    async with RawServer(serve) as server:
        transport = engine(server.url, Limits(connections=1))
        holder = await ask(transport)
        waiters = [begun(fetch(transport)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert len(server.requests) == 1
        await cancelled(waiters[1])
        assert await whole(holder) == b"ok"
        holder.close()
        waiters[0].cancel()  # in the very moment at which the slot was handed to it
        assert await waiters[2] == b"ok"
        await asyncio.wait(waiters)
        assert await fetch(transport) == b"ok"


async def test_those_who_wait_for_a_connection_are_served_in_the_order_they_came(engine: Make) -> None:
    order: list[int] = []

    async def one(transport: Transport, number: int) -> None:
        await fetch(transport)
        order.append(number)

    async with RawServer(serve) as server:
        transport = engine(server.url, Limits(connections=1))
        await asyncio.gather(*[one(transport, number) for number in range(20)])
        assert order == list(range(20))
        assert server.accepted == 1


async def test_abort_wakes_a_reader_with_the_given_error(engine: Make) -> None:
    class Silence(Exception):
        pass

    async with RawServer(starts, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        assert await response.read() == b"first"
        reader = begun(response.read())
        await asyncio.sleep(0.01)
        response.abort(Silence())
        response.abort(RuntimeError("the second is not heard"))
        with pytest.raises(Silence):
            await reader
        with pytest.raises(Silence):
            await response.read()
        response.close()
        await until(lambda: server.open_connections == 0)
        assert await fetch(transport) == b"ok"


async def test_abort_without_a_reader_is_heard_by_the_next_read(engine: Make) -> None:
    async with RawServer(starts) as server:
        response = await ask(engine(server.url))
        response.abort(KeyError("why"))
        with pytest.raises(KeyError):
            await response.read()
        await until(lambda: server.open_connections == 0)


async def test_aclose_ends_idle_and_busy_connections_and_those_who_wait(engine: Make) -> None:
    async with RawServer(starts) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport)
        await response.read()
        reader = begun(response.read())
        waiter = begun(ask(transport))
        await asyncio.sleep(0.01)
        await transport.aclose()
        assert transport.open_connections == 0
        with pytest.raises(Broken):
            await reader
        with pytest.raises(Unreachable):
            await waiter
        with pytest.raises(Unreachable):
            await ask(transport)
        response.close()
        await until(lambda: server.open_connections == 0)
        await transport.aclose()


# Bodies larger than buffers


async def test_an_answer_that_comes_before_the_request_was_wholly_written_is_read(engine: Make) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.gone()

    async with RawServer(script, serve) as server:
        transport = engine(server.url, Limits(connections=1))
        response = await ask(transport, b"x" * 20_000_000)
        assert (response.status, await whole(response)) == (413, b"no")
        response.close()
        assert await fetch(transport) == b"ok"


async def test_a_large_request_body_arrives_whole(engine: Make) -> None:
    body = random.Random(1).randbytes(5_000_000)
    got = []

    async def script(peer: Peer) -> None:
        while True:
            got.append(await peer.request())
            await peer.send(ok())

    async with RawServer(script) as server:
        transport = engine(server.url)
        assert [await fetch(transport, body) for _ in range(2)] == [b"ok"] * 2
        assert got == [body, body]
        assert server.accepted == 1


async def test_a_slow_reader_makes_the_server_wait(engine: Make) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            await peer.send(b"x" * 100_000)
            sent += 1

    async with RawServer(script) as server:
        response = await ask(engine(server.url))
        assert await response.read()
        stalled = -1
        while stalled != sent:
            stalled = sent
            await asyncio.sleep(0.1)
        assert sent < 300  # what the kernel's buffers hold, and ours
        assert len(await whole(response)) > 40_000_000
        assert sent == 500
        response.close()


# The test that decides


async def moody(peer: Peer) -> None:
    """Answers after small random delays, in pieces, at times with FIN, and sometimes hardly at all."""
    rng = random.Random(peer.server.accepted)
    while True:
        await peer.request()
        await asyncio.sleep(rng.random() * 0.002)
        await peer.send(CHUNKED)
        for _ in range(rng.randrange(4)):
            await peer.send(b"5\r\nabcde\r\n")
            await asyncio.sleep(rng.random() * 0.002)
        await peer.send(b"0\r\n\r\n")
        if rng.random() < 0.05:
            await peer.close()


async def test_five_thousand_cancelled_requests_leave_nothing_behind(engine: Make) -> None:
    rng = random.Random(20_260)
    cancelled_in = {"opening": 0, "reading": 0, "read": 0}

    async def one(transport: Transport) -> None:
        """A request that is cancelled soon after it enters a phase drawn by lot, if it is still in it."""
        lot = rng.choice(list(cancelled_in))
        response = None

        def enters(phase: str) -> None:
            now = asyncio.get_running_loop().time()
            clock.reschedule(now + rng.random() * 0.002 if phase == lot else None)

        try:
            async with asyncio.timeout(None) as clock:
                enters("opening")
                response = await ask(transport)
                enters("reading")
                await whole(response)
                enters("read")
                await asyncio.sleep(0.001)
        except TimeoutError:
            cancelled_in[lot] += 1
        except (Broken, Unreachable):
            pass  # the server closes some
        finally:
            if response is not None:
                response.close()

    async def worker(transport: Transport) -> None:
        while sum(cancelled_in.values()) < 5_000:
            await one(transport)

    async with RawServer(moody) as server:
        transport = engine(server.url, Limits(connections=10))
        await asyncio.gather(*[worker(transport) for _ in range(20)])
        assert min(cancelled_in.values()) > 200, cancelled_in
        assert server.accepted > 500  # so many were cancelled while they connected, or after
        async with asyncio.timeout(5):
            served = await asyncio.gather(*[ask(transport) for _ in range(10)])
            assert all([set(await whole(response)) <= set(b"abcde") for response in served])
        for response in served:
            response.close()
        await until(lambda: server.open_connections <= 10 and transport.open_connections <= 10)
        await transport.aclose()
        await until(lambda: server.open_connections == 0)
        gc.collect()
