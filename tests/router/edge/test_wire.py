"""The fast lane past ASGI's messages: whole answers and streams, to clients that keep up and to those that do not."""

from __future__ import annotations

import asyncio

import pytest

from router.edge.asgi import Receive, Scope, Send
from router.edge.disconnect import Departure
from router.edge.wire import EXTENSION, Wire
from tests.e2e.harness import eventually
from tests.router.edge.conftest import Serve, whole_body
from tests.router.edge.test_door import post, rest

JSON = b"content-type: application/json\r\n"


def wire_of(scope: Scope) -> Wire:
    wire: Wire = scope["extensions"][EXTENSION]
    return wire


async def test_a_whole_answer_has_its_length_and_leaves_the_connection_for_the_next(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        body = wire.body()
        assert body is not None
        await wire.respond(JSON + b"x-generation-id: gen-1\r\n", body)

    talk = await (await serve(app)).talk()
    await talk.send(post(b"one") + post(b"two"))
    for body in (b"one", b"two"):
        said = await talk.said()
        assert (said.status, said.body) == (200, body)
        assert said.headers == {
            "date": "today",
            "content-type": "application/json",
            "x-generation-id": "gen-1",
            "content-length": "3",
        }


async def test_a_stream_is_chunked_and_leaves_the_connection_for_the_next(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        assert wire.begin(b"content-type: text/event-stream\r\n", b"one ")
        assert wire.push(b"two ")
        assert wire.push(b"three")
        wire.end()

    talk = await (await serve(app)).talk()
    for _ in range(2):
        await talk.send(post(b"{}"))
        assert (await talk.head())[1]["transfer-encoding"] == "chunked"
        assert [await talk.chunk() for _ in range(4)] == [b"one ", b"two ", b"three", b""]


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_after_which_the_connection_closes_says_so(serve: Serve, streamed: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        if streamed:
            wire.begin(JSON, b"ok")
            wire.end()
        else:
            await wire.respond(JSON, b"ok")

    talk = await (await serve(app)).talk()
    await talk.send(post(b"{}", b"/", b"Connection: close"))
    said = await talk.said()
    assert (said.body, said.headers["connection"]) == (b"ok", "close")
    assert await rest(talk) == b""


async def test_the_headers_are_by_lower_case_name_the_last_of_a_repeated_one(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        await wire.respond(JSON, wire.headers[b"x-a"])

    talk = await (await serve(app)).talk()
    await talk.send(post(b"{}", b"/", b"X-A: one", b"x-a: two"))
    assert (await talk.said()).body == b"two"


async def test_a_body_that_is_still_arriving_is_to_be_received(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        assert wire.body() is None
        await wire.respond(JSON, await whole_body(receive))

    talk = await (await serve(app)).talk()
    whole = post(b"hello")
    await talk.send(whole[:-2])
    await asyncio.sleep(0.02)
    await talk.send(whole[-2:])
    assert (await talk.said()).body == b"hello"


async def test_a_push_says_whether_the_client_keeps_up_and_drained_waits_until_it_does(serve: Serve) -> None:
    steps: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        wire.begin(JSON, b"x")
        while wire.push(b"x" * 100_000):
            steps.append("kept up")
        steps.append("behind")
        await wire.drained()
        steps.append("drained")
        assert wire.push(b"y")
        wire.end()

    served = await serve(app)
    talk = await served.talk(limit=1024)
    await talk.send(post(b"{}"))
    await eventually(lambda: "behind" in steps, "a client that does not read is said to keep up")
    assert served.doors[0].transport.get_write_buffer_size() < 1_000_000
    await asyncio.sleep(0.02)
    assert steps[-1] == "behind"
    talk.reader._limit = 1 << 26  # type: ignore[attr-defined]
    said = await talk.said()
    assert steps[-1] == "drained"
    assert said.body.endswith(b"xy")


@pytest.mark.parametrize("behind", [False, True], ids=["keeps up", "is behind"])
async def test_nothing_is_written_to_a_client_that_has_left_and_nobody_waits_for_it(serve: Serve, behind: bool) -> None:
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        wire.begin(JSON, b"x")
        while behind and wire.push(b"x" * 100_000):
            pass
        while not wire.gone:
            await asyncio.sleep(0.005)
        assert not wire.push(b"y")
        await wire.drained()
        wire.end()
        assert not wire.answered
        gone.set()

    served = await serve(app)
    talk = await served.talk(limit=1024)
    await talk.send(post(b"{}"))
    await talk.head()
    talk.writer.transport.abort()
    async with asyncio.timeout(5):
        await gone.wait()


async def test_who_drains_when_the_client_leaves_goes_on(serve: Serve) -> None:
    drained: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire = wire_of(scope)
        wire.begin(JSON, b"x")
        while wire.push(b"x" * 100_000):
            pass
        drained.append(False)
        await asyncio.gather(wire.drained(), wire.drained())
        drained.append(wire.gone)

    talk = await (await serve(app)).talk(limit=1024)
    await talk.send(post(b"{}"))
    await eventually(lambda: drained, "the client is never behind")
    talk.writer.transport.abort()
    await eventually(lambda: drained == [False, True], "it waits for one who has left")


async def test_a_departure_cancels_the_work_even_of_one_who_left_before_it_began(serve: Serve) -> None:
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while scope["path"] == "/late" and not wire_of(scope).gone:
            await asyncio.sleep(0.005)
        with Departure(wire_of(scope), receive) as departure:
            await asyncio.Event().wait()
        ended.append(departure.gone)

    served = await serve(app)
    for path in (b"/", b"/late"):
        talk = await served.talk()
        await talk.send(post(b"{}", path))
        await eventually(lambda: served.state.tasks, "the request was not begun")
        talk.writer.transport.abort()
        await eventually(lambda: not served.state.tasks, "the work goes on")
    assert ended == [True, True]
