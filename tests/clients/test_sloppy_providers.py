"""A provider's sloppy stream reaches the strictest clients as a right one, and nothing of it is lost."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.clients import openai_python
from tests.clients.held import script_of, stream_faults
from tests.clients.lab import DIALECTS, lab
from tests.clients.openai_node import Scenario, needs_node, play
from tests.clients.sloppy import sloppy_scenes
from tests.e2e.harness import Bench

WAYS = ("stream", "helper+usage")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_openai_python_takes_a_sloppy_stream_for_a_right_one(bench: Bench, dialect: str) -> None:
    scenes = sloppy_scenes(dialect)
    place = await lab(bench, scenes)
    async with openai_python.client(place.base_url, max_retries=0) as openai:
        for scene, way in itertools.product(scenes, WAYS):
            got = await openai_python.ask(openai, scene.model, way)
            assert got.held() == script_of(scene), (scene.slug, way)
            assert stream_faults(got.chunks, way.endswith("+usage")) == [], (scene.slug, way)


@needs_node
async def test_openai_node_takes_a_sloppy_stream_for_a_right_one(bench: Bench, tmp_path: Path) -> None:
    scenes = [scene for dialect in ("openai", "openrouter") for scene in sloppy_scenes(dialect)]
    place = await lab(bench, scenes)
    asked = list(itertools.product(scenes, WAYS))
    played = await play(place, tmp_path, [Scenario(scene.model, way, retries=0) for scene, way in asked])
    for (scene, way), one in zip(asked, played, strict=True):
        assert one.got.held() == script_of(scene), (scene.slug, way)
        assert stream_faults(one.got.chunks, way.endswith("+usage")) == [], (scene.slug, way)
