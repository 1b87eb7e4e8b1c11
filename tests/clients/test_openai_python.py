"""openai-python holds exactly what the provider said, whatever the dialect, the spelling and the way it asks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from openai import OpenAI

from tests.clients import openai_python
from tests.clients.held import WAYS, Got, script_of, stream_faults
from tests.clients.lab import DIALECTS, QUESTION, Scene, lab
from tests.clients.scripts import EVERY_SCENE, RICH
from tests.e2e.harness import Bench

SIGNED = replace(
    RICH,
    reasoning_details=(
        '[{"type":"reasoning.text","text":"Zwei","format":"anthropic-claude-v1","index":0,"signature":null}]',
        '[ {"index":0, "type":"reasoning.text", "signature":"c2ln\\u003d\\u003d", "format":"anthropic-claude-v1"} ]',
        '[{"type":"reasoning.encrypted","data":"gAAA\\/==","id":"rs_1","format":"openai-responses-v1","index":1},'
        '{"type":"reasoning.never-seen","n":1.50,"deep":{"b":[1,{}],"a":null},"index":2}]',
    ),
)


@pytest.mark.parametrize("scene", EVERY_SCENE, ids=lambda scene: scene.slug)
async def test_the_client_holds_the_script(bench: Bench, scene: Scene) -> None:
    place = await lab(bench, [scene])
    async with openai_python.client(place.base_url) as openai:
        got = {way: await openai_python.ask(openai, scene.model, way) for way in WAYS}
    assert {way: one.held() for way, one in got.items()} == dict.fromkeys(WAYS, script_of(scene))
    faults = {way: stream_faults(one.chunks, way.endswith("+usage")) for way, one in got.items() if one.chunks}
    assert faults == {way: [] for way in WAYS if way != "whole"}
    assert all(request.json.get("stream_options") for request in place.received(scene) if request.json.get("stream"))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_synchronous_client_holds_the_script_too(bench: Bench, dialect: str) -> None:
    scene = Scene(dialect, "rich", RICH)
    place = await lab(bench, [scene])

    def both() -> list[Got]:
        with OpenAI(base_url=place.base_url, api_key=openai_python.KEY, timeout=30) as openai:
            asked = {"model": scene.model, "messages": QUESTION}
            whole = openai.chat.completions.create(**asked)
            with openai.chat.completions.create(**asked, stream=True) as stream:
                return [Got(whole.to_dict()), Got(chunks=[chunk.to_dict() for chunk in stream])]

    assert [got.held() for got in await asyncio.to_thread(both)] == [script_of(scene)] * 2


@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS if dialect != "openrouter"])
async def test_each_reasoning_delta_carries_its_fragment_in_all_three_fields(bench: Bench, dialect: str) -> None:
    scene = Scene(dialect, "rich", RICH)
    place = await lab(bench, [scene])
    async with openai_python.client(place.base_url) as openai:
        got = await openai_python.ask(openai, scene.model, "stream")
    deltas = [choice["delta"] for chunk in got.chunks for choice in chunk["choices"]]
    told = [delta for delta in deltas if delta.get("reasoning")]
    texts = [delta.reasoning for delta in RICH.deltas() if delta.reasoning is not None]
    assert [delta["reasoning"] for delta in told] == texts
    assert [delta["reasoning_content"] for delta in told] == texts
    entry = {"type": "reasoning.text", "format": "unknown", "index": 0}
    assert [delta["reasoning_details"] for delta in told] == [[{**entry, "text": text}] for text in texts]


async def test_signed_encrypted_and_unknown_reasoning_details_arrive_unchanged_and_in_order(bench: Bench) -> None:
    scene = Scene("openrouter", "signed", SIGNED)
    place = await lab(bench, [scene])
    async with openai_python.client(place.base_url) as openai:
        whole = await openai_python.ask(openai, scene.model, "whole")
        stream = await openai_python.ask(openai, scene.model, "stream")
    given = [json.loads(array) for array in SIGNED.reasoning_details]
    assert whole.completion is not None
    message = whole.completion["choices"][0]["message"]
    # Compared as text, so that the order of keys counts.
    assert json.dumps(message["reasoning_details"]) == json.dumps([item for array in given for item in array])
    deltas = [choice["delta"] for chunk in stream.chunks for choice in chunk["choices"]]
    seen = [delta["reasoning_details"] for delta in deltas if delta.get("reasoning_details")]
    assert json.dumps(seen[: len(given)]) == json.dumps(given)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_excluded_reasoning_is_hidden_and_still_counted(bench: Bench, dialect: str) -> None:
    scene = Scene(dialect, "rich", RICH)
    place = await lab(bench, [scene])
    hidden = {"reasoning": "", "reasoning_content": "", "details": ""}
    async with openai_python.client(place.base_url) as openai:
        for way in WAYS:
            got = await openai_python.ask(openai, scene.model, way, extra_body={"reasoning": {"exclude": True}})
            assert got.held() == {**script_of(scene), **hidden}, way
