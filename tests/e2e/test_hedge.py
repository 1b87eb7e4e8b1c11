"""Over real sockets: a provider that is slow to begin costs seconds, and one that is down is back in use soon after."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

from providers.sandbox import Answer, Hang, KeepAlive, Phase, Slow, server_error
from tests.e2e.harness import MODEL, Bench, Offer, Running
from tests.e2e.talk import USER, ask, complete, request, talk

WHOLE = Answer(content="It turns out trains → 転轍機 🚆", reasoning="Points, frog, guard rails.")
SOON = {"hedge": {"after": 0.2}, "timeouts": {"first_token": 8, "idle": 5}}


async def pair(bench: Bench, **sections: Any) -> Any:
    one, two = await bench.box(), await bench.box("cometapi")
    for box in (one, two):
        box.answer(WHOLE)
    gateway = await bench.gateway(
        [Offer(one, "first", "2"), Offer(two, "second", "3")],
        preferences={"default": {"order": ["first"]}},
        **{**SOON, **sections},
    )
    return one, two, gateway


SLOW: dict[str, Any] = {
    "never an answer": Hang,
    "head and no more": lambda: Hang(Phase.HEAD),
    "first token late": lambda: Slow(first_token=6),
    "comments for ever": lambda: KeepAlive(every=0.05),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", SLOW)
async def test_the_second_answers_and_the_first_is_closed_within_a_second(
    bench: Bench, name: str, stream: bool
) -> None:
    one, two, gateway = await pair(bench)
    one.always(SLOW[name]())
    loop = asyncio.get_running_loop()
    began = loop.time()
    said = await complete(gateway, stream=stream, headers={"x_openrouter_metadata": "enabled"})
    assert loop.time() - began < 3
    assert said.content == WHOLE.content
    await one.until(lambda: one.answering == 0, within=1)
    assert (len(one.requests), len(two.requests)) == (1, 1)
    told = [(one["provider"], one["result"], one["hedged"]) for one in said.metadata["attempts"]]
    assert told == [("First", "cancelled", False), ("Second", "success", True)]
    first, second = said.metadata["attempts"]
    assert first["started"] < second["started"] < first["started"] + first["duration"] + 0.1, "they ran side by side"
    assert said.metadata["summary"].startswith("Second served")
    assert "failed" not in said.metadata["summary"]
    assert ratio(gateway, "first") is None, "it did not fail"
    exposition = gateway.gateway.metrics.render(gateway.gateway.core.setup.catalogue).decode()
    assert f'turnout_hedges_total{{model="{MODEL}",provider="second",result="won"}} 1.0' in exposition
    assert "turnout_fallbacks_total{" not in exposition, "nothing failed that had to be saved"


def ratio(gateway: Running, tag: str) -> float | None:
    endpoints = gateway.gateway.core.setup.catalogue.models[MODEL].endpoints
    return gateway.gateway.health.ratio(next(one for one in endpoints if one.tag == tag), 300)


@pytest.mark.parametrize("stream", [True, False])
async def test_never_two_answers_in_one(bench: Bench, stream: bool) -> None:
    one, two, gateway = await pair(bench, hedge={"after": 0.05})
    for box in (one, two):
        box.always(Slow(first_token=0.1, between=0.002))
    for _ in range(20):
        said = await complete(gateway, stream=stream)
        assert said.content == WHOLE.content
        if stream:
            assert sum("role" in choice["delta"] for event in said.events[:-1] for choice in event["choices"]) == 1


async def test_the_sdk_waits_for_one_answer_only(bench: Bench) -> None:
    one, _, gateway = await pair(bench)
    one.always(Slow(first_token=6))
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=USER)
        assert answer.choices[0].message.content == WHOLE.content
        stream = await client.chat.completions.create(model=MODEL, messages=USER, stream=True)
        got = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(got) == WHOLE.content


async def test_where_it_is_off_nobody_is_started(bench: Bench) -> None:
    one, two, gateway = await pair(bench, hedge={"after": "off"})
    one.always(Slow(first_token=1))
    assert (await complete(gateway, stream=True)).content == WHOLE.content
    assert len(two.requests) == 0


async def test_a_client_that_leaves_closes_both(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    for box in (one, two):
        box.always(Hang())
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)))
        await two.until(lambda: len(two.requests) == 1)
    await one.until(lambda: one.answering == 0, within=1.5)
    await two.until(lambda: two.answering == 0, within=1.5)


async def test_a_hedge_that_wins_and_breaks_is_carried_on_by_the_slow_one(bench: Bench) -> None:
    from providers.sandbox import Cut

    one, two, gateway = await pair(bench)
    one.script(Slow(first_token=6))
    two.always(Cut(9))
    said = await complete(gateway, stream=True)
    assert (said.broke, said.content) == (None, WHOLE.content)
    assert (len(one.requests), len(two.requests)) == (2, 1)


async def test_a_provider_that_was_down_is_in_use_again_and_nobody_noticed(bench: Bench) -> None:
    one, two, gateway = await pair(
        bench, hedge={"after": "off"}, health={"breaker_failures": 2, "breaker_ejection": 0.5, "outage_window": 1}
    )
    one.always(server_error())
    for number in range(20):
        if number == 8:
            one.always(None)
        said = await complete(gateway, stream=number % 2 == 0)
        assert said.content == WHOLE.content
        await asyncio.sleep(0.15)
    back = [request for request in one.requests]
    assert len(back) <= 20
    before = len(two.requests)
    await complete(gateway)
    assert len(two.requests) == before, "the first is asked first again"
