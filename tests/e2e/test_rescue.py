"""A stream that breaks in the middle reaches its client whole, or ends in an error; and always as one answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import openai
import pytest

from providers.sandbox import (
    Answer,
    Cut,
    ErrorInStream,
    Hang,
    KeepAlive,
    MalformedJson,
    Tokens,
    ToolCall,
    content_filter,
    invalid_request,
    overloaded,
    server_error,
)
from tests.e2e.harness import MODEL, Bench, Offer, Running
from tests.e2e.talk import USER, Said, ask, complete, get, request, talk

WHOLE = Answer(
    content='It turns out  trains →\n\n```py\nprint("転轍機 🚆")\n```\n- one\n- two',
    reasoning="Points, frog, guard rails. 考える",
    tokens=Tokens(prompt=30, completion=40, reasoning=8),
)
CALLS = Answer(
    content="Let me look.",
    reasoning="Two look-ups.",
    tool_calls=(
        ToolCall("get_weather", '{"city": "Zürich", "note": "a \\"b\\" \\n"}', id="call_1"),
        ToolCall("get_weather", '{"city": "京都"}', id="call_2"),
    ),
)
QUICK = {"timeouts": {"first_token": 2, "idle": 0.3}, "retries": {"backoff": 0.01, "backoff_max": 0.02}}
EVENTS = sum(1 for _ in WHOLE.deltas())

PREFIXES = {"moonshot": "partial", "openrouter": "prefill", "openai": "continue_final_message", "cometapi": "none"}


async def pair(bench: Bench, second: str = "moonshot", first: str = "moonshot", **sections: Any) -> Any:
    """Two providers that would say the same; the first is asked first."""
    one, two = await bench.box(first), await bench.box(second)
    for box in (one, two):
        box.answer(WHOLE)
    offers = [Offer(one, "first", "2"), Offer(two, "second", "3", endpoint={"prefix": PREFIXES[second]})]
    gateway = await bench.gateway(offers, preferences={"default": {"order": ["first"]}}, **{**QUICK, **sections})
    return one, two, gateway


def reasoning(said: Said) -> str:
    return "".join(choice["delta"].get("reasoning") or "" for event in chunks(said) for choice in event["choices"])


def chunks(said: Said) -> list[Any]:
    return [event for event in said.events if event != "[DONE]"]


def is_one_answer(said: Said) -> None:
    """As if nothing had happened: one role, one finish, one usage, ids constant, `[DONE]` last."""
    events = chunks(said)
    assert said.events[-1] == "[DONE]"
    assert said.events.count("[DONE]") == 1
    assert len({event["id"] for event in events}) == 1
    assert len({event["created"] for event in events}) == 1
    choices = [choice for event in events for choice in event["choices"]]
    assert ["role" in choice["delta"] for choice in choices].count(True) == 1
    assert "role" in choices[0]["delta"]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] in (
        [["stop"], ["tool_calls"], ["length"]] if said.broke is None else [["error"]]
    )
    assert sum("usage" in event for event in events) == 1


async def counted(gateway: Running) -> dict[tuple[str, str], int]:
    """`turnout_rescues_total` by how and result."""
    metrics = gateway.gateway.metrics
    lines = metrics.render(gateway.gateway.core.setup.catalogue).decode().split("\n")
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if line.startswith("turnout_rescues_total{"):
            labels = dict(pair.split("=") for pair in line[line.index("{") + 1 : line.index("}")].split(","))
            found[labels["how"].strip('"'), labels["result"].strip('"')] += int(float(line.split(" ")[-1]))
    return dict(found)


# --- cut anywhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", PREFIXES)
async def test_cut_at_every_token_the_client_holds_the_whole_answer(bench: Bench, second: str) -> None:
    one, two, gateway = await pair(bench, second, health={"breaker_failures": 1000, "outage_min": 10**6})
    for at in range(1, EVENTS + 1):
        one.script(Cut(at, how="rst" if at % 2 else "fin", mid_event=at % 3 == 0))
        said = await complete(gateway, stream=True, stream_options={"include_usage": True})
        assert (said.broke, said.content, reasoning(said)) == (None, WHOLE.content, WHOLE.reasoning), at
        is_one_answer(said)
    assert (len(one.requests), len(two.requests)) == (EVENTS, EVENTS), "one call more for each cut"
    ways = Counter("continue" if b'"assistant"' in request.body else "replay" for request in two.requests)
    thinking = sum(delta.content is None for delta in WHOLE.deltas())
    onward = 0 if second == "cometapi" else EVENTS - thinking
    assert ways == {"replay": EVENTS - onward, **({"continue": onward} if onward else {})}


@pytest.mark.parametrize("second", ["moonshot", "cometapi"])
async def test_tool_calls_cut_at_every_token_arrive_whole(bench: Bench, second: str) -> None:
    one, two, gateway = await pair(bench, second, health={"breaker_failures": 1000, "outage_min": 10**6})
    for interleave in (False, True):
        calls = replace(CALLS, interleave=interleave)
        one.answer(calls)
        two.answer(calls)
        for at in range(1, sum(1 for _ in calls.deltas()) + 1):
            one.script(Cut(at))
            said = await complete(gateway, stream=True)
            assert said.broke is None, at
            is_one_answer(said)
            assert held_calls(said) == calls.expected_tool_calls
            assert (said.content, reasoning(said)) == (calls.content, calls.reasoning)


def held_calls(said: Said) -> list[Any]:
    held: dict[int, Any] = {}
    for event in chunks(said):
        for choice in event["choices"]:
            for call in choice["delta"].get("tool_calls") or []:
                if call["index"] not in held:
                    held[call["index"]] = {"id": call["id"], "type": call["type"], "function": dict(call["function"])}
                else:
                    assert "id" not in call
                    held[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    return [held[index] for index in sorted(held)]


BREAKS: dict[str, Any] = {
    "stall": lambda: Hang(12),
    "stall behind comments": lambda: KeepAlive(every=0.05, after=12),
    "malformed event": lambda: MalformedJson(12),
    "no done and no finish": lambda: Cut(12, how="end"),
    "error in the stream": lambda: ErrorInStream(12),
    "error by its finish": lambda: ErrorInStream(12, shape="finish_error"),
    "short of its length": lambda: Cut(12, how="length"),
    "inside a chunk": lambda: Cut(12, how="chunk"),
}


@pytest.mark.parametrize("second", ["moonshot", "cometapi"])
@pytest.mark.parametrize("name", BREAKS)
async def test_however_it_breaks_the_sdk_holds_the_whole_answer(bench: Bench, name: str, second: str) -> None:
    one, two, gateway = await pair(bench, second)
    one.always(BREAKS[name]())
    got = ""
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=USER, stream=True)
        async for chunk in stream:
            got += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert got == WHOLE.content
    assert (len(one.requests), len(two.requests)) == (1, 1)


# --- what is asked ----------------------------------------------------------------------------------------


async def test_the_rest_is_asked_for_with_the_beginning_and_what_is_left_of_max_tokens(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.script(Cut(12))
    said = await complete(gateway, stream=True, max_tokens=1000, stop=["\n\n\n"], temperature=0.5)
    assert said.content == WHOLE.content
    asked = two.requests[0].json
    *before, begun = asked["messages"]
    assert before == USER
    assert begun == {
        "role": "assistant",
        "content": begun["content"],
        "partial": True,
        "reasoning_content": WHOLE.reasoning,
    }
    assert begun["content"]
    assert WHOLE.content.startswith(begun["content"])
    assert 900 < asked["max_tokens"] < 1000
    assert asked["stop"] == ["\n\n\n"]
    one.script(Cut(12))
    await complete(gateway, stream=True, max_tokens=1)
    assert two.requests[1].json["max_tokens"] == 1


async def test_a_prefix_that_may_not_stand_beside_a_format_is_not_tried(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.script(Cut(12))
    said = await complete(gateway, stream=True, response_format={"type": "json_object"})
    assert said.content == WHOLE.content
    assert two.requests[0].json["messages"] == USER
    assert two.requests[0].json["response_format"] == {"type": "json_object"}


async def test_white_space_that_an_upstream_loses_is_neither_sent_nor_said_twice(bench: Bench) -> None:
    one, two, gateway = await pair(bench, "openrouter")
    words = Answer(content="one  two\n\n three", content_fragments=("one  ", "two\n", "\n", " three"))
    for box in (one, two):
        box.answer(words)
    for at, sent in ((1, "one"), (2, "one  two"), (3, "one  two")):
        one.script(Cut(at))
        said = await complete(gateway, stream=True)
        assert (said.broke, said.content) == (None, words.content)
        assert two.requests[-1].json["messages"][-1]["content"] == sent


async def test_usage_and_cost_are_the_sum_and_the_metadata_tells_how(bench: Bench) -> None:
    one, _, gateway = await pair(bench)
    one.script(Cut(12))
    said = await complete(gateway, stream=True, headers={"x_openrouter_metadata": "enabled"})
    (usage,) = [event["usage"] for event in chunks(said) if "usage" in event]
    told = said.metadata
    broke, went_on = told["attempts"]
    assert (broke["result"], broke["rescue"], went_on["result"], went_on["rescue"]) == (
        "broken",
        None,
        "success",
        "continue",
    )
    assert told["rescues"] == [{"how": "continue", "result": "success", "broke": "first", "by": "second"}]
    assert usage["completion_tokens"] > WHOLE.tokens.completion
    row = await ledger_row(gateway, said.headers["x-generation-id"])
    assert (row["tokens_prompt"], row["tokens_completion"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert Decimal(str(row["total_cost"])) == Decimal(str(usage["cost"]))
    details = usage["cost_details"]
    parts = (details[f"upstream_inference_{part}_cost"] for part in ("prompt", "completions"))
    assert sum(Decimal(str(part)) for part in parts) == Decimal(str(usage["cost"]))
    assert await counted(gateway) == {("continue", "success"): 1}


async def ledger_row(gateway: Running, generation: str) -> Any:
    said = await get(gateway, f"/v1/generation?id={generation}")
    assert said.status == 200, said.body
    return said.json["data"]


# --- where it cannot be ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 3, 8, 12, 20])
async def test_a_replay_that_differs_ends_in_an_error_with_the_text_untouched(bench: Bench, at: int) -> None:
    one, two, gateway = await pair(bench, "cometapi")
    cut = Cut(at)
    one.always(cut)
    two.answer(replace(WHOLE, reasoning="Other thoughts", content="Another answer"))
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert said.broke["metadata"]["provider_name"] == "First"
    is_one_answer(said)
    assert WHOLE.content.startswith(said.content)
    assert WHOLE.reasoning.startswith(reasoning(said))
    assert await counted(gateway) == {("replay", "diverged"): 1}
    assert (len(one.requests), len(two.requests)) == (1, 1)
    assert gateway.gateway.health.ratio(endpoint(gateway, "second"), 300) is None, "nobody's failure"


def endpoint(gateway: Running, tag: str) -> Any:
    models = gateway.gateway.core.setup.catalogue.models
    return next(one for one in models[MODEL].endpoints if one.tag == tag)


@pytest.mark.parametrize("refusal", [invalid_request, lambda: invalid_request("prefix mode is not supported")])
async def test_a_refused_prefix_falls_to_replay_and_is_nobodys_failure(bench: Bench, refusal: Any) -> None:
    one, two, gateway = await pair(bench)
    one.script(Cut(12))
    two.script(refusal())
    said = await complete(gateway, stream=True, headers={"x_openrouter_metadata": "enabled"})
    assert (said.broke, said.content) == (None, WHOLE.content)
    is_one_answer(said)
    assert [request.json["messages"][-1]["role"] for request in two.requests] == ["assistant", "user"]
    assert await counted(gateway) == {("replay", "success"): 1}
    assert gateway.gateway.health.ratio(endpoint(gateway, "second"), 300) == 1.0
    two.script(refusal(), server_error())
    one.script(Cut(12), server_error())
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert said.broke["metadata"]["provider_name"] == "First", "never the refusal of what the client did not ask"


async def test_a_content_policy_refusal_is_not_routed_around(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.always(Cut(12))
    two.always(content_filter())
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert (len(one.requests), len(two.requests)) == (1, 1)
    assert said.broke["metadata"]["previous_errors"][0]["code"] == "content_policy_violation"


SIGNED = ('[{"type":"reasoning.text","text":"Points","signature":"c2ln","format":"anthropic-claude-v1","index":0}]',)
SEALED = ('[{"type":"reasoning.encrypted","data":"gAAA","format":"openai-responses-v1","index":0}]',)


@pytest.mark.parametrize("details", [SIGNED, SEALED])
async def test_signed_reasoning_is_never_pretended_to_be_replayed(bench: Bench, details: tuple[str, ...]) -> None:
    one, two, gateway = await pair(bench, "openrouter", "openrouter")
    signed = replace(WHOLE, reasoning="Points", reasoning_details=details, reasoning_fragments=("Points",))
    for box in (one, two):
        box.answer(signed)
    one.always(Cut(6))
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert len(two.requests) == 0
    assert await counted(gateway) == {("none", "impossible"): 1}


async def test_several_choices_are_not_guessed_at(bench: Bench) -> None:
    one, two, gateway = await pair(bench, "openai", "openai")
    one.always(Cut(12))
    said = await complete(gateway, stream=True, n=2)
    assert said.broke is not None
    assert len(two.requests) == 0


@pytest.mark.parametrize("rules", [{"mode": "off"}, {"max_per_request": 0}])
async def test_where_rescue_is_off_a_break_is_an_error(bench: Bench, rules: dict[str, Any]) -> None:
    one, two, gateway = await pair(bench, rescue=rules)
    one.always(Cut(12))
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert len(two.requests) == 0
    assert await counted(gateway) == {}


@pytest.mark.parametrize("most", [1, 2])
async def test_a_stream_is_carried_on_so_many_times(bench: Bench, most: int) -> None:
    boxes = [await bench.box() for _ in range(3)]
    for box in boxes:
        box.answer(WHOLE)
    boxes[0].always(Cut(12))
    boxes[1].always(Cut(3))
    gateway = await bench.gateway(
        [Offer(box, f"p{number}", str(number + 1)) for number, box in enumerate(boxes)],
        preferences={"default": {"order": ["p0", "p1", "p2"]}},
        rescue={"max_per_request": most},
        **QUICK,
    )
    said = await complete(gateway, stream=True)
    is_one_answer(said)
    assert (said.broke is None) == (most == 2)
    assert WHOLE.content.startswith(said.content)
    assert len(boxes[2].requests) == most - 1
    assert (said.content == WHOLE.content) == (most == 2)


# --- who is asked -----------------------------------------------------------------------------------------


async def test_the_one_that_broke_is_asked_again_only_where_nobody_else_is_left(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.script(Cut(12))
    two.always(overloaded())
    said = await complete(gateway, stream=True)
    assert (said.broke, said.content) == (None, WHOLE.content)
    assert (len(one.requests), len(two.requests)) == (2, 1)


async def test_a_rescue_runs_on_into_the_fallback_models(bench: Bench) -> None:
    one, two = await bench.box(), await bench.box()
    for box in (one, two):
        box.answer(WHOLE)
    one.always(Cut(12))
    gateway = await bench.gateway(
        [Offer(one, "first"), Offer(two, "second", model="moonshotai/kimi-k2")],
        models={MODEL: {"fallbacks": ["moonshotai/kimi-k2"]}},
        **QUICK,
    )
    said = await complete(gateway, stream=True)
    assert (said.broke, said.content) == (None, WHOLE.content)
    is_one_answer(said)
    assert len(one.requests) == 1


async def test_without_fallbacks_only_the_same_endpoint_carries_on(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.script(Cut(12))
    said = await complete(gateway, stream=True, provider={"allow_fallbacks": False})
    assert (said.broke, said.content) == (None, WHOLE.content)
    assert (len(one.requests), len(two.requests)) == (2, 0)


async def test_a_whole_answer_that_breaks_is_asked_elsewhere(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.always(Cut(12))
    said = await complete(gateway)
    assert said.content == WHOLE.content
    assert (len(one.requests), len(two.requests)) == (1, 1)


# --- providers that promise too much ----------------------------------------------------------------------


@pytest.mark.parametrize("at", [9, 12, 20, 24, EVENTS])
async def test_a_provider_that_takes_a_prefix_and_starts_over_is_found_out(bench: Bench, at: int) -> None:
    one, two = await bench.box(), await bench.box("cometapi")
    for box in (one, two):
        box.answer(replace(WHOLE, reasoning=""))
    one.always(Cut(at))
    gateway = await bench.gateway(
        [Offer(one, "first"), Offer(two, "second", endpoint={"prefix": "prefill"})],
        preferences={"default": {"order": ["first"]}},
        **QUICK,
    )
    said = await complete(gateway, stream=True)
    assert (said.broke, said.content) == (None, WHOLE.content)
    is_one_answer(said)
    assert len(await counted(gateway)) == 1


async def test_one_that_starts_over_with_another_answer_is_refused(bench: Bench) -> None:
    one, two = await bench.box(), await bench.box("cometapi")
    one.answer(replace(WHOLE, reasoning=""))
    two.answer(replace(WHOLE, reasoning="", content=WHOLE.content[:40] + "something else altogether"))
    one.always(Cut(20))
    gateway = await bench.gateway(
        [Offer(one, "first"), Offer(two, "second", endpoint={"prefix": "prefill"})],
        preferences={"default": {"order": ["first"]}},
        **QUICK,
    )
    said = await complete(gateway, stream=True)
    assert said.broke is not None
    assert WHOLE.content.startswith(said.content)


# --- leaving ----------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_while_a_rescue_is_set_up_leaves_nothing(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.always(Cut(12))
    two.always(Hang())
    async with talk(gateway) as conversation:
        await conversation.send(request(ask(True)))
        await conversation.head()
        async with asyncio.timeout(5):
            await two.until(lambda: len(two.requests) == 1)
    await two.until(lambda: two.answering == 0, within=1.5)


async def test_a_shutdown_while_a_rescue_is_set_up_ends_the_stream_with_an_error(bench: Bench) -> None:
    one, two, gateway = await pair(bench)
    one.always(Cut(12))
    two.always(Hang())
    task = asyncio.get_running_loop().create_task(complete(gateway, stream=True))
    await two.until(lambda: len(two.requests) == 1)
    gateway.gateway.core.interrupt_all()
    said = await task
    assert said.broke is not None
    is_one_answer(said)
