"""What holds of every plan, whatever the catalogue, the request and the health."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.preferences import Preferences
from router.facts import Standing, Tier
from router.plan import DEMOTIONS, PASSING
from router.policy import REGISTRY, Candidate
from router.preferences import DEFAULTS, merge
from router.speed import Spread
from tests.router.fakes import MODEL, World, first_chances, offer, tags, world

few = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
"""A catalogue takes a while to draw; rare cases come from its variety, not from the number of runs."""

SLUGS = "abcde"
TAGS = [*SLUGS, *(f"{slug}/fp8" for slug in SLUGS)]

cutoffs = st.none() | st.floats(0.1, 100) | st.dictionaries(st.sampled_from(["p50", "p90"]), st.floats(0.1, 100))
names = st.lists(st.sampled_from([*TAGS, "nobody"]), min_size=1, max_size=3)
preferences = st.fixed_dictionaries(
    {},
    optional={
        "order": names,
        "only": names,
        "ignore": names,
        "allow_fallbacks": st.booleans(),
        "require_parameters": st.booleans(),
        "data_collection": st.sampled_from(["allow", "deny"]),
        "zdr": st.booleans(),
        "quantizations": st.lists(st.sampled_from(["fp8", "unknown"]), min_size=1),
        "sort": st.none()
        | st.sampled_from(["price", "latency", "throughput"])
        | st.fixed_dictionaries(
            {"by": st.sampled_from(["price", "latency"]), "partition": st.sampled_from(["model", "none"])}
        ),
        "max_price": st.fixed_dictionaries({}, optional={"prompt": st.integers(0, 4), "completion": st.integers(0, 4)}),
        "preferred_min_throughput": cutoffs,
        "preferred_max_latency": cutoffs,
    },
)
spreads = st.none() | st.floats(0.1, 100).map(lambda value: Spread(value, value, value, value))
standings = st.builds(
    Standing,
    unavailable=st.none() | st.none() | st.sampled_from(PASSING),
    until=st.floats(0, 100),
    outage=st.booleans(),
    tier=st.sampled_from(Tier),
    error_rate=st.floats(0, 1),
    latency=spreads,
    throughput=spreads,
)
endpoints = st.lists(
    st.builds(
        lambda tag, price, context, output, tools: offer(
            tag.split("/")[0],
            price,
            **({"variant": "fp8", "quantization": "fp8"} if "/" in tag else {}),
            context_length=context,
            max_output=output,
            supports=tools,
        ),
        st.sampled_from(TAGS),
        st.integers(0, 4),
        st.sampled_from([500, 1_000, 100_000]),
        st.sampled_from([None, 100]),
        st.sampled_from([None, [], ["tools"]]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda one: (one["provider"], one.get("variant")),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    w = world(
        *draw(endpoints),
        models={"acme/two": {"endpoints": draw(endpoints)}},
        fallbacks=draw(st.sampled_from([[], ["acme/two"]])),
        off={slug: "X_KEY is not set" for slug in draw(st.sets(st.sampled_from(SLUGS), max_size=1))},
        providers={slug: {"data_policy": {"training": True}} for slug in draw(st.sets(st.sampled_from(SLUGS)))},
        preferences={"default": draw(preferences)},
    )
    w.standings.update(draw(st.dictionaries(st.sampled_from(TAGS), standings)))
    return w


requests = st.fixed_dictionaries(
    {"messages": st.sampled_from([20, 3_500, 20_000]).map(lambda size: [{"role": "user", "content": "x" * size}])},
    optional={
        "provider": preferences,
        "tools": st.just([{"type": "function"}]),
        "max_tokens": st.sampled_from([1, 100, 101, 900]),
        "models": st.sampled_from([[MODEL], ["acme/two"], ["acme/two", MODEL]]),
    },
)


@few
@given(worlds(), requests, st.integers(0, 99))
def test_every_endpoint_is_in_the_plan_or_out_of_it_exactly_once(w: World, body: dict[str, Any], seed: int) -> None:
    plan = w.plan(seed, **body)
    everyone = Counter(id(one) for model in plan.models for one in w.catalogue.models[model].endpoints)
    inside = [one.endpoint for stage in plan.stages for one in stage.candidates]
    outside = [one.endpoint for one in plan.excluded]
    assert Counter(map(id, inside + outside)) == everyone


@few
@given(worlds(), requests, st.integers(0, 99))
def test_nobody_whom_a_rule_keeps_out_is_ever_tried(w: World, body: dict[str, Any], seed: int) -> None:
    inside = [one for stage in w.plan(seed, **body).stages for one in stage.candidates]
    for source in (w.settings.preferences.default, Preferences.from_request(body.get("provider", {}))[0]):
        for one in inside:
            ours = {one.endpoint.tag, one.endpoint.provider.slug, one.endpoint.provider.name}
            assert source.only is None or ours & set(source.only)
            assert not ours & set(source.ignore or ())
            assert not (source.data_collection == "deny" and one.endpoint.provider.training)
            assert not source.zdr
    for one in inside:
        assert one.standing.unavailable is None
        assert one.endpoint.provider.off is None
        assert body.get("max_tokens", 0) <= (one.endpoint.max_output or 10_000)
        assert len(body["messages"][0]["content"]) / 8 + body.get("max_tokens", 0) <= one.endpoint.context_length


@few
@given(worlds(), requests, st.integers(0, 99))
def test_demotion_orders_and_loses_nobody(w: World, body: dict[str, Any], seed: int) -> None:
    plan = w.plan(seed, **body)
    for stage in plan.stages:
        rest = [one for one in stage.candidates if not any(one.endpoint.matches(name) for name in plan.rules.order)]
        if len(stage.models) == 1 and stage is plan.stages[0]:
            assert [one.severity for one in rest] == sorted(one.severity for one in rest)
        assert all(one.severity == sum(DEMOTIONS[reason] for reason in one.demoted_by) for one in stage.candidates)
    calm = World(w.settings, w.catalogue, {tag: Standing(one.unavailable) for tag, one in w.standings.items()})
    assert set(tags(calm.plan(seed, **body))) == set(tags(plan)), "being slow or unreliable excludes nobody"


@few
@given(worlds(), requests, st.integers(0, 99))
def test_a_plan_is_decided_by_its_inputs_and_the_random_source_alone(w: World, body: dict[str, Any], seed: int) -> None:
    assert tags(w.plan(Random(seed), **body)) == tags(w.plan(Random(seed), **body))


@few
@given(worlds(), requests)
def test_chances_are_a_distribution_over_the_first_batch(w: World, body: dict[str, Any]) -> None:
    plan = w.plan(**body)
    chances = first_chances(plan)
    if not plan.stages:
        assert chances == {}
        return
    assert sum(chances.values()) == pytest.approx(1)
    firsts = {tags(w.plan(seed, **body))[0] for seed in range(5)}
    assert firsts <= {endpoint.tag for endpoint, chance in chances.items() if chance > 0}


@given(preferences, preferences)
def test_lists_and_privacy_merge_the_same_in_either_order(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (Preferences.from_request(value)[0] for value in (one, other))
    there, back = merge(merge(DEFAULTS, first), second), merge(merge(DEFAULTS, second), first)
    assert there.ignore == back.ignore
    assert set(there.only) == set(back.only)
    assert (there.zdr, there.deny_collection) == (back.zdr, back.deny_collection)


@given(preferences)
def test_merging_is_idempotent_and_nothing_merged_changes_nothing(value: dict[str, Any]) -> None:
    over = Preferences.from_request(value)[0]
    once = merge(DEFAULTS, over)
    assert merge(once, Preferences()) is once
    twice = merge(once, over)
    assert set(twice.only) == set(once.only)
    assert merge(DEFAULTS, Preferences()) is DEFAULTS


@given(
    st.sampled_from(sorted(REGISTRY)),
    st.lists(st.builds(lambda cost, standing: (cost, standing), st.floats(0, 1e6), standings), max_size=8),
    st.integers(),
)
def test_a_policy_gives_back_exactly_whom_it_was_given(
    policy: str, figures: list[tuple[float, Standing]], seed: int
) -> None:
    endpoint = world(offer("a")).endpoint("a")
    candidates = [Candidate(endpoint, standing, cost) for cost, standing in figures]
    chances = REGISTRY[policy].chances(candidates) if candidates else []
    ordered = REGISTRY[policy].order(candidates, chances, Random(seed))
    assert Counter(map(id, ordered)) == Counter(map(id, candidates))
    if candidates:
        assert sum(chances) == pytest.approx(1)
