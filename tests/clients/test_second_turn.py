"""What a client got and sends back reaches the provider: reasoning in the field it reads, calls and results exact."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import sdk
from tests.clients.held import Json, accumulated, details_text
from tests.clients.lab import DIALECTS, QUESTION, Scene, lab
from tests.clients.scripts import ANSWERS
from tests.e2e.harness import Bench

FIELDS = ("reasoning", "reasoning_content", "reasoning_details")
SPOKEN = {name: ANSWERS[name] for name in ("rich", "awkward", "parallel")}


def conversation(scene: Scene, message: Any) -> list[Any]:
    """The question, the assistant's message as the client has it, and a result for each call."""
    ids = [call["id"] for call in scene.answer.expected_tool_calls]
    results = [{"role": "tool", "tool_call_id": id_, "content": f'{{"of":"{id_}"}} 18°\u2028'} for id_ in ids]
    return [*QUESTION, message, *results]


def check_upstream(scene: Scene, sent: Json, messages: list[Json]) -> None:
    """That the provider was sent `conversation(scene, sent)` in its own dialect."""
    user, assistant, *results = messages
    assert [user, *results] == [message for message in conversation(scene, None) if message is not None]
    assert assistant["role"] == "assistant"
    assert (assistant.get("content") or "") == scene.answer.content
    calls = [{key: call[key] for key in ("id", "type", "function")} for call in assistant["tool_calls"]]
    for call in calls:
        call["function"].pop("parsed_arguments", None)  # openai-python's helper adds it, and sends it
    assert calls == scene.answer.expected_tool_calls
    if scene.dialect == "openrouter":
        assert {field: assistant.get(field) for field in FIELDS} == {field: sent.get(field) for field in FIELDS}
        assert details_text(assistant) == scene.answer.reasoning
    else:
        told = {field: assistant[field] for field in FIELDS if field in assistant}
        assert told == {"reasoning_content": scene.answer.reasoning}


@pytest.mark.parametrize("name", SPOKEN)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_message_sent_back_as_it_was_got_reaches_the_provider_whole(
    bench: Bench, dialect: str, name: str
) -> None:
    scene = Scene(dialect, name, SPOKEN[name])
    place = await lab(bench, [scene])
    async with sdk.client(place.base_url) as openai:
        whole = await openai.chat.completions.create(model=scene.model, messages=QUESTION)
        async with openai.chat.completions.stream(model=scene.model, messages=QUESTION) as stream:
            helped = await stream.get_final_completion()
        by_hand = accumulated((await sdk.ask(openai, scene.model, "stream")).chunks)
        for message in (whole.choices[0].message, helped.choices[0].message, by_hand["choices"][0]["message"]):
            got = await sdk.ask(openai, scene.model, "whole", conversation(scene, message))
            assert got.error is None
            sent = message if isinstance(message, dict) else message.to_dict()
            check_upstream(scene, sent, place.received(scene)[-1].json["messages"])


@pytest.mark.parametrize("kept", FIELDS)
@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS if dialect != "openrouter"])
async def test_one_reasoning_field_is_enough_and_empty_ones_do_not_hide_it(
    bench: Bench, dialect: str, kept: str
) -> None:
    scene = Scene(dialect, "rich", SPOKEN["rich"])
    place = await lab(bench, [scene])
    empty = {"reasoning": "", "reasoning_content": None, "reasoning_details": []}
    async with sdk.client(place.base_url) as openai:
        got = await sdk.ask(openai, scene.model, "whole")
        assert got.completion is not None
        message = got.completion["choices"][0]["message"]
        for others in ({}, empty):
            bare = {key: value for key, value in message.items() if key not in FIELDS}
            sent = {**bare, **others, kept: message[kept]}
            await sdk.ask(openai, scene.model, "stream", conversation(scene, sent))
            check_upstream(scene, sent, place.received(scene)[-1].json["messages"])


async def test_details_sent_back_to_an_openrouter_style_provider_keep_an_empty_list(bench: Bench) -> None:
    scene = Scene("openrouter", "parallel", SPOKEN["parallel"])
    place = await lab(bench, [scene])
    async with sdk.client(place.base_url) as openai:
        got = await sdk.ask(openai, scene.model, "whole")
        assert got.completion is not None
        sent = {**got.completion["choices"][0]["message"], "reasoning_details": []}
        await sdk.ask(openai, scene.model, "whole", conversation(scene, sent))
    assistant = place.received(scene)[-1].json["messages"][1]
    assert assistant["reasoning_details"] == []
    assert assistant["reasoning"] == scene.answer.reasoning
