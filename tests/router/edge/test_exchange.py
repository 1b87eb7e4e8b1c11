"""An ASGI application's messages on the connection, in order and out of order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.edge.asgi import Message, Receive, Scope, Send
from tests.e2e.harness import eventually
from tests.router.edge.conftest import Serve, answer, echo, whole_body
from tests.router.edge.test_door import CHUNKED, post, rest


async def test_a_body_of_unknown_length_is_chunked_and_the_connection_kept(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"X-A", b"b")]})
        for piece in (b"one ", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    talk = await (await serve(app)).talk()
    for _ in range(2):
        await talk.send(post(b"unread"))
        said = await talk.said()
        assert (said.status, said.body, said.headers["x-a"]) == (201, b"one two", "b")


async def test_an_answer_to_head_has_the_head_alone(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"12345", 200, (b"content-length", b"5"))

    talk = await (await serve(app)).talk()
    await talk.send(b"HEAD / HTTP/1.1\r\n\r\n" + post(b""))
    assert (await talk.head())[1]["content-length"] == "5"
    assert (await talk.said()).body == b"12345"


async def test_a_204_has_neither_body_nor_length(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"", 204)

    talk = await (await serve(app)).talk()
    await talk.send(post(b"") * 2)
    for _ in range(2):
        assert await talk.head() == (204, {"date": "today"})


async def test_a_client_that_waits_to_be_told_is_told_when_the_body_is_wanted(serve: Serve) -> None:
    talk = await (await serve(echo)).talk()
    await talk.send(post(b"", b"/", b"Expect: 100-continue").replace(b"Length: 0", b"Length: 3"))
    assert await talk.head() == (100, {})
    await talk.send(b"abc")
    assert (await talk.said()).body == b"abc"


async def test_a_client_that_was_not_told_to_send_its_body_gets_its_answer_and_no_next_request(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 413)

    talk = await (await serve(app)).talk()
    await talk.send(post(b"", b"/", b"Expect: 100-continue").replace(b"Length: 0", b"Length: 3"))
    said = await talk.said()
    assert (said.status, said.headers["connection"]) == (413, "close")
    assert await rest(talk) == b""


async def test_what_is_left_of_a_body_when_it_is_answered_is_passed_over(serve: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, scope["path"].encode(), 413)

    talk = await (await serve(app)).talk()
    big = post(b"x" * 3_000_000, b"/big")
    await talk.send(big[:1000])
    assert (await talk.said()).body == b"/big"
    await talk.send(big[1000:] + post(b"", b"/next"))
    assert (await talk.said()).body == b"/next"


async def test_a_body_that_nobody_receives_makes_the_client_wait(serve: Serve) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answer(send, b"%d" % len(await whole_body(receive)))

    served = await serve(app)
    talk = await served.talk()
    sending = asyncio.ensure_future(talk.send(post(b"x" * 30_000_000)))
    await eventually(lambda: served.doors and served.doors[0].reading_paused, "the client is not made to wait")
    await asyncio.sleep(0.05)
    arriving = served.doors[0]._arriving
    assert arriving is not None
    assert len(arriving.unread) < 1_000_000
    go_on.set()
    assert (await talk.said()).body == b"30000000"
    await sending


async def test_many_small_pieces_are_received_as_one(serve: Serve) -> None:
    received: list[Message] = []
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        received.append(await receive())
        await answer(send, b"")

    served = await serve(app)
    talk = await served.talk()
    await talk.send(CHUNKED + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n")
    await eventually(lambda: served.doors and served.doors[0]._arriving is None, "it has not all arrived")
    go_on.set()
    await talk.said()
    assert received == [{"type": "http.request", "body": b"a" * 1000, "more_body": False}]


async def test_receive_tells_of_the_clients_leaving_and_of_the_answers_end(serve: Serve) -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await whole_body(receive)
        if scope["path"] == "/answer":
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            await answer(send, b"")
            told.append((await waiting)["type"])
        told.append((await receive())["type"])

    served = await serve(app)
    talk = await served.talk()
    await talk.send(post(b"", b"/answer"))
    await talk.said()
    await eventually(lambda: told == ["http.disconnect"] * 2, "the end was not told")
    await talk.send(post(b""))
    await eventually(lambda: served.state.tasks, "the second was not begun")
    talk.writer.transport.abort()
    await eventually(lambda: told == ["http.disconnect"] * 3, "the leaving was not told")


async def test_sending_waits_for_a_client_that_does_not_keep_up_and_ends_with_it(serve: Serve) -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    served = await serve(app)
    talk = await served.talk(limit=1024)
    await talk.send(post(b""))
    await talk.head()
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.05)
    assert sent < 300
    talk.writer.transport.abort()
    await eventually(lambda: sent == 1000, "it waits for one who has left")


FAULTS: dict[str, list[Any]] = {
    "raises": [RuntimeError("secret")],
    "says nothing": [],
    "body first": [{"type": "http.response.body", "body": b"secret"}],
    "a line break in a value": [
        {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nsecret: c")]},
    ],
    "a line break in a name": [
        {"type": "http.response.start", "status": 200, "headers": [(b"a\r\nsecret", b"c")]},
    ],
    "framing of its own": [
        {"type": "http.response.start", "status": 200, "headers": [(b"transfer-encoding", b"chunked")]},
    ],
}


def app_of(steps: list[Any]) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            await send(step)

    return app


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_application_that_fails_before_its_answer_is_a_500_without_details(serve: Serve, fault: str) -> None:
    talk = await (await serve(app_of(FAULTS[fault]))).talk()
    await talk.send(post(b"a"))
    said = await talk.said()
    assert (said.status, said.headers["connection"]) == (500, "close")
    assert said.json["error"]["code"] == 500
    assert b"secret" not in said.body
    assert await rest(talk) == b""


START = {"type": "http.response.start", "status": 200}
FIVE = {**START, "headers": [(b"content-length", b"5")]}


@pytest.mark.parametrize(
    "steps",
    [
        [START, {"type": "http.response.body", "body": b"abc", "more_body": True}, RuntimeError()],
        [START, {"type": "http.response.body", "body": b"abc", "more_body": True}],
        [START, {"type": "http.response.body", "body": b"abc", "more_body": True}, START],
        [FIVE, {"type": "http.response.body", "body": b"abc"}],
        [FIVE, {"type": "http.response.body", "body": b"abcdef"}],
    ],
    ids=["raises", "stops", "starts again", "too short", "too long"],
)
async def test_an_answer_that_breaks_is_seen_to_break(serve: Serve, steps: list[Any]) -> None:
    talk = await (await serve(app_of(steps))).talk()
    await talk.send(post(b"a"))
    assert (await talk.head())[0] == 200
    assert not (await rest(talk)).endswith(b"0\r\n\r\n")


async def test_more_after_a_whole_answer_is_an_error_of_the_application_alone(serve: Serve) -> None:
    errors: list[RuntimeError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        try:
            await send({"type": "http.response.body"})
        except RuntimeError as error:
            errors.append(error)

    talk = await (await serve(app)).talk()
    for _ in range(2):
        await talk.send(post(b"a"))
        assert (await talk.said()).body == b"a"
    await eventually(lambda: len(errors) == 2, "nothing was raised")
