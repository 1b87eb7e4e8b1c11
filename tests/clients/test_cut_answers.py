"""However a provider's answer ends before its end, and at whichever event, no SDK takes it for a whole one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from providers.sandbox import Answer, Cut, Tokens, ToolCall
from tests.clients import openai_python
from tests.clients.lab import DIALECTS, Scene, lab
from tests.clients.roster import CLIENTS, play
from tests.clients.table import given
from tests.e2e.harness import Bench

SHORT = Answer(
    reasoning="Erst denken …",
    content="Grüße \u2028 \U0001f686 aus Zürich",
    tool_calls=(ToolCall("get_weather", '{"city":"Zürich"}'), ToolCall("run", "{}")),
    tokens=Tokens(prompt=9),
    fragment=5,
)
POSITIONS = range(len(list(SHORT.deltas())) + 1)
"""Events of content before the end; the last one is before the finish reason."""
ENDS = {
    "fin": Cut(0, "fin"),
    "fin-in-event": Cut(0, "fin", mid_event=True),
    "rst": Cut(0, "rst"),
    "chunk": Cut(0, "chunk"),
    "length": Cut(0, "length"),
    "end": Cut(0, "end"),
    "end-in-event": Cut(0, "end", mid_event=True),
}


def cut_scenes() -> list[Scene]:
    """Every end at every position, the dialects taking turns."""
    dialects = itertools.cycle(DIALECTS)
    return [
        Scene(next(dialects), f"{name}-{position}", SHORT, replace(cut, after_events=position, of=SHORT))
        for name, cut in ENDS.items()
        for position in POSITIONS
    ]


@pytest.mark.parametrize("way", ["stream", "helper"])
async def test_openai_python_raises(bench: Bench, way: str) -> None:
    scenes = cut_scenes()
    place = await lab(bench, scenes)
    async with openai_python.client(place.base_url, max_retries=0) as openai:
        for scene in scenes:
            got = await openai_python.ask(openai, scene.model, way)
            assert got.error is not None, scene.slug
            assert got.completion is None, scene.slug
            deltas = [choice["delta"] for chunk in got.chunks for choice in chunk["choices"]]
            for field, whole in (("reasoning", SHORT.reasoning), ("content", SHORT.content)):
                shown = "".join(delta.get(field) or "" for delta in deltas)
                assert whole.startswith(shown), (scene.slug, shown)


@pytest.mark.parametrize("name", ["@openrouter/ai-sdk-provider", "@ai-sdk/openai-compatible"])
async def test_the_ai_sdk_raises(bench: Bench, tmp_path: Path, name: str) -> None:
    client = next(client for client in CLIENTS if client.name == name)
    if client.missing is not None:
        pytest.skip(client.missing)
    scenes = cut_scenes()
    place = await lab(bench, scenes)
    plan = given((client, scene, "stream") for scene in scenes)
    played = await play(client, place.base_url, plan, tmp_path)
    whole = [scene.slug for scene, held in zip(scenes, played, strict=True) if held["first"] or not held["error"]]
    assert whole == []
