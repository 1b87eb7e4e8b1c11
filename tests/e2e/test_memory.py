"""Reasoning that a client does not send back is restored by the gateway; what one issuer signed no other is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.sandbox import Answer, Cut, Sandbox, ToolCall, server_error
from tests.e2e.harness import Bench, Offer
from tests.e2e.talk import Said, ask, post
from tests.e2e.test_rescue import PREFIXES, held_calls

THOUGHT = 'Two cities — "京都" and\nZürich.'
CALL = Answer(content="", reasoning=THOUGHT, tool_calls=(ToolCall("weather", '{"city": "京都"}', id="call_1"),))
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
USER = {"role": "user", "content": "Weather?"}
BARE = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "4 °C"}


def assistant(box: Sandbox) -> dict[str, Any]:
    """The assistant's message as the provider got it."""
    return next(message for message in box.requests[-1].json["messages"] if message["role"] == "assistant")


async def first_turn(gateway: Any, stream: bool) -> Said:
    return await post(gateway, ask(stream, messages=[USER], tools=TOOLS))


async def second_turn(gateway: Any, message: dict[str, Any], **extra: Any) -> Said:
    return await post(gateway, ask(messages=[USER, message, RESULT], tools=TOOLS, **extra))


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_is_restored_for_a_client_that_sends_none_back(bench: Bench, stream: bool) -> None:
    box = await bench.box("moonshot")
    box.answer(CALL)
    gateway = await bench.gateway([Offer(box, "only")])
    assert (await first_turn(gateway, stream)).status == 200
    assert (await second_turn(gateway, BARE)).status == 200
    assert assistant(box)["reasoning_content"] == THOUGHT


async def test_reasoning_of_one_provider_is_restored_at_another(bench: Bench) -> None:
    styled, plain = await bench.box("openrouter"), await bench.box("moonshot")
    styled.answer(CALL)
    gateway = await bench.gateway(
        [Offer(styled, "styled"), Offer(plain, "plain")], preferences={"default": {"order": ["styled"]}}
    )
    assert (await first_turn(gateway, True)).status == 200
    styled.always(server_error())
    assert (await second_turn(gateway, BARE)).status == 200
    assert assistant(plain)["reasoning_content"] == THOUGHT


async def test_what_the_client_sends_wins_over_the_memory(bench: Bench) -> None:
    box = await bench.box("moonshot")
    box.answer(CALL)
    gateway = await bench.gateway([Offer(box, "only")])
    await first_turn(gateway, False)
    await second_turn(gateway, {**BARE, "reasoning_content": "My own."})
    assert assistant(box)["reasoning_content"] == "My own."


@pytest.mark.parametrize("kind", ["moonshot", "cometapi", "openai"])
async def test_a_client_that_kept_the_last_piece_of_a_stream_alone_is_helped_out(bench: Bench, kind: str) -> None:
    box = await bench.box(kind)
    box.answer(CALL)
    gateway = await bench.gateway([Offer(box, "only")])
    said = await first_turn(gateway, True)
    deltas = [choice["delta"] for event in said.events[:-1] for choice in event["choices"]]
    last = [delta for delta in deltas if delta.get("reasoning")][-1]
    assert len(last["reasoning"]) < len(THOUGHT)
    pieces = {name: value for name, value in last.items() if name.startswith("reasoning")}
    assert (await second_turn(gateway, {**BARE, **pieces})).status == 200
    assert assistant(box)["reasoning_content"] == THOUGHT


async def test_one_clients_memory_is_not_anothers(bench: Bench) -> None:
    keys = [{"name": name, "key_env": name.upper()} for name in ("one", "two")]
    secrets = {"ONE": "sk-to-0123456789abcdefghij", "TWO": "sk-to-zyxwvutsrqponmlkjihg"}
    box = await bench.box("moonshot")
    box.answer(CALL)
    gateway = await bench.gateway([Offer(box, "only")], environ=secrets, auth={"mode": "keys", "keys": keys})
    turn = ask(messages=[USER], tools=TOOLS)
    assert (await post(gateway, turn, authorization=f"Bearer {secrets['ONE']}")).status == 200
    box.answer(Answer(content="4 °C"))  # with no call of the same id, which would be the other's own
    second = ask(messages=[USER, BARE, RESULT], tools=TOOLS)
    assert (await post(gateway, second, authorization=f"Bearer {secrets['TWO']}")).status == 200
    assert assistant(box)["reasoning_content"].strip() == ""
    assert (await post(gateway, second, authorization=f"Bearer {secrets['ONE']}")).status == 200
    assert assistant(box)["reasoning_content"] == THOUGHT
    cut = ask(messages=[USER, {**BARE, "reasoning": THOUGHT[-4:]}, RESULT], tools=TOOLS)
    for name, reaches in (("TWO", THOUGHT[-4:]), ("ONE", THOUGHT)):
        assert (await post(gateway, cut, authorization=f"Bearer {secrets[name]}")).status == 200
        assert assistant(box)["reasoning_content"] == reaches


def answer_of(name: str) -> Answer:
    """What every provider says, under call ids of its own."""
    calls = [ToolCall("weather", f'{{"city": "{city}"}}', id=f"{name}_{city}") for city in ("京都", "Zürich")]
    return Answer(content="I shall look at both.", reasoning=THOUGHT, tool_calls=tuple(calls), fragment=4)


@pytest.mark.parametrize("second", ["moonshot", "cometapi"])  # one carries on, the other says all of it again
async def test_reasoning_of_a_rescued_answer_is_restored_by_the_ids_its_client_saw(bench: Bench, second: str) -> None:
    one, two = await bench.box("moonshot"), await bench.box(second)
    offers = [Offer(one, "first"), Offer(two, "second", endpoint={"prefix": PREFIXES[second]})]
    never = {"breaker_failures": 1000, "outage_min": 10**6}
    gateway = await bench.gateway(offers, preferences={"default": {"order": ["first"]}}, health=never)
    for at in range(1, sum(1 for _ in answer_of("one").deltas()) + 1):
        one.script(Cut(at, of=answer_of(f"one{at}")))
        two.answer(answer_of(f"two{at}"))
        said = await first_turn(gateway, True)
        assert said.broke is None, at
        calls = held_calls(said)
        for kept in ([calls[0]], [calls[1]]):  # each by itself, so that neither is found by the other
            results = [{**RESULT, "tool_call_id": call["id"]} for call in kept]
            bare = {**BARE, "tool_calls": kept}
            one.script(Answer(content="4 °C"))
            assert (await post(gateway, ask(messages=[USER, bare, *results], tools=TOOLS))).status == 200
            assert assistant(one)["reasoning_content"] == THOUGHT, (at, kept)


SIGNED = [
    {"type": "reasoning.text", "text": "Hm.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "c2lnbmVk", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "ZW5j", "format": "anthropic-claude-v1", "index": 1},
]


async def test_signed_blocks_go_back_to_their_issuer_only(bench: Bench) -> None:
    one, two = await bench.box("openrouter"), await bench.box("openrouter")
    details = tuple(json.dumps([entry]) for entry in SIGNED)
    one.answer(Answer(content="", reasoning_details=details, tool_calls=CALL.tool_calls))
    gateway = await bench.gateway([Offer(one, "one"), Offer(two, "two")], preferences={"default": {"order": ["one"]}})
    said = await first_turn(gateway, True)
    held = [
        entry
        for event in said.events[:-1]
        for choice in event["choices"]
        for entry in choice["delta"].get("reasoning_details", [])
    ]
    assert held == SIGNED
    merged = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2lnbmVk", "format": "anthropic-claude-v1", "index": 0},
        SIGNED[2],
    ]
    one.always(server_error())
    assert (await second_turn(gateway, {**BARE, "reasoning_details": merged})).status == 200
    assert "reasoning_details" not in assistant(two)
    one.always(None)
    assert (await second_turn(gateway, {**BARE, "reasoning_details": merged})).status == 200
    assert assistant(one)["reasoning_details"] == merged


@pytest.mark.parametrize("stream", [False, True])
async def test_signed_blocks_are_given_back_to_their_issuer_for_a_client_that_knows_none(
    bench: Bench, stream: bool
) -> None:
    one, two = await bench.box("openrouter"), await bench.box("openrouter")
    details = tuple(json.dumps([entry]) for entry in SIGNED)
    one.answer(Answer(content="", reasoning="Hm.", reasoning_details=details, tool_calls=CALL.tool_calls))
    gateway = await bench.gateway([Offer(one, "one"), Offer(two, "two")], preferences={"default": {"order": ["one"]}})
    assert (await first_turn(gateway, stream)).status == 200
    for text, whole in (("Hm.", "Hm."), ("m.", "Hm.")):
        assert (await second_turn(gateway, {**BARE, "reasoning_content": text})).status == 200
        sent = assistant(one)
        assert (sent["reasoning_content"], "".join(e.get("text", "") for e in sent["reasoning_details"])) == (
            whole,
            "Hm.",
        )
        proofs = [entry.get("signature") or entry["data"] for entry in sent["reasoning_details"]]
        assert [proof for proof in proofs if proof] == ["c2lnbmVk", "ZW5j"]
    assert (await second_turn(gateway, {**BARE, "reasoning_content": "My own."})).status == 200
    assert assistant(one) == {**BARE, "reasoning_content": "My own."}
    one.always(server_error())
    assert (await second_turn(gateway, {**BARE, "reasoning_content": "Hm."})).status == 200
    assert assistant(two) == {**BARE, "reasoning_content": "Hm."}
