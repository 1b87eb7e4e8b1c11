"""Whatever a client sends is answered clearly, in one shape, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.harness import MODEL, Bench, Offer, Running, eventually
from tests.e2e.talk import ask, complete, get, post, request, talk

DEEP = b"[" * 100_000 + b"]" * 100_000


def with_messages(value: bytes) -> bytes:
    return b'{"model": "%s", "messages": %s}' % (MODEL.encode(), value)


BAD_BODIES: list[tuple[str, bytes, str | None, str]] = [
    ("not JSON", b"hello", None, "JSON"),
    ("empty", b"", None, "JSON"),
    ("an array", b"[]", None, "JSON object"),
    ("cut off", b'{"model": "x", "messages": [', None, "JSON"),
    ("no model", b'{"messages": [{"role": "user", "content": "x"}]}', "model", "model"),
    ("model a number", b'{"model": 7, "messages": []}', "model", "str"),
    ("no messages", b'{"model": "%s"}' % MODEL.encode(), "messages", "messages"),
    ("messages empty", with_messages(b"[]"), "messages", "messages"),
    ("messages a string", with_messages(b'"hi"'), "messages", "array"),
    ("a message a string", with_messages(b'["hi"]'), "messages[0]", "object"),
    ("a message without role", with_messages(b'[{"content": "x"}]'), "messages[0]", "role"),
    ("stream a string", b'{"model": "x", "messages": [{"role": "user"}], "stream": "yes"}', "stream", "bool"),
    ("max_tokens zero", b'{"model": "x", "messages": [{"role": "user"}], "max_tokens": 0}', "max_tokens", "from 1"),
    ("max_tokens text", b'{"model": "x", "messages": [{"role": "user"}], "max_tokens": "9"}', "max_tokens", "int"),
    ("tools an object", b'{"model": "x", "messages": [{"role": "user"}], "tools": {}}', "tools", "array"),
    ("provider a list", b'{"model": "x", "messages": [{"role": "user"}], "provider": []}', "provider", "object"),
    (
        "a preference of the wrong type",
        b'{"model": "x", "messages": [{"role": "user"}], "provider": {"order": "moonshot"}}',
        "provider.order",
        "provider.order",
    ),
    (
        "four fallback models",
        b'{"models": ["a", "b", "c", "d"], "messages": [{"role": "user"}]}',
        "models",
        "3 items or fewer",
    ),
    ("too deep", with_messages(DEEP), None, "deep"),
    ("too deep by one", with_messages(b"[" * 200 + b"]" * 200), None, "deep"),
    ("too many keys", b"{" + b",".join(b'"k%d": 1' % n for n in range(1001)) + b"}", None, "1,000"),
    ("not UTF-8", b'{"model": "\xff", "messages": [{"role": "user"}]}', None, ""),
    ("NaN", b'{"model": "x", "messages": [{"role": "user"}], "temperature": NaN}', None, "JSON"),
]


@pytest.mark.parametrize(("body", "param", "says"), [case[1:] for case in BAD_BODIES], ids=[c[0] for c in BAD_BODIES])
async def test_a_bad_body_is_400_and_says_where(bench: Bench, body: bytes, param: str | None, says: str) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    said = await post(gateway, body)
    assert said.status == 400, said.body[:300]
    error = said.json["error"]
    assert error["code"] == 400
    assert error["type"] == "invalid_request"
    assert error["metadata"]["error_type"] == "invalid_request"
    if param is not None:
        assert error["param"] == param
    assert says in error["message"]
    assert said.headers["x-should-retry"] == "false"
    assert said.headers["x-generation-id"].startswith("gen-")
    assert box.requests == []


async def test_an_unknown_model_is_400_with_the_nearest_names(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    said = await complete(gateway, model="moonshotai/kimi-k2-thinkin")
    assert said.status == 400
    assert MODEL in said.json["error"]["message"]
    assert said.json["error"]["param"] == "model"


@pytest.mark.parametrize("odd", ["a/b#c", "x@y", "../..", "%2e%2e", "\\", "a b", "\u0000", "é", "x" * 10_000])
async def test_odd_model_names_never_reach_an_upstream(bench: Bench, odd: str) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    said = await complete(gateway, model=odd)
    assert said.status == 400
    assert len(said.body) < 2_000
    assert box.requests == []


async def test_a_body_too_large_is_413_however_it_is_sent(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")], server={"max_body_bytes": 10_000})
    big = json.dumps(ask(extra="x" * 20_000)).encode()
    declared = await post(gateway, big)
    assert declared.status == 413
    assert "10,000" in declared.json["error"]["message"]
    async with talk(gateway) as conversation:
        await conversation.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
            % (len(big), big)
        )
        assert (await conversation.said()).status == 413
    assert box.requests == []


async def test_a_compressed_body_is_415(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    assert (await post(gateway, ask(), content_encoding="gzip")).status == 415


KEYED = {"auth": {"mode": "keys", "keys": [{"name": "laptop", "key_env": "LAPTOP"}]}}
SECRET = "sk-to-0123456789abcdefghij"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer ",
        "Bearer",
        "Bearer wrong-wrong-wrong",
        f"Basic {SECRET}",
        f"Bearer  x {SECRET}",
        f"Bearer {SECRET} x",
        "Bearer ' OR 1=1 --",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 50_000,
    ],
)
async def test_every_kind_of_bad_key_gets_the_same_401(bench: Bench, header: str | None) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")], environ={"LAPTOP": SECRET}, **KEYED)
    headers = {} if header is None else {"authorization": header}
    async with talk(gateway) as conversation:
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        body = json.dumps(ask()).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{''.join(lines)}\r\n"
        await conversation.send(head.encode("latin-1") + body)
        said = await conversation.said()
    reference = await post(gateway, ask(), authorization="Bearer nobody")
    assert said.status == reference.status == 401
    assert said.body == reference.body
    assert box.requests == []


async def test_the_right_key_serves_and_is_never_sent_on(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")], environ={"LAPTOP": SECRET}, **KEYED)
    said = await post(gateway, ask(), authorization=f"Bearer {SECRET}", cookie=f"k={SECRET}", x_api_key=SECRET)
    assert said.status == 200
    (seen,) = box.requests
    assert SECRET.encode() not in seen.body
    assert all(SECRET not in str(value) for _, value in seen.headers)


async def test_a_key_uses_only_its_models(bench: Bench) -> None:
    box = await bench.box()
    keys = [{"name": "laptop", "key_env": "LAPTOP", "models": ["deepseek/*"]}]
    gateway = await bench.gateway(
        [Offer(box, "only"), Offer(box, "more", model="deepseek/chat")],
        environ={"LAPTOP": SECRET},
        auth={"mode": "keys", "keys": keys},
    )
    refused = await post(gateway, ask(), authorization=f"Bearer {SECRET}")
    assert refused.status == 404
    assert "key" in refused.json["error"]["message"]
    assert (await post(gateway, ask() | {"model": "deepseek/chat"}, authorization=f"Bearer {SECRET}")).status == 200


# --- at the door ----------------------------------------------------------------------------------------


async def raw(gateway: Running, data: bytes) -> bytes:
    """Everything the gateway answers before it closes the connection (or goes quiet for a moment)."""
    async with talk(gateway) as conversation:
        await conversation.send(data)
        try:
            return await asyncio.wait_for(conversation.reader.read(-1), 2.0)
        except TimeoutError:
            return b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + b"x-a: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + b"x-a: " + b"y" * 70_000, 431),
        (b"POST /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            + b"".join(b"x-%d: y\r\n" % n for n in range(201))
            + b"\r\n",
            431,
        ),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
            400,
        ),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\nhost: x\n\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: b\x00c\r\n\r\n", 400),
    ],
)
async def test_a_head_that_is_too_much_or_ambiguous_is_refused_and_closed(
    bench: Bench, head: bytes, status: int
) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    answer = await raw(gateway, head)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == status
    assert (await complete(gateway)).status == 200


async def test_a_half_sent_head_is_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.edge.door.HEAD_SECONDS", 0.2)
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    assert await raw(gateway, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n") == b""
    async with talk(gateway) as conversation:
        await conversation.send(request(ask()))
        assert (await conversation.said()).status == 200
        await asyncio.sleep(0.4)
        await conversation.send(request(ask()))
        assert (await conversation.said()).status == 200, "an idle connection is not a half-sent head"
        await conversation.send(b"POST /v1/chat")
        assert await asyncio.wait_for(conversation.reader.read(-1), 2.0) == b""


async def test_a_stalled_body_is_408(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.edge.body.BODY_SECONDS", 0.2)
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    async with talk(gateway) as conversation:
        await conversation.send(request(ask())[:-20])
        assert (await conversation.said()).status == 408
    await eventually(lambda: gateway.gateway.core.in_flight == 0, "the stalled request is still counted")


async def test_requests_sent_at_once_on_one_connection_are_answered_in_turn(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)) + request(ask()) + request(b"{}"))
        assert [(await conversation.said()).status for _ in range(3)] == [200, 200, 400]
    assert len(box.requests) == 2


async def test_more_in_flight_than_allowed_is_503_at_once(bench: Bench) -> None:
    from providers.sandbox import Hang

    box = await bench.box()
    box.script(Hang())
    gateway = await bench.gateway([Offer(box, "only")], server={"max_in_flight": 1})
    async with talk(gateway) as waiting:
        await waiting.send(request(ask()))
        await box.until(lambda: len(box.requests) == 1)
        said = await complete(gateway)
        assert said.status == 503
        assert int(said.headers["retry-after"]) >= 1
    await eventually(lambda: gateway.gateway.core.in_flight == 0, "the request that left is still counted")
    assert (await complete(gateway)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/", 404), ("GET", "/v1/chat/completions", 404), ("POST", "/v1/models", 405)],
)
async def test_other_paths_say_what_there_is(bench: Bench, method: str, path: str, status: int) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    answer = await raw(gateway, f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == status


async def test_client_headers_stay_here_but_for_the_allowed(bench: Bench) -> None:
    plain, styled = await bench.box("moonshot"), await bench.box("openrouter")
    gateway = await bench.gateway([Offer(plain, "plain"), Offer(styled, "styled")])
    sent: dict[str, Any] = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "http_referer": "https://app.example",
        "x_title": "App",
        "x_forwarded_for": "10.0.0.1",
        "x_custom": "1",
        "cookie": "a=b",
        "openai_organization": "org-1",
    }
    for slug in ("plain", "styled"):
        await post(gateway, ask() | {"provider": {"only": [slug]}}, **sent)
    always = {
        "host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent",
        "traceparent",
    }  # fmt: skip
    names = [{str(name).lower() for name, _ in box.requests[0].headers} for box in (plain, styled)]
    assert names[0] == always
    assert names[1] == always | {"http-referer", "x-title"}


async def test_provider_headers_never_reach_the_client(bench: Bench) -> None:
    box = await bench.box("moonshot")
    gateway = await bench.gateway([Offer(box, "only")])
    for stream in (False, True):
        said = await complete(gateway, stream=stream)
        assert set(said.headers) <= {
            "content-type", "content-length", "transfer-encoding", "date", "x-generation-id", "cache-control",
            "x-accel-buffering",
        }  # fmt: skip


async def test_models_and_health_need_no_key(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")], environ={"LAPTOP": SECRET}, **KEYED)
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models", "/api/v1/models", f"/v1/models/{MODEL}"):
        assert (await get(gateway, path)).status == 200, path
    listing = (await get(gateway, "/v1/models")).json
    assert listing["object"] == "list"
    (model,) = listing["data"]
    assert (model["id"], model["object"], model["owned_by"]) == (MODEL, "model", "moonshotai")
    assert model["pricing"]["prompt"] == "0.000001"
    endpoints = (await get(gateway, f"/api/v1/models/{MODEL}/endpoints")).json["data"]["endpoints"]
    assert endpoints[0]["tag"] == "only"
    assert {"uptime_last_5m", "uptime_last_30m", "uptime_last_1d", "latency_last_30m", "throughput_last_30m"} <= set(
        endpoints[0]
    )
    missing = await get(gateway, "/v1/models/moonshotai/kimi-k2-thinkin")
    assert missing.status == 404
    assert MODEL in missing.json["error"]["message"]
