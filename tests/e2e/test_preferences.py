"""Every provider preference by live requests: who was asked, in which order, or why nobody was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from providers.sandbox import Answer, Sandbox, ToolCall, server_error
from router.policy import REGISTRY, STRATEGIES, Candidate
from tests.e2e.harness import MODEL, Bench, Offer, Running
from tests.e2e.talk import Said, ask, complete, post

OTHER = "moonshotai/kimi-k2"
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


async def three(bench: Bench, **sections: Any) -> tuple[Running, dict[str, Sandbox]]:
    """alpha: $1, int4, no tools, trains on data. beta: $2, fp8, tools, zdr. beta/turbo: $4. gamma: $3, for OTHER."""
    alpha, beta, gamma = await bench.box("openai"), await bench.box("openai"), await bench.box("openai")
    offers = [
        Offer(alpha, "alpha", "1", {"quantization": "int4", "supports": ["temperature", "max_tokens"]},
              {"data_policy": {"training": True}}),
        Offer(beta, "beta", "2", {"quantization": "fp8", "supports": ["temperature", "tools", "max_tokens"]},
              {"data_policy": {"training": False, "retention": False, "zdr": True}}),
        Offer(gamma, "gamma", "3", model=OTHER),
    ]  # fmt: skip
    turbo = {"provider": "beta", "variant": "turbo", "model": "kimi-turbo", "quantization": "fp8"}
    settings = {"retries": {"backoff": 0.01, "backoff_max": 0.02}, **sections}
    gateway = await bench.gateway(
        offers, add={MODEL: [{**turbo, "price": {"prompt": "4", "completion": "4"}}]}, **settings
    )
    return gateway, {"alpha": alpha, "beta": beta, "gamma": gamma}


def tried(said: Said) -> list[str]:
    """The tags of the attempts, in order."""
    return [attempt["tag"] for attempt in said.metadata["attempts"]]


async def with_preferences(gateway: Running, provider: dict[str, Any], **extra: Any) -> Said:
    return await complete(gateway, headers={"x_openrouter_metadata": "enabled"}, provider=provider, **extra)


FIRST: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("order", {"order": ["beta"], "ignore": ["beta/turbo"], "sort": "price"}, {}, "beta"),
    ("order by tag", {"order": ["beta/turbo"]}, {}, "beta/turbo"),
    ("order by display name", {"order": ["Beta"], "ignore": ["beta/turbo"]}, {}, "beta"),
    ("order skips the unknown", {"order": ["nobody", "beta/turbo"]}, {}, "beta/turbo"),
    ("order before sort", {"order": ["beta/turbo"], "sort": "price"}, {}, "beta/turbo"),
    ("sort price", {"sort": "price"}, {}, "alpha"),
    ("sort as an object", {"sort": {"by": "price"}}, {}, "alpha"),
    ("only", {"only": ["beta"], "sort": "price"}, {}, "beta"),
    ("only a variant", {"only": ["beta/turbo"]}, {}, "beta/turbo"),
    ("ignore", {"ignore": ["alpha"], "sort": "price"}, {}, "beta"),
    ("ignore a slug and all its variants", {"ignore": ["beta"]}, {}, "alpha"),
    ("only without ignored", {"only": ["alpha", "beta"], "ignore": ["alpha"], "sort": "price"}, {}, "beta"),
    ("quantizations", {"quantizations": ["fp8"], "sort": "price"}, {}, "beta"),
    ("data_collection", {"data_collection": "deny", "sort": "price"}, {}, "beta"),
    ("zdr", {"zdr": True, "sort": "price"}, {}, "beta"),
    ("max_price as number", {"max_price": {"prompt": 1}}, {}, "alpha"),
    ("max_price as string, inclusive", {"max_price": {"prompt": "2.00"}, "ignore": ["alpha"]}, {}, "beta"),
    ("max_price of the completion", {"max_price": {"completion": 2}, "ignore": ["alpha"]}, {}, "beta"),
    ("max_price against variants", {"max_price": {"prompt": 3}, "only": ["beta"]}, {}, "beta"),
    ("require_parameters", {"require_parameters": True, "sort": "price"}, {"tools": TOOLS}, "beta"),
    ("tools preferred without being required", {"sort": "price"}, {"tools": TOOLS}, "beta"),
    ("max_latency unknown is no miss", {"preferred_max_latency": 0.001, "sort": "price"}, {}, "alpha"),
    ("throughput that is met", {"preferred_min_throughput": {"p90": 0.001}, "sort": "price"}, {}, "alpha"),
    ("floor", {}, {"model": f"{MODEL}:floor"}, "alpha"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "extra", "first"), [c[1:] for c in FIRST], ids=[c[0] for c in FIRST])
async def test_who_is_asked_first(bench: Bench, provider: dict[str, Any], extra: dict[str, Any], first: str) -> None:
    gateway, _ = await three(bench)
    for _ in range(3):
        said = await with_preferences(gateway, provider, **extra)
        assert said.status == 200, said.body
        assert tried(said) == [first]


ORDER: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("order, then the rest by sort", {"order": ["beta/turbo"], "sort": "price"}, {}, ["beta/turbo", "alpha", "beta"]),
    ("sort", {"sort": "price"}, {}, ["alpha", "beta", "beta/turbo"]),
    ("sort and ignore", {"sort": "price", "ignore": ["beta/turbo"]}, {}, ["alpha", "beta"]),
    ("models in turn", {"sort": "price"}, {"models": [OTHER]}, ["alpha", "beta", "beta/turbo", "alpha", "gamma"]),
    (
        "models mixed by partition none",
        {"sort": {"by": "price", "partition": "none"}},
        {"models": [OTHER]},
        ["alpha", "beta", "gamma", "beta/turbo", "alpha"],
    ),
    ("no fallbacks", {"order": ["beta/turbo"], "allow_fallbacks": False}, {}, ["beta/turbo", "beta/turbo"]),
    ("no fallbacks of the draw", {"sort": "price", "allow_fallbacks": False}, {}, ["alpha", "alpha"]),
]


@pytest.mark.parametrize(("provider", "extra", "order"), [c[1:] for c in ORDER], ids=[c[0] for c in ORDER])
async def test_in_which_order_all_are_asked(
    bench: Bench, provider: dict[str, Any], extra: dict[str, Any], order: list[str]
) -> None:
    gateway, boxes = await three(bench, retries={"backoff": 0.01, "backoff_max": 0.02, "max_attempts": 20})
    for box in boxes.values():
        box.always(server_error())
    said = await with_preferences(gateway, provider, **extra)
    assert said.status == 502
    attempts = tried(said)
    # Before a model is left, its best endpoint is asked once more.
    assert attempts[: len(order)] == order
    assert attempts[len(order) :] in ([], ["alpha"], ["gamma"], ["beta/turbo"])


NOBODY: list[tuple[str, dict[str, Any], set[str]]] = [
    ("only of nobody", {"only": []}, {"only"}),
    ("only and ignore meet", {"only": ["beta"], "ignore": ["beta"]}, {"only", "ignore"}),
    ("order of ignored providers", {"order": ["beta"], "ignore": ["beta"]}, {"ignore", "order"}),
    (
        "order of ignored, no fallbacks",
        {"order": ["beta"], "ignore": ["beta"], "allow_fallbacks": False},
        {"ignore", "order"},
    ),
    ("order of unknown, no fallbacks", {"order": ["nobody"], "allow_fallbacks": False}, {"order"}),
    ("max_price", {"max_price": {"prompt": "0.5"}}, {"max_price"}),
    ("quantizations", {"quantizations": ["bf16"]}, {"quantizations"}),
    ("zdr and only", {"zdr": True, "only": ["alpha"]}, {"data_policy:zdr", "only"}),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "reasons"), [c[1:] for c in NOBODY], ids=[c[0] for c in NOBODY])
@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_left_is_404_with_what_excluded_each(
    bench: Bench, provider: dict[str, Any], reasons: set[str], stream: bool
) -> None:
    gateway, boxes = await three(bench)
    said = await complete(gateway, stream=stream, provider=provider)
    assert said.status == 404, said.body
    excluded = said.json["error"]["metadata"]["excluded"]
    assert {one["endpoint"] for one in excluded} == {"alpha", "beta", "beta/turbo"}
    assert {one["excluded_by"] for one in excluded} == reasons
    assert all(not box.requests for box in boxes.values())


async def test_what_the_file_forbids_a_request_cannot_allow(bench: Bench) -> None:
    forbidden = {"default": {"ignore": ["alpha"], "zdr": True, "data_collection": "deny", "only": ["alpha", "beta"]}}
    gateway, boxes = await three(bench, preferences=forbidden)
    wish = {"ignore": [], "zdr": False, "data_collection": "allow", "only": ["alpha", "beta", "gamma"], "sort": "price"}
    for _ in range(5):
        assert tried(await with_preferences(gateway, wish)) == ["beta"]
    assert (await with_preferences(gateway, {"only": ["alpha"]})).status == 404
    assert not boxes["alpha"].requests


async def test_a_model_s_preferences_lie_over_the_default_and_under_the_request(bench: Bench) -> None:
    layered = {"default": {"sort": "price"}, "models": {"moonshotai/*": {"order": ["beta/turbo"]}}}
    gateway, _ = await three(bench, preferences=layered)
    assert tried(await with_preferences(gateway, {})) == ["beta/turbo"]
    assert tried(await with_preferences(gateway, {"order": ["beta"], "ignore": ["beta/turbo"]})) == ["beta"]
    assert tried(await with_preferences(gateway, {"order": []})) == ["alpha"]


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"order": "alpha"}, "provider.order"),
    ({"order": [1]}, "provider.order.0"),
    ({"only": {}}, "provider.only"),
    ({"ignore": [None]}, "provider.ignore.0"),
    ({"allow_fallbacks": "no"}, "provider.allow_fallbacks"),
    ({"require_parameters": 1}, "provider.require_parameters"),
    ({"data_collection": "never"}, "provider.data_collection"),
    ({"zdr": "yes"}, "provider.zdr"),
    ({"quantizations": ["int3"]}, "provider.quantizations.0"),
    ({"sort": "beauty"}, "provider.sort"),
    ({"sort": {"by": "price", "partition": "some"}}, "provider.sort.partition"),
    ({"max_price": 3}, "provider.max_price"),
    ({"max_price": {"prompt": "cheap"}}, "provider.max_price.prompt"),
    ({"max_price": {"prompt": -1}}, "provider.max_price.prompt"),
    ({"preferred_max_latency": "fast"}, "provider.preferred_max_latency"),
    ({"preferred_min_throughput": {"p90": -3}}, "provider.preferred_min_throughput"),
]


@pytest.mark.parametrize(("provider", "path"), MALFORMED, ids=[case[1] + str(n) for n, case in enumerate(MALFORMED)])
async def test_a_malformed_preference_is_400_with_its_path(bench: Bench, provider: dict[str, Any], path: str) -> None:
    gateway, boxes = await three(bench)
    said = await complete(gateway, provider=provider)
    assert said.status == 400, said.body
    assert said.json["error"]["param"].startswith(path)
    assert path in said.json["error"]["message"]
    assert all(not box.requests for box in boxes.values())


async def test_one_users_mistakes_do_not_move_a_providers_health(bench: Bench) -> None:
    from providers.sandbox import invalid_request

    box = await bench.box()
    gateway = await bench.gateway([Offer(box, "only")])
    (endpoint,) = gateway.gateway.core.setup.catalogue.models[MODEL].endpoints
    health = gateway.gateway.health
    assert (await complete(gateway)).status == 200
    before = health.ratio(endpoint, 600), health.standing(endpoint).unavailable
    box.always(invalid_request("bad"))
    for _ in range(50):
        assert (await complete(gateway)).status == 400
    for body in (b"{", b"[]", ask(max_tokens=0), ask(provider={"order": 3})):
        assert (await post(gateway, body)).status == 400
    facts = health.facts(endpoint)
    assert (health.ratio(endpoint, 600), health.standing(endpoint).unavailable) == before == (1.0, None)
    assert (facts.failures, facts.ejections) == (0, 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_garbles_its_tool_calls_loses_its_place_in_the_balanced_draw_alone(
    bench: Bench, stream: bool
) -> None:
    garbling, dearer = await bench.box("openai"), await bench.box("openai")
    offers = [Offer(box, name, price, {"supports": ["tools"]}) for box, name, price in
              ((garbling, "garbling", "1"), (dearer, "dearer", "1.4"))]  # fmt: skip
    gateway = await bench.gateway(offers)
    core = gateway.gateway.core
    endpoints = core.setup.catalogue.models[MODEL].endpoints

    def first(strategy: str) -> str:
        # How fast they were on this machine is not the question.
        standings = [msgspec.structs.replace(one, throughput=None) for one in core.health.standings(endpoints)]
        candidates = [Candidate(endpoint, standing, float(offer.price)) for endpoint, standing, offer in
                      zip(endpoints, standings, offers, strict=True)]  # fmt: skip
        chances = REGISTRY[STRATEGIES[strategy]].chances(candidates)
        return candidates[chances.index(max(chances))].endpoint.tag

    assert first("balanced") == first("price") == "garbling"
    garbling.always(Answer(tool_calls=(ToolCall("f", '{"city": "Zü'),)))
    dearer.always(Answer(tool_calls=(ToolCall("f", '{"city": "Zürich"}'),)))
    for offer in offers:
        for _ in range(10):
            said = await complete(gateway, stream=stream, tools=TOOLS, provider={"only": [offer.slug]})
            assert said.status == 200, said.body
    assert [one.malformed for one in core.health.standings(endpoints)] == [1.0, 0.0]
    assert (first("balanced"), first("price")) == ("dearer", "garbling")
