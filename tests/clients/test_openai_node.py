"""openai-node holds exactly what the provider said, sends it back whole, and throws the right error."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.clients.failing import CUT_SCENES, check_cut, check_fault, expected, fault_scenes
from tests.clients.held import WAYS, accumulated, reduced, script_of, stream_faults
from tests.clients.lab import DIALECTS, Scene, lab
from tests.clients.openai_node import Scenario, needs_node, play
from tests.clients.scripts import EVERY_SCENE
from tests.clients.second_turn import SPOKEN, check_upstream, conversation
from tests.e2e.harness import Bench

pytestmark = needs_node

REASONING = ("reasoning", "reasoning_content", "details")


async def test_the_client_holds_the_script(bench: Bench, tmp_path: Path) -> None:
    place = await lab(bench, EVERY_SCENE)
    asked = list(itertools.product(EVERY_SCENE, WAYS))
    played = await play(place, tmp_path, [Scenario(scene.model, way) for scene, way in asked])
    for (scene, way), one in zip(asked, played, strict=True):
        held, script = one.got.held(), script_of(scene)
        if way.startswith("helper"):
            # finalChatCompletion keeps of a field it does not know only the last delta's; its chunks have it all.
            told = reduced(accumulated(one.got.chunks))
            held |= {name: told[name] for name in REASONING}
        assert held == script, (scene.slug, way)
        if way != "whole":
            assert stream_faults(one.got.chunks, way.endswith("+usage")) == [], (scene.slug, way)


async def test_a_message_sent_back_as_it_was_got_reaches_the_provider_whole(bench: Bench, tmp_path: Path) -> None:
    scenes = [Scene(dialect, name, answer) for dialect in DIALECTS for name, answer in SPOKEN.items()]
    place = await lab(bench, scenes)
    asked = list(itertools.product(scenes, ("whole", "stream")))
    played = await play(
        place,
        tmp_path,
        [Scenario(scene.model, way, results=conversation(scene, None)[2:]) for scene, way in asked],
    )
    for index, ((scene, way), one) in enumerate(zip(asked, played, strict=True)):
        assert one.got.error is None, (scene.slug, way, one.got.error)
        assert one.sent is not None
        # Two requests a scenario, and two scenarios a scene.
        second = place.received(scene)[1 + 2 * (index % 2)]
        check_upstream(scene, one.sent, second.json["messages"])


async def test_an_answer_cut_in_its_middle_is_an_error_never_a_short_answer(bench: Bench, tmp_path: Path) -> None:
    place = await lab(bench, CUT_SCENES)
    asked = list(itertools.product(CUT_SCENES, ("stream", "helper", "whole")))
    played = await play(place, tmp_path, [Scenario(scene.model, way, retries=0) for scene, way in asked])
    for (scene, way), one in zip(asked, played, strict=True):
        check_cut(scene, way, one.got)


async def test_a_refusal_is_the_right_class_and_asked_for_only_once(bench: Bench, tmp_path: Path) -> None:
    ways = ("whole", "stream", "helper")
    asked = [(scene, way) for way in ways for dialect in DIALECTS for scene in fault_scenes(dialect, f"-{way}")]
    place = await lab(bench, [scene for scene, _ in asked])
    # Where a retry may help, the client's own is switched off; where not, it must hold back by itself.
    scenarios = [Scenario(scene.model, way, retries=0 if expected(scene).retry else None) for scene, way in asked]
    played = await play(place, tmp_path, scenarios)
    for (scene, _), one in zip(asked, played, strict=True):
        check_fault(place, scene, one.got)
