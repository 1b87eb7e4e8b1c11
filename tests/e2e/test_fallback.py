"""A failing first choice costs the client nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest

from providers.sandbox import (
    Answer,
    Cut,
    Empty,
    ErrorInStream,
    Hang,
    KeepAlive,
    MalformedJson,
    Phase,
    Reset,
    Sandbox,
    bad_key,
    content_filter,
    context_exceeded,
    html_502,
    invalid_request,
    model_retired,
    overloaded,
    quota,
    rate_limited,
    server_error,
)
from tests.e2e.harness import MODEL, Bench, Offer
from tests.e2e.talk import USER, complete

WHOLE = Answer(content="It turns out trains → 転轍機 🚆", reasoning="Points, frog, guard rails.")

FAULTS: dict[str, Callable[[], Any]] = {
    "refuse": lambda: None,
    "hang": Hang,
    "hang_after_head": lambda: Hang(Phase.HEAD),
    "hang_after_role": lambda: Hang(Phase.ROLE),
    "reset": Reset,
    "500": server_error,
    "502_html": html_502,
    "503": overloaded,
    "429": lambda: rate_limited(1),
    "401": bad_key,
    "no_credit": quota,
    "404": model_retired,
    "empty": Empty,
    "no_choices": lambda: Empty("choices"),
    "no_body": lambda: Empty("body"),
    "malformed": MalformedJson,
    "cut": Cut,
    "cut_rst": lambda: Cut(how="rst"),
    "error_in_200": ErrorInStream,
    "error_body_in_200": lambda: ErrorInStream(shape="body"),
}
EVER_AGAIN = {"breaker_failures": 10**6, "outage_min": 10**6, "uptime_min_requests": 10**6}
"""Health that never learns, so that the first choice is tried, and fails, every time."""

REQUESTS = 1_000 // len(FAULTS)


async def break_(box: Sandbox, fault: str) -> None:
    if fault == "refuse":
        await box.refuse()
    else:
        box.always(FAULTS[fault]())


@pytest.mark.parametrize("dialect", ["moonshot", "openrouter"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_every_request_is_answered_while_the_first_choice_fails(bench: Bench, fault: str, dialect: str) -> None:
    bad, good = await bench.box(dialect), await bench.box("moonshot")
    good.answer(WHOLE)
    # Silence is waited for; the good one, which answers at once, must never be taken for silent by a busy machine.
    patience = 1.5 if fault.startswith("hang") else 30
    gateway = await bench.gateway(
        [Offer(bad, "first", price="0.1"), Offer(good, "second", price="9")],
        timeouts={"first_token": patience, "idle": patience},
        health=EVER_AGAIN,
        preferences={"default": {"order": ["first"]}},
    )
    await break_(bad, fault)
    room = asyncio.Semaphore(40)

    async def one(number: int) -> None:
        async with room:
            said = await complete(gateway, stream=number % 2 == 0)
        assert said.status == 200, said.body
        assert said.content == WHOLE.content
        if number % 2 == 0:
            assert said.broke is None
            assert said.events[-1] == "[DONE]"

    await asyncio.gather(*(one(number) for number in range(REQUESTS)))
    assert len(good.requests) == REQUESTS
    assert fault == "refuse" or bad.requests, "the first choice was never tried"


@pytest.mark.parametrize("how", ["fin", "rst", "chunk", "end"])
@pytest.mark.parametrize("mid_event", [False, True])
async def test_a_stream_cut_after_content_raises_in_the_sdk(bench: Bench, how: Any, mid_event: bool) -> None:
    box, other = await bench.box(), await bench.box()
    box.answer(WHOLE)
    box.always(Cut(8, how=how, mid_event=mid_event))
    gateway = await bench.gateway([Offer(box, "first", "0.1"), Offer(other, "second", "9")], rescue={"mode": "off"})
    got = ""
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=USER, stream=True, extra_body={"provider": {"order": ["first"]}}
        )
        with pytest.raises(openai.APIError):  # noqa: PT012 - what came before the error is looked at too
            async for chunk in stream:
                got += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert WHOLE.content.startswith(got)
    assert len(other.requests) == 0, "an answer that had begun was begun again elsewhere"


async def test_a_broken_stream_ends_in_one_error_chunk_of_openrouters_shape(bench: Bench) -> None:
    box = await bench.box()
    box.answer(WHOLE)
    box.always(Cut(8))
    gateway = await bench.gateway([Offer(box, "first")], rescue={"mode": "off"})
    said = await complete(gateway, stream=True)
    *_, last, done = said.events
    assert done == "[DONE]"
    assert last["error"]["code"] == 502
    assert last["error"]["metadata"]["provider_name"] == "First"
    (choice,) = last["choices"]
    assert (choice["index"], choice["delta"], choice["finish_reason"]) == (0, {"content": ""}, "error")
    assert sum("error" in event for event in said.events[:-1]) == 1


async def test_silence_in_the_middle_ends_after_idle_though_comments_go_on(bench: Bench) -> None:
    box = await bench.box()
    box.answer(WHOLE)
    box.always(KeepAlive(every=0.05, after=8))
    gateway = await bench.gateway([Offer(box, "first")], timeouts={"idle": 0.4}, rescue={"mode": "off"})
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert said.broke["code"] == 504


@pytest.mark.parametrize(
    ("fault", "status", "error_type"),
    [
        (invalid_request("messages: bad"), 400, "invalid_request"),
        (content_filter(), 400, "content_policy_violation"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_clients_own_mistakes_are_returned_after_one_call(
    bench: Bench, fault: Any, status: int, error_type: str, stream: bool
) -> None:
    box, other = await bench.box(), await bench.box()
    box.always(fault)
    gateway = await bench.gateway(
        [Offer(box, "first"), Offer(other, "second")], preferences={"default": {"order": ["first"]}}
    )
    said = await complete(gateway, stream=stream)
    assert said.status == status
    assert said.json["error"]["type"] == error_type
    assert said.json["error"]["metadata"]["provider_name"] == "First"
    assert said.headers["x-should-retry"] == "false"
    assert (len(box.requests), len(other.requests)) == (1, 0)


async def test_a_prompt_too_long_for_one_goes_on_to_more_room_only(bench: Bench) -> None:
    small, same, large = await bench.box(), await bench.box(), await bench.box()
    small.always(context_exceeded(100_000))
    large.answer(WHOLE)
    gateway = await bench.gateway(
        [
            Offer(small, "small", endpoint={"context_length": 100_000}),
            Offer(same, "same", endpoint={"context_length": 100_000}),
            Offer(large, "large", endpoint={"context_length": 200_000}),
        ],
        preferences={"default": {"order": ["small", "same", "large"]}},
    )
    said = await complete(gateway)
    assert said.content == WHOLE.content
    assert (len(small.requests), len(same.requests), len(large.requests)) == (1, 0, 1)


async def test_the_metadata_tells_every_attempt_and_every_exclusion(bench: Bench) -> None:
    bad, good, dear = await bench.box(), await bench.box(), await bench.box()
    bad.always(server_error())
    good.answer(WHOLE)
    gateway = await bench.gateway(
        [Offer(bad, "bad"), Offer(good, "good"), Offer(dear, "dear", price="50")],
        preferences={"default": {"order": ["bad"]}},
    )
    for stream in (False, True):
        said = await complete(
            gateway,
            stream=stream,
            headers={"x_openrouter_metadata": "enabled"},
            provider={"max_price": {"prompt": 10}, "wishes": 3},
        )
        told = said.metadata
        assert told["requested"] == MODEL
        assert told["attempt"] == 2
        assert [(one["provider"], one["status"], one["result"]) for one in told["attempts"]] == [
            ("Bad", 500, "server_fault"),
            ("Good", 200, "success"),
        ]
        rows = {row["tag"]: row for row in told["endpoints"]["available"]}
        assert rows["good"]["selected"]
        assert not rows["bad"]["selected"]
        assert rows["dear"]["excluded_by"] == "max_price"
        assert rows["good"]["expected_cost"] > 0
        assert told["ignored_preferences"] == ["wishes"]


async def test_without_the_header_there_is_no_metadata(bench: Bench) -> None:
    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    assert b"openrouter_metadata" not in (await complete(gateway)).body
    assert b"openrouter_metadata" not in (await complete(gateway, stream=True)).body


async def test_allow_fallbacks_false_stays_with_the_first(bench: Bench) -> None:
    bad, good = await bench.box(), await bench.box()
    bad.always(model_retired())
    gateway = await bench.gateway([Offer(bad, "bad"), Offer(good, "good")])
    said = await complete(gateway, provider={"order": ["bad"], "allow_fallbacks": False})
    assert said.status == 404
    assert len(good.requests) == 0


async def test_fallback_models_follow_when_all_of_the_first_fail(bench: Bench) -> None:
    bad, good = await bench.box(), await bench.box()
    bad.always(server_error())
    good.answer(WHOLE)
    gateway = await bench.gateway(
        [Offer(bad, "bad"), Offer(good, "good", model="moonshotai/kimi-k2")],
        models={MODEL: {"fallbacks": ["moonshotai/kimi-k2"]}},
        retries={"backoff": 0.01, "backoff_max": 0.02},
    )
    said = await complete(gateway)
    assert said.json["model"] == "moonshotai/kimi-k2"
    assert said.json["provider"] == "Good"
    assert len(bad.requests) == 2, "the best endpoint gets one more try before its model is left"
    named = await complete(gateway, models=["moonshotai/kimi-k2"])
    assert named.status == 200
    alone = await complete(gateway, models=[MODEL])
    assert alone.status == 502, "a request that names its own fallbacks does not get the catalogue's"


async def test_all_failed_tells_the_last_error_and_those_before(bench: Bench) -> None:
    one, two = await bench.box(), await bench.box()
    one.always(server_error())
    two.always(rate_limited(7))
    gateway = await bench.gateway(
        [Offer(one, "one"), Offer(two, "two")], preferences={"default": {"order": ["one", "two"]}},
        retries={"backoff": 0.01, "backoff_max": 0.02},
    )  # fmt: skip
    said = await complete(gateway)
    error = said.json["error"]
    assert error["code"] == said.status
    told = [error["metadata"]["provider_name"], *(one["provider"] for one in error["metadata"]["previous_errors"])]
    assert set(told) == {"One", "Two"}


async def test_every_attempt_rate_limited_is_429_with_retry_after(bench: Bench) -> None:
    box = await bench.box()
    box.always(rate_limited(7))
    gateway = await bench.gateway([Offer(box, "only")])
    said = await complete(gateway)
    assert said.status == 429
    assert said.headers["retry-after"] == "7"
    assert len(box.requests) == 1, "seven seconds are longer than a request waits"
