"""The door over real sockets: what it reads, in what order it answers, what it refuses, and whom it gives up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from router.edge import door, heads
from router.edge.asgi import Message, Receive, Scope, Send
from tests.e2e.harness import eventually
from tests.e2e.talk import Talk
from tests.router.edge.conftest import Serve, answer, echo, whole_body


def post(body: bytes, path: bytes = b"/", *fields: bytes) -> bytes:
    head = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def rest(talk: Talk) -> bytes:
    """All that comes until the gateway closes."""
    return await asyncio.wait_for(talk.reader.read(-1), 5.0)


async def test_an_application_is_told_all_of_the_head(serve: Serve) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    served = await serve(app)
    talk = await served.talk()
    await talk.send(b"GET /a%20b/c?d=%20e HTTP/1.1\r\nHost: x\r\nX-One: a\r\nx-one:  B\r\n\r\n")
    assert (await talk.said()).status == 200
    (scope,) = scopes
    del scope["extensions"]
    host, port = talk.writer.get_extra_info("sockname")
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/c",
        "raw_path": b"/a%20b/c",
        "query_string": b"d=%20e",
        "root_path": "",
        "headers": [(b"host", b"x"), (b"x-one", b"a"), (b"x-one", b"B")],
        "client": (host, port),
        "server": ("127.0.0.1", served.port),
    }


@pytest.mark.parametrize("size", [1, 3, 17, 10_000])
@pytest.mark.parametrize(
    "request_",
    [
        post(b"hello there", b"/a"),
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6;a=b\r\nhello \r\n5\r\nthere\r\n0\r\n\r\n",
        b"\r\n\r\n" + post(b"hello there", b"/a", b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"),
        b"POST /a HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\nhello \r\n5\r\nthere\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked", "offers HTTP/2", "offers HTTP/2, chunked"],
)
async def test_requests_are_read_whole_wherever_they_are_cut(serve: Serve, request_: bytes, size: int) -> None:
    served = await serve(echo)
    talk = await served.talk()
    both = request_ + request_
    for at in range(0, len(both), size):
        await talk.send(both[at : at + size])
        await asyncio.sleep(0)
    for _ in range(2):
        said = await talk.said()
        assert (said.status, said.body, said.headers["x-path"]) == (200, b"hello there", "/a")
        assert said.headers["date"] == "today"
    await talk.send(post(b"again"))
    assert (await talk.said()).body == b"again"


async def test_trailers_are_not_the_next_requests_headers(serve: Serve) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        seen.append(scope["headers"])

    talk = await (await serve(app)).talk()
    await talk.send(CHUNKED + b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n" + post(b"b"))
    assert [(await talk.said()).body for _ in range(2)] == [b"a", b"b"]
    await eventually(lambda: len(seen) == 2, "the second was not served")
    assert b"authorization" not in {name for headers in seen for name, _ in headers}


async def test_answers_come_in_the_order_of_the_requests_however_many_wait(serve: Serve) -> None:
    started: list[bytes] = []
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.append(await whole_body(receive))
        await go_on.wait()
        await answer(send, started[-1])

    served = await serve(app)
    talk = await served.talk()
    sending = asyncio.ensure_future(talk.send(b"".join(post(b"%d" % n) for n in range(100_000))))
    await eventually(lambda: served.doors and served.doors[0].reading_paused, "the client is not made to wait")
    await asyncio.sleep(0.02)
    assert started == [b"0"]
    assert len(served.doors[0]._waiting) < 10_000
    go_on.set()
    for n in range(3000):
        assert (await talk.said()).body == b"%d" % n
    sending.cancel()


async def test_who_leaves_takes_the_requests_that_wait_along(serve: Serve) -> None:
    started: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        started.append(await receive())

    served = await serve(app)
    talk = await served.talk()
    await talk.send(post(b"a") + post(b"b"))
    await eventually(lambda: served.state.tasks, "the first was not begun")
    talk.writer.close()
    await eventually(lambda: not served.state.tasks and not served.doors, "a request outlived its client")
    assert started == [{"type": "http.disconnect"}]


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", False),
        (b"POST / HTTP/1.0\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", False),
    ],
)
async def test_a_connection_is_kept_unless_its_client_does_not_want_it(serve: Serve, head: bytes, keeps: bool) -> None:
    talk = await (await serve(echo)).talk()
    await talk.send(head)
    said = await talk.said()
    assert said.status == 200
    assert said.headers.get("connection") == (None if keeps else "close")
    if keeps:
        await talk.send(post(b"a"))
        assert (await talk.said()).body == b"a"
    else:
        assert await rest(talk) == b""


# Refusals


@pytest.mark.parametrize(
    "fault",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n",
        b"POST / HTTP/1.1\r\nA : b\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"1\r\naXX0\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_400_behind_the_answers_that_are_owed(serve: Serve, fault: bytes) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await whole_body(receive)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": body})

    served = await serve(app)
    talk = await served.talk()
    await talk.send(post(b"a") + fault + post(b"never"))
    assert (await talk.head())[0] == 200
    assert await talk.chunk() == b"first "
    go_on.set()
    assert await talk.chunk() == b"a"
    assert await talk.chunk() == b""
    said = await talk.said()
    assert (said.status, said.headers["connection"]) == (400, "close")
    assert await rest(talk) == b""
    alone = await served.talk()
    await alone.send(fault)
    assert (await alone.said()).status == 400
    assert await rest(alone) == b""


async def test_a_fault_within_the_body_of_a_request_half_answered_ends_the_connection(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    talk = await (await serve(app)).talk()
    await talk.send(CHUNKED)
    assert (await talk.head())[0] == 200
    await talk.send(b"zz\r\n")
    assert await rest(talk) == b"5\r\nfirst\r\n"


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n", 431),
        (b"GET / HTTP/1.1\r\na: ", b"b" * 1000, 431),
        (b"GET /", b"a" * 1000, 431),
        (CHUNKED + b"1;", b"x" * 1000, 431),
        (CHUNKED + b"0\r\n", b"t: u\r\n", 431),
        (post(b"a") + b"GET / HTTP/1.1\r\na: ", b"b" * 1000, 431),
    ],
)
async def test_endless_heads_and_tails_are_refused(serve: Serve, start: bytes, piece: bytes, status: int) -> None:
    talk = await (await serve(echo)).talk()
    await talk.send(start)
    if start.startswith(b"POST / HTTP/1.1\r\nHost: x\r\nContent"):
        assert (await talk.said()).status == 200
    for _ in range(20_000):
        talk.writer.write(piece)
        await asyncio.sleep(0)
        if talk.writer.transport.is_closing() or talk.reader._buffer:  # type: ignore[attr-defined]
            break
    assert (await talk.head())[0] == status


@pytest.mark.parametrize(("size", "status"), [(heads.MAX_HEAD_BYTES - 100, 200), (heads.MAX_HEAD_BYTES, 431)])
@pytest.mark.parametrize("before", [b"", post(b"x" * 200_000)], ids=["alone", "behind another"])
async def test_a_head_has_its_bound_wherever_it_begins(serve: Serve, before: bytes, size: int, status: int) -> None:
    talk = await (await serve(echo)).talk()
    await talk.send(before + b"GET / HTTP/1.1\r\na: %b\r\n\r\n" % (b"b" * size))
    if before:
        assert (await talk.said()).status == 200
    assert (await talk.said()).status == status


# Time


async def test_an_idle_connection_is_closed_in_its_time_and_one_that_works_is_not(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.15)
        await echo(scope, receive, send)

    served = await serve(app, keep_alive=0.05)
    talk = await served.talk()
    for _ in range(2):
        await talk.send(post(b"a"))
        assert (await talk.said()).body == b"a"
    assert await rest(talk) == b""


@pytest.mark.parametrize("before", [b"", post(b"a")], ids=["alone", "behind another"])
async def test_a_half_sent_head_is_closed_however_slowly_it_goes_on(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    monkeypatch.setattr(door, "HEAD_SECONDS", 0.1)
    talk = await (await serve(echo)).talk()
    await talk.send(before + b"GET / HTTP/1.1\r\n")
    if before:
        assert (await talk.said()).body == b"a"

    async def trickle() -> None:
        while True:
            talk.writer.write(b"a: b\r\n")
            await asyncio.sleep(0.01)

    trickling = asyncio.ensure_future(trickle())
    with contextlib.suppress(ConnectionResetError):  # where the last line crossed the end on its way
        assert await rest(talk) == b""
    trickling.cancel()


async def test_a_client_that_never_says_anything_is_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEAD_SECONDS", 0.05)
    assert await rest(await (await serve(echo)).talk()) == b""


async def test_who_does_not_take_its_answer_is_given_up(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"x" * 20_000_000)

    served = await serve(app, keep_alive=0.05)
    talk = await served.talk(limit=1024)
    await talk.send(post(b""))
    await talk.head()
    (connection,) = served.doors
    assert connection.transport.get_write_buffer_size() > 1_000_000
    await eventually(lambda: not served.doors, "the answer is kept for ever")


# Shutting down


async def test_at_shutdown_idle_connections_close_and_busy_ones_after_their_answers(serve: Serve) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    served = await serve(app)
    idle, busy = await served.talk(), await served.talk()
    await busy.send(post(b"a") + post(b"b"))
    await eventually(lambda: len(served.doors) == 2 and served.state.tasks, "not all are there")
    for connection in served.doors:
        connection.shutdown()
    assert await rest(idle) == b""
    go_on.set()
    first, second = await busy.said(), await busy.said()
    assert (first.body, second.body, second.headers["connection"]) == (b"a", b"b", "close")
    assert await rest(busy) == b""
