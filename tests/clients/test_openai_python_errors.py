"""openai-python raises the right error: cut answers, refusals of providers, refusals of the gateway itself."""

from __future__ import annotations

import pytest

from providers.sandbox import Answer, server_error
from tests.clients import openai_python
from tests.clients.failing import CUT_SCENES, check_cut, check_fault, expected, fault_scenes
from tests.clients.lab import DIALECTS, Scene, lab
from tests.e2e.harness import Bench


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_cut_in_its_middle_is_an_error_never_a_short_answer(bench: Bench, dialect: str) -> None:
    scenes = [scene for scene in CUT_SCENES if scene.dialect == dialect]
    place = await lab(bench, scenes)
    async with openai_python.client(place.base_url, max_retries=0) as openai:
        for scene in scenes:
            for way in ("stream", "stream+usage", "helper", "whole"):
                check_cut(scene, way, await openai_python.ask(openai, scene.model, way))


@pytest.mark.parametrize("way", ["whole", "stream", "helper"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_refusal_is_the_right_class_and_asked_for_only_once(bench: Bench, dialect: str, way: str) -> None:
    scenes = fault_scenes(dialect)
    place = await lab(bench, scenes)
    async with openai_python.client(place.base_url) as openai:
        for scene in scenes:
            # Where a retry may help, the client's own is switched off; where not, it must hold back by itself.
            client = openai.with_options(max_retries=0) if expected(scene).retry else openai
            check_fault(place, scene, await openai_python.ask(client, scene.model, way))


@pytest.mark.parametrize("way", ["whole", "stream"])
async def test_the_gateways_own_refusals_are_the_right_class(bench: Bench, way: str) -> None:
    scene = Scene("moonshot", "plain", Answer())
    keys = {"mode": "keys", "keys": [{"name": "laptop", "key_env": "LAPTOP"}]}
    offers = {"auth": keys, "server": {"max_body_bytes": 20_000}}
    place = await lab(bench, [scene], environ={"LAPTOP": openai_python.KEY}, **offers)
    async with openai_python.client(place.base_url) as openai:
        stranger = openai.with_options(api_key="sk-to-nobody")
        elsewhere = {"extra_body": {"provider": {"only": ["nowhere"]}}}
        long = {"extra_body": {"more": "x" * 20_000}}
        cases = {
            "AuthenticationError": (401, await openai_python.ask(stranger, scene.model, way)),
            "BadRequestError": (400, await openai_python.ask(openai, "lab/moonshot-plane", way)),
            "NotFoundError": (404, await openai_python.ask(openai, scene.model, way, **elsewhere)),
            "APIStatusError": (
                413,
                await openai_python.ask(openai, scene.model, way, **long),
            ),
        }
    for name, (status, got) in cases.items():
        assert got.error is not None, name
        assert (got.error["class"], got.error["status"], got.error["body"]["code"]) == (name, status, status)
        assert got.error["headers"]["x-should-retry"] == "false", name
    unknown = cases["BadRequestError"][1].error
    assert unknown is not None
    assert scene.model in unknown["message"]
    assert place.received(scene) == []


async def test_a_retry_that_may_help_is_left_to_the_client_and_helps(bench: Bench) -> None:
    scene = Scene("moonshot", "plain", Answer(content="at last"))
    place = await lab(bench, [scene])
    place.boxes["moonshot"].script(server_error(), server_error())
    async with openai_python.client(place.base_url, max_retries=1) as openai:
        got = await openai_python.ask(openai, scene.model, "whole")
    assert got.held()["content"] == "at last"
    assert len(place.received(scene)) == 3
