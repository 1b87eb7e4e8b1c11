"""A client that leaves takes its upstream work with it, in every phase, and nobody is blamed."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from providers.sandbox import Answer, Hang, KeepAlive, Phase, Sandbox, Slow
from tests.e2e.harness import MODEL, Bench, Offer, Running, eventually
from tests.e2e.talk import Talk, ask, request, talk

SLOW = Slow(first_token=0.0, between=30.0)


async def leave(conversation: Talk, how: str) -> None:
    sock: socket.socket = conversation.writer.get_extra_info("socket")
    if how == "rst":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conversation.writer.transport.abort() if how == "rst" else conversation.writer.close()


async def upstream_is_released(box: Sandbox, gateway: Running) -> None:
    await eventually(lambda: box.answering == 0, "the upstream request was not cancelled", within=1.0)
    core = gateway.gateway.core
    await eventually(lambda: core.in_flight == 0, "the request is still in flight", within=1.0)
    (endpoint,) = core.setup.catalogue.models[MODEL].endpoints
    facts = core.health.facts(endpoint)
    assert facts.failures == 0
    assert core.health.ratio(endpoint, 60) is None, "a client that left counted for or against the provider"


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize(
    ("stream", "behaviour"),
    [
        (True, Hang()),
        (True, Hang(Phase.HEAD)),
        (True, KeepAlive(every=0.05)),
        (False, Hang()),
        (False, Hang(Phase.HEAD)),
    ],
)
async def test_leaving_before_the_first_token(bench: Bench, stream: bool, behaviour: Any, how: str) -> None:
    box = await bench.box("openrouter")
    box.always(behaviour)
    gateway = await bench.gateway([Offer(box, "only")])
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(stream)))
        await box.until(lambda: len(box.requests) == 1)
        await leave(conversation, how)
        await upstream_is_released(box, gateway)
    served = gateway.gateway.metrics.render(gateway.gateway.core.setup.catalogue)
    assert b'status="499"' in served


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_leaving_in_the_middle_of_a_stream(bench: Bench, how: str) -> None:
    box = await bench.box()
    box.answer(Answer(content="word " * 50))
    box.always(Hang(3))
    gateway = await bench.gateway([Offer(box, "only")])
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)))
        status, _ = await conversation.head()
        assert status == 200
        assert b"data: " in await conversation.chunk()
        await leave(conversation, how)
        await upstream_is_released(box, gateway)


async def test_leaving_while_a_fallback_is_tried(bench: Bench) -> None:
    from providers.sandbox import server_error

    bad, hanging = await bench.box(), await bench.box()
    bad.always(server_error())
    hanging.always(Hang())
    gateway = await bench.gateway(
        [Offer(bad, "bad"), Offer(hanging, "hanging")], preferences={"default": {"order": ["bad"]}}
    )
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)))
        await hanging.until(lambda: len(hanging.requests) == 1)
        await leave(conversation, "fin")
        await eventually(lambda: hanging.answering == 0, "the fallback was not cancelled", within=1.0)


async def test_a_client_that_reads_nothing_holds_up_the_upstream_not_the_memory(bench: Bench) -> None:
    box = await bench.box()
    box.answer(Answer(content="x" * 40_000_000, fragment=1_000_000))
    gateway = await bench.gateway([Offer(box, "only")])
    async with talk(gateway) as conversation:
        conversation.reader._limit = 1024  # type: ignore[attr-defined]
        await conversation.send(request(ask(True)))
        await conversation.head()
        await eventually(lambda: gateway.gateway.core.in_flight == 1, "the stream ended though nobody read it")
        await leave(conversation, "rst")
        await eventually(lambda: box.answering == 0, "the upstream request was not cancelled", within=2.0)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_stops_reading_costs_bounded_memory_and_gives_it_all_back(
    bench: Bench, stream: bool
) -> None:
    size = 20_000_000
    box = await bench.box()
    box.answer(Answer(content="x" * size, fragment=100_000))
    gateway = await bench.gateway([Offer(box, "only")])
    upstream = gateway.gateway.core.setup.clients["only"].transport
    async with talk(gateway, limit=1024) as conversation:
        await conversation.send(request(ask(stream)))
        await conversation.head()
        (door,) = gateway.server.server_state.connections
        if stream:
            (connection,) = upstream._open  # type: ignore[attr-defined]
            await eventually(lambda: connection._reading_paused, "the upstream is not made to wait")
            assert box.answering == 1
            held = connection._pending_bytes + door.transport.get_write_buffer_size()
            assert held < 2_000_000
        else:
            await eventually(lambda: gateway.gateway.core.in_flight == 0, "the answer is not written at once")
            assert door.transport.get_write_buffer_size() < 1.1 * size
        await leave(conversation, "rst")
        await eventually(lambda: not gateway.server.server_state.connections, "the connection is kept")
    await eventually(lambda: box.answering == 0, "the upstream request was not cancelled")
    await eventually(lambda: gateway.gateway.core.in_flight == 0, "the request is still in flight")
    assert upstream.open_connections == (0 if stream else 1)


async def test_a_keep_alive_comes_in_every_silence_and_never_inside_an_event(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.edge.stream.KEEPALIVE_SECONDS", 0.1)
    box = await bench.box()
    box.answer(Answer(content="Hello there"))
    box.script(Slow(first_token=0.35, between=0.25))
    gateway = await bench.gateway([Offer(box, "only")])
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)))
        said = await conversation.said()
    assert said.content == "Hello there"
    assert said.body.count(b": TURNOUT PROCESSING\n\n") >= 3
    assert said.body.startswith(b": TURNOUT PROCESSING\n\n")


async def test_an_error_after_a_keep_alive_travels_in_the_stream(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.edge.stream.KEEPALIVE_SECONDS", 0.1)
    box = await bench.box()
    box.always(Hang())
    gateway = await bench.gateway([Offer(box, "only")], timeouts={"first_token": 0.3})
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)))
        said = await conversation.said()
    assert said.status == 200
    assert said.broke is not None
    assert said.broke["code"] == 504
    assert said.events[-1] == "[DONE]"
