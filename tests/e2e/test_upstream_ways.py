"""A gateway whose provider is reached over HTTP/2 and through proxies, as the `httpx:` options say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import trustme
from h2.errors import ErrorCodes

from providers.sandbox import Hang
from tests.e2e.harness import MODEL, Bench, Offer, Running, eventually
from tests.e2e.talk import ask, request, talk
from tests.providers.transport.conftest import serving
from tests.providers.transport.h2peer import Exchange, H2Server
from tests.providers.transport.socks import SocksProxy


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def streams(exchange: Exchange) -> None:
    await exchange.whole.wait()
    await exchange.head(200, ("content-type", "text/event-stream"))
    await exchange.send(event({"role": "assistant", "content": "over "}))
    await exchange.send(event({"content": "HTTP/2"}))
    await exchange.send(event({}, "stop") + b"data: [DONE]\n\n", end=True)


async def hangs(exchange: Exchange) -> None:
    await exchange.whole.wait()
    await exchange.head(200, ("content-type", "text/event-stream"))
    await exchange.send(event({"role": "assistant", "content": "begun"}))
    await asyncio.Event().wait()


async def gateway_before(
    bench: Bench, server: H2Server, authority: trustme.CA, tmp_path: Path, **options: Any
) -> Running:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    provider = {
        "base_url": server.url,
        "dialect": "openai",
        "transport": "httpx",
        "ca_file": str(tmp_path / "ca.pem"),
        "httpx": {"http2": True, **options},
    }
    return await bench.gateway([Offer(await bench.box(), "only", provider=provider)])


@pytest.mark.parametrize("through", [None, "socks"])
async def test_completions_are_streamed_over_one_http2_connection(
    bench: Bench, tmp_path: Path, through: str | None
) -> None:
    authority = trustme.CA()
    async with H2Server(serving(authority.issue_cert("127.0.0.1")), streams) as server, SocksProxy() as proxy:
        options = {"proxy": proxy.url} if through else {}
        gateway = await gateway_before(bench, server, authority, tmp_path, **options)

        async def once() -> str:
            async with talk(gateway) as conversation:
                await conversation.send(request(ask(True)))
                return (await conversation.said()).content

        assert await once() == "over HTTP/2"
        assert await asyncio.gather(*[once() for _ in range(10)]) == ["over HTTP/2"] * 10
        assert (server.accepted, len(server.exchanges), server.resets) == (1, 11, {})
        assert len(proxy.asked) == (1 if through else 0)
        assert json.loads(server.exchanges[0].body)["stream"] is True


async def test_a_client_that_leaves_has_its_stream_reset_and_the_connection_kept(bench: Bench, tmp_path: Path) -> None:
    authority = trustme.CA()
    async with H2Server(serving(authority.issue_cert("127.0.0.1")), hangs, streams) as server:
        gateway = await gateway_before(bench, server, authority, tmp_path)
        async with talk(gateway) as conversation:
            await conversation.send(request(ask(True)))
            await conversation.head()
            assert b"begun" in await conversation.chunk()
            conversation.writer.transport.abort()
            await eventually(lambda: server.resets == {ErrorCodes.CANCEL: 1}, "the provider was not told")
        core = gateway.gateway.core
        await eventually(lambda: core.in_flight == 0, "the request is still in flight")
        (endpoint,) = core.setup.catalogue.models[MODEL].endpoints
        assert core.health.facts(endpoint).failures == 0
        async with talk(gateway) as conversation:
            await conversation.send(request(ask(True)))
            assert (await conversation.said()).content == "over HTTP/2"
        assert server.accepted == 1


async def test_a_sandbox_behind_a_socks_proxy_answers_and_is_left_with_its_client(bench: Bench) -> None:
    async with SocksProxy() as proxy:
        box = await bench.box()
        provider = {"transport": "httpx", "httpx": {"proxy": proxy.url}}
        gateway = await bench.gateway([Offer(box, "only", provider=provider)])
        for stream in (True, False):
            async with talk(gateway) as conversation:
                await conversation.send(request(ask(stream)))
                said = await conversation.said()
            assert (said.status, bool(said.content)) == (200, True)
        box.always(Hang())
        async with talk(gateway) as conversation:
            await conversation.send(request(ask(True)))
            await box.until(lambda: box.answering == 1)
            conversation.writer.close()
            await eventually(lambda: box.answering == 0, "the upstream request was not cancelled")
        assert {host for _, host, _ in proxy.asked} == {"127.0.0.1"}
