"""Keys, limits, and the record of what was done, over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC
from typing import Any

import pytest

from providers.sandbox import Answer, Hang, Tokens, server_error
from tests.e2e.harness import MODEL, Bench, Offer, Running, eventually
from tests.e2e.talk import Said, ask, get, post, talk

ADMIN = "sk-admin-0123456789abcdef"
LAPTOP = "sk-to-0123456789abcdefghij"
OTHER = "sk-to-zyxwvutsrqponmlkjihg"
ENVIRON = {"TURNOUT_ADMIN_KEY": ADMIN, "LAPTOP": LAPTOP, "OTHER": OTHER}
COSTLY = Answer(content="ok", tokens=Tokens(prompt=100_000, completion=100_000))


def keyed(**laptop: Any) -> dict[str, Any]:
    keys = [{"name": "laptop", "key_env": "LAPTOP", **laptop}, {"name": "other", "key_env": "OTHER"}]
    return {"auth": {"mode": "keys", "keys": keys}}


async def gateway_with(bench: Bench, answer: Answer = COSTLY, **laptop: Any) -> Running:
    box = await bench.box()
    box.answer(answer)
    return await bench.gateway([Offer(box, "only")], environ=ENVIRON, **keyed(**laptop))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def complete(gateway: Running, key: str = LAPTOP, **extra: Any) -> Said:
    return await post(gateway, ask(**extra), **bearer(key))


async def call(gateway: Running, method: str, path: str, body: Any = None, key: str = ADMIN) -> Said:
    data = b"" if body is None else json.dumps(body).encode()
    async with talk(gateway) as conversation:
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        await conversation.send(head.encode() + data)
        return await conversation.said()


async def test_a_generation_is_told_to_its_own_key_and_the_administrator_only(bench: Bench) -> None:
    gateway = await gateway_with(bench)
    id_ = (await complete(gateway)).json["id"]
    path = f"/v1/generation?id={id_}"
    own = await get(gateway, path, **bearer(LAPTOP))
    assert own.status == 200
    told = own.json["data"]
    assert (told["id"], told["model"], told["provider_name"]) == (id_, MODEL, "Only")
    assert (told["tokens_prompt"], told["tokens_completion"]) == (100_000, 100_000)
    assert told["total_cost"] == pytest.approx(0.2)
    assert [attempt["result"] for attempt in told["attempts"]] == ["success"]
    assert (await get(gateway, path, **bearer(ADMIN))).json["data"]["id"] == id_
    assert (await get(gateway, path, **bearer(OTHER))).status == 404
    assert (await get(gateway, path)).status == 401
    assert (await get(gateway, "/v1/generation?id=gen-nothing", **bearer(LAPTOP))).status == 404


async def test_every_attempt_is_in_the_generation(bench: Bench) -> None:
    bad, good = await bench.box(), await bench.box()
    bad.always(server_error())
    gateway = await bench.gateway([Offer(bad, "bad"), Offer(good, "good")], preferences={"default": {"order": ["bad"]}})
    said = await post(gateway, ask(), x_title="My app", http_referer="https://app.example")
    told = (await get(gateway, f"/v1/generation?id={said.headers['x-generation-id']}")).json["data"]
    assert [(attempt["provider"], attempt["result"]) for attempt in told["attempts"]] == [
        ("Bad", "server_fault"),
        ("Good", "success"),
    ]
    assert told["http_referer"] == "https://app.example"
    assert told["openrouter_metadata"]["attempt"] == 2


async def test_a_budget_of_five_requests_serves_five_of_a_hundred_at_once(bench: Bench) -> None:
    answer = Answer(content="ok", tokens=Tokens(prompt=100_000, completion=100_000))
    gateway = await gateway_with(bench, answer, limit_usd=1)
    big = [{"role": "user", "content": "word " * 80_000}]
    sent = [complete(gateway, messages=big, max_tokens=100_000) for _ in range(100)]
    said = await asyncio.gather(*sent)
    served = [one for one in said if one.status == 200]
    refused = [one for one in said if one.status == 402]
    assert len(served) + len(refused) == 100
    assert 1 <= len(served) <= 5
    error = refused[0].json["error"]
    assert error["type"] == "payment_required"
    assert "laptop" in error["message"]
    assert "$1 in all" in error["message"]
    assert refused[0].headers["x-should-retry"] == "false"


async def test_what_was_spent_is_the_sum_of_the_ledger(bench: Bench) -> None:
    gateway = await gateway_with(bench, limit_usd=10, limit_reset="daily")
    for _ in range(3):
        assert (await complete(gateway)).status == 200
    key = (await get(gateway, "/v1/key", **bearer(LAPTOP))).json["data"]
    assert key["usage"] == key["usage_daily"] == pytest.approx(0.6)
    assert key["limit"] == 10
    assert key["limit_remaining"] == pytest.approx(9.4)
    assert key["limit_reset"] == "daily"
    credits_ = (await get(gateway, "/api/v1/credits", **bearer(LAPTOP))).json["data"]
    assert credits_ == {"total_credits": 10.0, "total_usage": pytest.approx(0.6)}


async def test_a_client_that_leaves_before_an_answer_pays_nothing_and_frees_its_reservation(bench: Bench) -> None:
    box = await bench.box()
    box.always(Hang())
    gateway = await bench.gateway([Offer(box, "only")], environ=ENVIRON, **keyed(limit_usd=1))
    for _ in range(5):
        async with talk(gateway) as conversation:
            data = json.dumps(ask(max_tokens=200_000)).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {LAPTOP}\r\n"
            await conversation.send(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
            count = len(box.requests)
            await box.until(lambda count=count: len(box.requests) > count or box.answering > 0)
        await eventually(lambda: gateway.gateway.core.in_flight == 0, "still in flight")
    box.always(None)
    assert (await complete(gateway, max_tokens=200_000)).status == 200


async def test_requests_a_minute_are_counted_and_refused_ones_are_not(bench: Bench) -> None:
    gateway = await gateway_with(bench, rpm=3)
    said = [await complete(gateway) for _ in range(6)]
    assert [one.status for one in said] == [200, 200, 200, 429, 429, 429]
    assert 1 <= int(said[-1].headers["retry-after"]) <= 60
    assert said[-1].headers["x-ratelimit-limit"] == "3"
    assert said[-1].headers["x-ratelimit-remaining"] == "0"
    assert (await complete(gateway, OTHER)).status == 200


async def test_the_administrator_makes_changes_and_deletes_keys(bench: Bench) -> None:
    gateway = await gateway_with(bench)
    made = await call(gateway, "POST", "/v1/keys", {"name": "ci", "limit": 5, "limit_reset": "weekly", "rpm": 60})
    assert made.status == 201
    secret, record = made.json["key"], made.json["data"]
    assert secret.startswith("sk-to-")
    assert secret not in json.dumps(record)
    assert (record["limit"], record["limit_reset"], record["rpm"]) == (5, "weekly", 60)
    assert (await complete(gateway, secret)).status == 200
    path = f"/v1/keys/{record['hash']}"
    patched = (await call(gateway, "PATCH", path, {"limit": 7})).json["data"]
    assert (patched["limit"], patched["limit_reset"], patched["rpm"], patched["name"]) == (7, "weekly", 60, "ci")
    listed = (await call(gateway, "GET", "/v1/keys")).json["data"]
    assert {key["name"] for key in listed} == {"laptop", "other", "ci"}
    assert (await call(gateway, "PATCH", path, {"disabled": True})).status == 200
    assert (await complete(gateway, secret)).status == 401
    assert (await call(gateway, "PATCH", path, {"disabled": False, "models": ["deepseek/*"]})).status == 200
    assert (await complete(gateway, secret)).status == 404
    assert (await call(gateway, "DELETE", path)).json["deleted"] is True
    assert (await complete(gateway, secret)).status == 401
    assert (await call(gateway, "GET", path)).status == 404


async def test_an_expired_key_is_refused_like_any_other(bench: Bench) -> None:
    gateway = await gateway_with(bench)
    body = {"name": "old", "expires_at": "2020-01-01T00:00:00Z"}
    secret = (await call(gateway, "POST", "/v1/keys", body)).json["key"]
    expired, wrong = await complete(gateway, secret), await complete(gateway, "sk-to-nobody")
    assert expired.status == wrong.status == 401
    assert expired.body == wrong.body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": 3}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x", "limit": -1}, "limit"),
        ({"name": "x", "limit": "much"}, "limit"),
        ({"name": "x", "limit_reset": "hourly"}, "limit_reset"),
        ({"name": "x", "rpm": 0}, "rpm"),
        ({"name": "x", "expires_at": "tomorrow"}, "expires_at"),
        ([], None),
    ],
)
async def test_a_bad_key_request_is_400_and_says_where(bench: Bench, body: Any, param: str | None) -> None:
    gateway = await gateway_with(bench)
    said = await call(gateway, "POST", "/v1/keys", body)
    assert said.status == 400, said.body
    assert said.json["error"]["param"] == param


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys/abc"),
        ("PATCH", "/v1/keys/abc"),
        ("DELETE", "/v1/keys/abc"),
        ("GET", "/v1/activity"),
        ("GET", "/api/v1/keys"),
        ("GET", "/api/v1/activity"),
    ],
)
@pytest.mark.parametrize("key", ["", "nobody-at-all", LAPTOP])
async def test_only_the_administrator_reaches_keys_and_activity(bench: Bench, method: str, path: str, key: str) -> None:
    gateway = await gateway_with(bench)
    said = await call(gateway, method, path, {}, key)
    assert said.status == 401
    assert said.body == (await complete(gateway, "nobody")).body


async def test_keys_of_the_file_are_changed_in_the_file(bench: Bench) -> None:
    gateway = await gateway_with(bench)
    listed = (await call(gateway, "GET", "/v1/keys")).json["data"]
    laptop = next(key for key in listed if key["name"] == "laptop")
    assert laptop["static"]
    assert (await call(gateway, "DELETE", f"/v1/keys/{laptop['hash']}")).status == 409


async def test_activity_leaves_today_out_unless_asked_for(bench: Bench) -> None:
    gateway = await gateway_with(bench)
    await complete(gateway)
    assert (await call(gateway, "GET", "/v1/activity")).json["data"] == []
    from datetime import datetime

    today = f"{datetime.now(UTC):%Y-%m-%d}"
    (row,) = (await call(gateway, "GET", f"/v1/activity?date={today}")).json["data"]
    assert (row["model"], row["provider_name"], row["requests"]) == (MODEL, "Only", 1)
    assert row["usage"] == pytest.approx(0.2)
    assert (await call(gateway, "GET", "/v1/activity?date=yesterday")).status == 400


async def test_a_conversation_stays_with_the_endpoint_that_has_it_cached(bench: Bench) -> None:
    cheap, dear = await bench.box(), await bench.box()
    for box in (cheap, dear):
        box.answer(Answer(content="ok", tokens=Tokens(prompt=1000, cached=500, completion=10)))
    gateway = await bench.gateway([Offer(cheap, "cheap"), Offer(dear, "dear")])
    first = (await post(gateway, ask(session_id="s1"))).json["provider"]
    for _ in range(10):
        assert (await post(gateway, ask(session_id="s1"))).json["provider"] == first
    others = {(await post(gateway, ask(session_id=f"s{n}"))).json["provider"] for n in range(2, 40)}
    assert others == {"Cheap", "Dear"}
