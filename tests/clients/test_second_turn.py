"""What a client got and sends back reaches the provider: reasoning in the field it reads, calls and results exact."""

from __future__ import annotations

import pytest

from tests.clients import openai_python
from tests.clients.held import accumulated
from tests.clients.lab import DIALECTS, QUESTION, Scene, lab
from tests.clients.second_turn import FIELDS, SPOKEN, check_upstream, conversation
from tests.e2e.harness import Bench


@pytest.mark.parametrize("name", SPOKEN)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_message_sent_back_as_it_was_got_reaches_the_provider_whole(
    bench: Bench, dialect: str, name: str
) -> None:
    scene = Scene(dialect, name, SPOKEN[name])
    place = await lab(bench, [scene])
    async with openai_python.client(place.base_url) as openai:
        whole = await openai.chat.completions.create(model=scene.model, messages=QUESTION)
        async with openai.chat.completions.stream(model=scene.model, messages=QUESTION) as stream:
            helped = await stream.get_final_completion()
        by_hand = accumulated((await openai_python.ask(openai, scene.model, "stream")).chunks)
        for message in (whole.choices[0].message, helped.choices[0].message, by_hand["choices"][0]["message"]):
            got = await openai_python.ask(openai, scene.model, "whole", conversation(scene, message))
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
    async with openai_python.client(place.base_url) as openai:
        got = await openai_python.ask(openai, scene.model, "whole")
        assert got.completion is not None
        message = got.completion["choices"][0]["message"]
        for others in ({}, empty):
            bare = {key: value for key, value in message.items() if key not in FIELDS}
            sent = {**bare, **others, kept: message[kept]}
            await openai_python.ask(openai, scene.model, "stream", conversation(scene, sent))
            check_upstream(scene, sent, place.received(scene)[-1].json["messages"])


async def test_details_sent_back_to_an_openrouter_style_provider_keep_an_empty_list(bench: Bench) -> None:
    scene = Scene("openrouter", "parallel", SPOKEN["parallel"])
    place = await lab(bench, [scene])
    async with openai_python.client(place.base_url) as openai:
        got = await openai_python.ask(openai, scene.model, "whole")
        assert got.completion is not None
        sent = {**got.completion["choices"][0]["message"], "reasoning_details": []}
        await openai_python.ask(openai, scene.model, "whole", conversation(scene, sent))
    assistant = place.received(scene)[-1].json["messages"][1]
    assert assistant["reasoning_details"] == []
    assert assistant["reasoning"] == scene.answer.reasoning
