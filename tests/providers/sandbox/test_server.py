"""The sandbox listens, refuses, records and lets go as it says."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
import time
from typing import Any

import pytest
import trustme

from providers.sandbox import Answer, Dialect, Hang, KeepAlive, Sandbox, Slow, Status
from tests.providers.sandbox.raw import QUESTION, ask, drained, opened, request


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("moonshot", "/v1"), ("cometapi", "/v1"), ("openrouter", "/api/v1"), ("openai", "/v1")],
)
async def test_the_base_url_has_the_dialects_path(dialect: Dialect, path: str) -> None:
    async with Sandbox(dialect) as box:
        assert box.base_url == f"http://127.0.0.1:{box.port}{path}"
        assert (await ask(box)).status == 200


async def test_a_request_is_recorded_as_it_came() -> None:
    async with Sandbox("moonshot") as box:
        before = time.monotonic()
        await ask(box, {"model": "kimi-k3"})
        got = box.requests[0]
    assert (got.method, got.path, got.connection) == ("POST", "/v1/chat/completions", 1)
    assert ("X-Case", "Kept") in got.headers
    assert got.header("x-case") == "Kept"
    assert got.header("nope") is None
    assert got.json == {**QUESTION, "model": "kimi-k3"}
    assert json.loads(got.body) == got.json
    assert got.finished_at is not None
    assert before <= got.received_at <= got.finished_at
    assert got.closed_by_peer_at is None


async def test_the_script_is_used_up_in_order_and_then_the_answer_returns() -> None:
    async with Sandbox("moonshot") as box:
        box.script(Status(500), Status(503))
        assert [(await ask(box)).status for _ in range(3)] == [500, 503, 200]


async def test_a_model_can_have_a_behaviour_of_its_own() -> None:
    async with Sandbox("moonshot") as box:
        box.always(Status(500))
        box.always(Status(503), model="kimi-k3")
        assert (await ask(box, {"model": "kimi-k3"})).status == 503
        assert (await ask(box)).status == 500
        box.always(None)
        assert (await ask(box)).status == 200
        box.reset()
        assert (await ask(box, {"model": "kimi-k3"})).status == 200
        assert len(box.requests) == 1


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with Sandbox("moonshot") as box:
        reader, writer = await opened(box)
        await reader.readuntil(b"0\r\n\r\n")
        body = json.dumps(QUESTION).encode()
        writer.write(request(box, body, "/chat/completions", box.key, close=False) * 2)
        await reader.readuntil(b"0\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        assert (box.connections_made, box.open_connections, box.answering) == (1, 1, 0)
        assert [received.connection for received in box.requests] == [1, 1, 1]
        writer.close()
        await box.until(lambda: box.open_connections == 0)
        assert all(received.closed_by_peer_at is None for received in box.requests)


async def test_idle_connections_can_be_dropped_while_busy_ones_stay() -> None:
    async with Sandbox("moonshot") as box:
        idle_reader, idle_writer = await opened(box)
        await idle_reader.readuntil(b"0\r\n\r\n")
        box.script(Hang())
        _, busy_writer = await opened(box)
        await box.until(lambda: box.answering == 1)
        box.drop_idle()
        assert await idle_reader.read() == b""
        assert box.open_connections == 1
        idle_writer.close()
        busy_writer.close()


async def test_an_idle_connection_can_be_reset() -> None:
    async with Sandbox("moonshot") as box:
        reader, writer = await opened(box)
        await reader.readuntil(b"0\r\n\r\n")
        await box.until(lambda: box.answering == 0)
        box.drop_idle(reset=True)
        assert (await drained(reader, writer)).reset


async def test_connecting_is_refused_and_accepted_again_on_the_same_port() -> None:
    async with Sandbox("moonshot") as box:
        port = box.port
        await box.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await box.accept()
        await box.accept()
        assert box.port == port
        assert (await ask(box)).status == 200


async def test_refusing_can_drop_answers_under_way() -> None:
    async with Sandbox("moonshot") as box:
        box.script(Hang(1))
        reader, writer = await opened(box)
        await reader.readuntil(b"\n\n")
        await box.refuse(drop=True)
        assert box.open_connections == 0
        assert b"[DONE]" not in (await drained(reader, writer)).data
        assert box.requests[0].closed_by_peer_at is None


def live_timers() -> int:
    scheduled = vars(asyncio.get_running_loop())["_scheduled"]
    return sum(not handle.cancelled() for handle in scheduled)


@pytest.mark.parametrize("behaviour", [Hang(), Hang(1), Slow(first_token=60), KeepAlive(every=0.001)])
async def test_closing_is_prompt_and_leaves_no_task_or_timer(behaviour: Any) -> None:
    tasks, timers = len(asyncio.all_tasks()), live_timers()
    async with Sandbox("moonshot") as box:
        box.always(behaviour)
        clients = [await opened(box) for _ in range(5)]
        await box.until(lambda: box.answering == 5)
        start = time.monotonic()
    assert time.monotonic() - start < 1
    assert (len(asyncio.all_tasks()), live_timers()) == (tasks, timers)
    assert box.open_connections == 0
    for reader, writer in clients:
        await drained(reader, writer)


@pytest.mark.parametrize("how", ["close", "abort", "half"])
async def test_a_client_that_leaves_is_noticed(how: str) -> None:
    async with Sandbox("moonshot") as box:
        box.always(Slow(between=0.01, of=Answer(content="x" * 4000, fragment=1)))
        reader, writer = await opened(box)
        await reader.readuntil(b'"content":"x"')
        if how == "close":
            writer.close()
        elif how == "abort":
            writer.transport.abort()
        else:
            writer.write_eof()
        await box.until(lambda: box.open_connections == 0)
        assert box.requests[0].closed_by_peer_at is not None
        writer.close()


async def test_several_sandboxes_share_a_loop() -> None:
    async with Sandbox("moonshot") as one, Sandbox("openrouter") as two:
        one.script(Status(500))
        assert [(await ask(box)).status for box in (one, two)] == [500, 200]


async def test_it_speaks_tls() -> None:
    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)
    async with Sandbox("moonshot", tls=served) as box:
        assert box.base_url.startswith("https://127.0.0.1:")
        reader, writer = await asyncio.open_connection("127.0.0.1", box.port, ssl=trusting)
        writer.write(request(box, None, "/models", box.key, close=True))
        assert (await drained(reader, writer)).status == 200


async def test_waiting_for_what_never_comes_times_out() -> None:
    async with Sandbox("moonshot") as box:
        with pytest.raises(TimeoutError):
            await box.until(lambda: False, within=0.01)


async def test_what_is_not_http_is_answered_400() -> None:
    async with Sandbox("moonshot") as box:
        reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
        writer.write(b"\x16\x03\x01 not http\r\n\r\n")
        assert (await drained(reader, writer)).status == 400


async def test_nothing_is_recorded_where_that_is_switched_off() -> None:
    async with Sandbox("openai", record=False) as box:
        await ask(box)
        assert box.requests == []


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
async def test_it_runs_as_a_process_and_ends_on_sigterm(engine: str) -> None:
    command = [sys.executable, "-m", "providers.sandbox", "--dialect", "openrouter", "--loop", engine]
    process = await asyncio.create_subprocess_exec(*command, "--events", "3", stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    word, url = (await process.stdout.readline()).decode().split()
    box = Sandbox("openrouter", port=int(url.split(":")[2].partition("/")[0]))
    seen = await ask(box)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert (word, url.endswith("/api/v1")) == ("ready", True)
    assert seen.body.count(b'"content":" token"') == 3
