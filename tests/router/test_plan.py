"""What each preference does to the plan, alone and beside the others."""

from __future__ import annotations

from typing import Any

import pytest

from router.decision import Decision
from router.errors import BadRequest, NoEndpoints, UnknownModel
from router.facts import Standing, Tier
from router.offers import MOST_REMEMBERED, Offers
from router.speed import Spread
from tests.router.fakes import MODEL, World, ask, demotions, offer, reasons, tags, world


def three(**sections: Any) -> World:
    return world(offer("a", 1), offer("b", 2), offer("c", 3), **sections)


def variants(**sections: Any) -> World:
    return world(
        offer("moon", 3, variant="int4", quantization="int4"),
        offer("moon", 1, variant="fp8", quantization="fp8"),
        offer("comet", 2),
        **sections,
    )


# --- what keeps an endpoint out ---------------------------------------------------------------------------

FEW = "moon/fp8"
EXCLUSIONS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"only": ["moon"]}, {"comet": "only"}),
    ({"only": ["moon/int4"]}, {"comet": "only", FEW: "only"}),
    ({"only": ["Comet"]}, {"moon/int4": "only", FEW: "only"}),
    ({"ignore": ["moon"]}, {"moon/int4": "ignore", FEW: "ignore"}),
    ({"ignore": ["moon/int4"]}, {"moon/int4": "ignore"}),
    ({"ignore": ["Moon"]}, {"moon/int4": "ignore", FEW: "ignore"}),
    ({"ignore": ["nobody"]}, {}),
    ({"quantizations": ["int4"]}, {FEW: "quantizations", "comet": "quantizations"}),
    ({"quantizations": ["unknown", "fp8"]}, {"moon/int4": "quantizations"}),
    ({"max_price": {"prompt": 2}}, {"moon/int4": "max_price"}),
    ({"max_price": {"completion": "1"}}, {"moon/int4": "max_price", "comet": "max_price"}),
    ({"max_price": {"prompt": "2", "completion": 1}}, {"moon/int4": "max_price", "comet": "max_price"}),
    ({"max_price": {"prompt": "1.999999999999"}}, {"moon/int4": "max_price", "comet": "max_price"}),
    ({"max_price": {"request": 0}}, {}),
    ({"only": ["moon"], "ignore": ["moon/int4"]}, {"comet": "only", "moon/int4": "ignore"}),
    ({"only": ["moon"], "max_price": {"prompt": 1}}, {"comet": "only", "moon/int4": "max_price"}),
    (
        {"order": ["moon/int4"], "ignore": ["moon/int4"]},
        {"moon/int4": "ignore", FEW: "order", "comet": "order"},
    ),
    ({"order": ["moon/int4", "comet"], "ignore": ["moon/int4"]}, {"moon/int4": "ignore"}),
    ({"order": ["moon/int4"], "max_price": {"prompt": 2}}, {"moon/int4": "max_price"}),
]


@pytest.mark.parametrize(("provider", "out"), EXCLUSIONS, ids=[str(provider) for provider, _ in EXCLUSIONS])
def test_a_preference_keeps_out_exactly_whom_it_means(provider: dict[str, Any], out: dict[str, str]) -> None:
    plan = variants().plan(provider=provider)
    assert reasons(plan) == out
    assert set(tags(plan)) == {"moon/int4", "moon/fp8", "comet"} - set(out)


@pytest.mark.parametrize(("provider", "out"), EXCLUSIONS, ids=[str(provider) for provider, _ in EXCLUSIONS])
def test_the_same_field_does_the_same_in_the_file(provider: dict[str, Any], out: dict[str, str]) -> None:
    assert reasons(variants(preferences={"default": provider}).plan()) == out
    assert reasons(variants(preferences={"models": {"acme/*": provider}}).plan()) == out
    assert reasons(variants(preferences={"models": {"other/*": provider}}).plan()) == {}


def test_data_policy_excludes_by_what_the_provider_declares() -> None:
    policies = {
        "a": {"data_policy": {"training": True}},
        "c": {"data_policy": {"retention": False, "zdr": True}},
    }
    w = three(providers=policies)
    assert reasons(w.plan(provider={"data_collection": "deny"})) == {"a": "data_policy:training"}
    assert reasons(w.plan(provider={"zdr": True})) == {"a": "data_policy:zdr", "b": "data_policy:zdr"}
    assert reasons(w.plan(provider={"data_collection": "allow", "zdr": False})) == {}


def test_a_request_cannot_relax_privacy() -> None:
    w = three(
        providers={"a": {"data_policy": {"training": True}}},
        preferences={"default": {"data_collection": "deny", "zdr": True}},
    )
    plan = w.plan(provider={"data_collection": "allow", "zdr": False})
    assert reasons(plan) == {"a": "data_policy:training", "b": "data_policy:zdr", "c": "data_policy:zdr"}


def test_a_models_preferences_cannot_relax_privacy_either() -> None:
    w = three(preferences={"default": {"zdr": True}, "models": {"acme/*": {"zdr": False}}})
    assert set(reasons(w.plan()).values()) == {"data_policy:zdr"}


def test_only_is_the_intersection_and_ignore_the_union_of_file_and_request() -> None:
    w = three(preferences={"default": {"only": ["a", "b"], "ignore": ["c"]}})
    assert set(tags(w.plan())) == {"a", "b"}
    assert tags(w.plan(provider={"only": ["b", "c"]})) == ["b"]
    assert tags(w.plan(provider={"ignore": ["b"]})) == ["a"]


def test_an_empty_intersection_says_so() -> None:
    w = three(preferences={"default": {"only": ["a"]}})
    asked = ask(provider={"only": ["b"]})
    error = Decision(asked, w.plan(provider={"only": ["b"]})).error(0.0)
    assert isinstance(error, NoEndpoints)
    assert error.status == 404
    assert "[a] and [b]" in error.message
    assert "only" in error.message
    assert "a, b, c" in error.message


def test_all_other_fields_of_a_request_win_over_the_file() -> None:
    w = three(
        preferences={
            "default": {
                "order": ["c"],
                "sort": "price",
                "quantizations": ["int4"],
                "max_price": {"prompt": 1, "completion": 2},
                "require_parameters": True,
                "allow_fallbacks": False,
            }
        }
    )
    rules = w.plan(
        provider={
            "order": ["b", "a"],
            "sort": "latency",
            "quantizations": ["unknown"],
            "max_price": {"prompt": "5"},
            "require_parameters": False,
            "allow_fallbacks": True,
        }
    ).rules
    assert rules.order == ("b", "a")
    assert rules.sort == "latency"
    assert rules.quantizations == {"unknown"}
    assert (rules.max_prompt, rules.max_completion) == (5, 2)
    assert rules.require_parameters is False
    assert rules.allow_fallbacks is True


PARAMETERS = [
    ({"tools": []}, ["tools"], set()),
    ({"tools": [{"type": "function"}]}, ["temperature"], {"a"}),
    ({"temperature": 1}, ["tools"], {"a"}),
    ({"temperature": None}, ["tools"], set()),
    ({"max_completion_tokens": 5}, ["max_tokens"], set()),
    ({"max_tokens": 5}, ["tools"], {"a"}),
    ({"reasoning_effort": "high"}, ["reasoning"], set()),
    ({"include_reasoning": True}, ["reasoning"], set()),
    ({"reasoning": {"effort": "low"}}, ["tools"], {"a"}),
    ({"user": "me", "metadata": {}}, [], set()),
]


@pytest.mark.parametrize(("body", "supports", "out"), PARAMETERS)
def test_require_parameters_wants_every_parameter_the_request_uses(
    body: dict[str, Any], supports: list[str], out: set[str]
) -> None:
    w = world(offer("a", supports=supports), offer("b"))
    plan = w.plan(provider={"require_parameters": True}, **body)
    assert reasons(plan) == dict.fromkeys(out, "require_parameters")


def test_without_require_parameters_an_endpoint_lacking_tools_only_goes_behind_those_that_have_them() -> None:
    w = world(offer("a", 1, supports=[]), offer("b", 100), offer("c", 100))
    tools = [{"type": "function", "function": {"name": "f"}}]
    plan = w.plan(tools=tools, response_format={"type": "json_object"}, verbosity="low")
    assert tags(plan)[-1] == "a"
    assert demotions(plan) == {"a": ("parameters",)}
    assert demotions(w.plan(tools=tools, provider={"ignore": ["b", "c"]})) == {}, "nobody has them"
    assert demotions(w.plan(temperature=1)) == {}, "not one of those that count"


def test_a_provider_that_is_off_or_a_key_that_may_not_use_the_model_leaves_nobody() -> None:
    w = three(off={"a": "A_KEY is not set"})
    assert reasons(w.plan()) == {"a": "provider_off"}
    assert reasons(w.plan(allowed=lambda model_id: model_id != MODEL)) == dict.fromkeys("abc", "key_models")
    everyone = three(off=dict.fromkeys("abc", "X is blank"))
    error = Decision(ask(), everyone.plan()).error(0.0)
    assert error.status == 404
    assert "X is blank" in error.message


def test_a_key_is_checked_for_each_model_of_the_plan() -> None:
    w = three(models={"other/two": {"endpoints": [offer("d")]}}, fallbacks=["other/two"])
    plan = w.plan(allowed=lambda model_id: model_id.startswith("acme/"))
    assert reasons(plan) == {"d": "key_models"}
    assert [stage.models for stage in plan.stages] == [(MODEL,)]


def test_modalities_of_a_message_are_asked_of_the_model() -> None:
    w = three(models={"acme/eye": {"endpoints": [offer("d")], "input_modalities": ["text", "image"]}})
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]
    plan = w.plan(messages=picture, models=["acme/eye"])
    assert reasons(plan) == dict.fromkeys("abc", "modality")
    assert tags(plan) == ["d"]
    named = [{"role": "user", "content": 'the word "image_url" is only text'}]
    assert reasons(w.plan(messages=named)) == {}


# --- context fit ------------------------------------------------------------------------------------------


def messages(tokens: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": "abcd" * tokens}]


def test_a_prompt_that_is_clearly_too_large_is_never_sent() -> None:
    w = world(offer("small", 1, context_length=8_000), offer("large", 100, context_length=200_000))
    plan = w.plan(messages=messages(50_000))
    assert reasons(plan) == {"small": "context_length"}


def test_a_prompt_within_the_uncertainty_demotes() -> None:
    w = world(offer("small", 1, context_length=50_000), offer("large", 100, context_length=200_000))
    for tokens in (55_000, 65_000):
        plan = w.plan(messages=messages(tokens))
        assert demotions(plan) == {"small": ("context_uncertain",)}
        assert tags(plan) == ["large", "small"]
    assert demotions(w.plan(messages=messages(30_000))) == {}


def test_the_output_asked_for_must_fit_beside_the_prompt() -> None:
    w = world(offer("small", 1, context_length=10_000), offer("large", 100, context_length=200_000))
    assert reasons(w.plan(messages=messages(1_000), max_tokens=9_900)) == {"small": "context_length"}
    assert demotions(w.plan(messages=messages(1_000), max_tokens=9_000)) == {"small": ("context_uncertain",)}
    assert reasons(w.plan(messages=messages(1_000), max_completion_tokens=9_900)) == {"small": "context_length"}


def test_max_output_is_inclusive() -> None:
    w = world(offer("a", max_output=100), offer("b"))
    assert reasons(w.plan(max_tokens=100)) == {}
    assert reasons(w.plan(max_tokens=101)) == {"a": "max_output"}
    assert reasons(w.plan(max_completion_tokens=101)) == {"a": "max_output"}


# --- the order --------------------------------------------------------------------------------------------


def test_order_names_come_first_in_their_order_and_the_others_after() -> None:
    w = three()
    for seed in range(20):
        assert tags(w.plan(seed, provider={"order": ["c", "nobody", "b"]})) == ["c", "b", "a"]


def test_order_by_slug_means_every_variant_and_by_tag_just_one() -> None:
    w = variants()
    both = {tuple(tags(w.plan(seed, provider={"order": ["moon"]}))) for seed in range(60)}
    assert both == {("moon/int4", "moon/fp8", "comet"), ("moon/fp8", "moon/int4", "comet")}
    assert tags(w.plan(provider={"order": ["moon/int4", "comet"]})) == ["moon/int4", "comet", "moon/fp8"]


def test_order_comes_before_any_demotion_and_before_sort() -> None:
    w = three()
    w.standings["c"] = Standing(outage=True, tier=Tier.DOWN)
    plan = w.plan(provider={"order": ["c"], "sort": "price"})
    assert tags(plan) == ["c", "a", "b"]
    assert plan.strategy == "order"
    assert demotions(plan) == {"c": ("outage", "down")}


def test_sort_by_price_is_by_what_this_request_would_cost() -> None:
    cheap_input = {"price": {"prompt": "1", "completion": "10"}}
    cheap_output = {"price": {"prompt": "2", "completion": "1"}}
    w = world({**offer("in"), **cheap_input}, {**offer("out"), **cheap_output})
    assert tags(w.plan(provider={"sort": "price"}, messages=messages(10_000), max_tokens=10)) == ["in", "out"]
    assert tags(w.plan(provider={"sort": "price"}, max_tokens=10_000)) == ["out", "in"]


def test_a_price_per_request_counts() -> None:
    fee = {"price": {"prompt": "1", "completion": "1", "request": "0.5"}}
    w = world({**offer("fee"), **fee}, offer("b", 2))
    assert tags(w.plan(provider={"sort": "price"})) == ["b", "fee"]
    assert reasons(w.plan(provider={"max_price": {"request": "0.4"}})) == {"fee": "max_price"}


def fast(**by_tag: float) -> dict[str, Standing]:
    return {tag: Standing(latency=Spread(v, v, v, v), throughput=Spread(v, v, v, v)) for tag, v in by_tag.items()}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"provider": {"sort": "throughput"}}, ["c", "a", "b"]),
        ({"provider": {"sort": "latency"}}, ["a", "c", "b"]),
        ({"provider": {"sort": {"by": "latency"}}}, ["a", "c", "b"]),
        ({"provider": {"sort": "price"}}, ["a", "b", "c"]),
        ({"model": f"{MODEL}:nitro"}, ["c", "a", "b"]),
        ({"model": f"{MODEL}:floor"}, ["a", "b", "c"]),
        ({"model": f"{MODEL}:nitro", "provider": {"sort": "price"}}, ["c", "a", "b"]),
        ({"model": f"{MODEL}:floor", "provider": {"order": ["b"]}}, ["b", "a", "c"]),
    ],
)
def test_sorts_and_suffixes(body: dict[str, Any], expected: list[str]) -> None:
    w = three()
    w.standings.update(fast(a=1, c=2))  # b has no figures and comes last
    for seed in range(5):
        assert tags(w.plan(seed, **body)) == expected


def test_a_demoted_endpoint_sorts_behind_all_others() -> None:
    w = three()
    w.standings["a"] = Standing(outage=True)
    assert tags(w.plan(provider={"sort": "price"})) == ["b", "c", "a"]


def test_heavier_demotions_outweigh_lighter_ones() -> None:
    w = world(*(offer(slug) for slug in "abcde"))
    w.standings.update(
        a=Standing(tier=Tier.DOWN),
        b=Standing(outage=True, tier=Tier.DEGRADED),
        c=Standing(outage=True),
        d=Standing(tier=Tier.DEGRADED),
    )
    for seed in range(5):
        assert tags(w.plan(seed)) == ["e", "d", "c", "b", "a"]


# --- cutoffs ----------------------------------------------------------------------------------------------

SPEED = Spread(p50=50, p75=40, p90=30, p99=10)
WAIT = Spread(p50=1, p75=2, p90=3, p99=10)


@pytest.mark.parametrize(
    ("provider", "demoted"),
    [
        ({"preferred_min_throughput": 50}, ()),
        ({"preferred_min_throughput": 50.1}, ("throughput",)),
        ({"preferred_min_throughput": {"p90": 30}}, ()),
        ({"preferred_min_throughput": {"p50": 10, "p90": 31}}, ("throughput",)),
        ({"preferred_max_latency": 1}, ()),
        ({"preferred_max_latency": 0.9}, ("latency",)),
        ({"preferred_max_latency": {"p75": 2, "p99": 9}}, ("latency",)),
        ({"preferred_max_latency": {}}, ()),
        ({"preferred_max_latency": 0.9, "preferred_min_throughput": 60}, ("throughput", "latency")),
    ],
)
def test_a_missed_cutoff_demotes_and_never_excludes(provider: dict[str, Any], demoted: tuple[str, ...]) -> None:
    w = world(offer("a", 1), offer("b", 100))
    w.standings["a"] = Standing(latency=WAIT, throughput=SPEED)
    plan = w.plan(provider=provider)
    assert demotions(plan) == ({"a": demoted} if demoted else {})
    assert set(tags(plan)) == {"a", "b"}
    if demoted:
        assert tags(plan) == ["b", "a"], "what was never measured is no miss"


# --- the models -------------------------------------------------------------------------------------------


def family(**preferences: Any) -> World:
    return world(
        offer("a", 5),
        offer("b", 1),
        fallbacks=["acme/two"],
        aliases=["one"],
        canonical_slug="acme/one-20251106",
        preferences=preferences,
        models={
            "acme/two": {"endpoints": [offer("c", 3)], "fallbacks": ["acme/three"]},
            "acme/three": {"endpoints": [offer("d", 2)]},
            "acme/one:free": {"endpoints": [offer("e", 0)]},
        },
    )


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({}, ("acme/one", "acme/two")),
        ({"model": "one"}, ("acme/one", "acme/two")),
        ({"model": "acme/one-20251106"}, ("acme/one", "acme/two")),
        ({"model": "one:nitro"}, ("acme/one", "acme/two")),
        ({"model": "acme/one:free"}, ("acme/one:free",)),
        ({"model": "acme/one:free:floor"}, ("acme/one:free",)),
        ({"models": ["acme/three"]}, ("acme/one", "acme/three")),
        ({"models": ["one", "acme/three", "acme/three"]}, ("acme/one", "acme/three")),
        ({"model": None, "models": ["acme/three", "acme/two", "one"]}, ("acme/three", "acme/two", "acme/one")),
        ({"models": []}, ("acme/one",)),
    ],
)
def test_which_models_a_request_means(body: dict[str, Any], models: tuple[str, ...]) -> None:
    plan = family().plan(**body)
    assert plan.models == models
    assert [stage.models for stage in plan.stages] == [(model,) for model in models]


def test_a_model_nobody_knows_names_the_nearest() -> None:
    with pytest.raises(UnknownModel, match=r"acme/won is not a valid model ID\. Did you mean .*acme/one ") as caught:
        family().plan(model="acme/won")
    assert caught.value.status == 400
    with pytest.raises(UnknownModel):
        family().plan(models=["acme/two", "nothing like it"])
    for name in ("acme/one:thinking", "acme/one:", ":nitro", "acme/one:nitro:nitro"):
        with pytest.raises(UnknownModel):
            family().plan(model=name)


def test_more_than_three_models_are_refused() -> None:
    with pytest.raises(BadRequest, match="3 items or fewer"):
        family().plan(models=["acme/one", "acme/two", "acme/three", "one"])


def test_partition_none_mixes_the_models() -> None:
    plan = family().plan(provider={"sort": {"by": "price", "partition": "none"}})
    assert [stage.models for stage in plan.stages] == [("acme/one", "acme/two")]
    assert tags(plan) == ["b", "c", "a"]
    plan = family().plan(provider={"sort": {"by": "price", "partition": "model"}})
    assert tags(plan) == ["b", "a", "c"]


def test_each_model_is_planned_by_its_own_preferences() -> None:
    plan = family(models={"acme/two": {"ignore": ["c"]}, "acme/one": {"sort": "price"}}).plan()
    assert tags(plan) == ["b", "a"]
    assert reasons(plan) == {"c": "ignore"}


def test_the_rules_of_a_plan_are_those_of_the_first_model_that_has_anyone() -> None:
    w = family(models={"acme/one": {"ignore": ["a", "b"]}, "acme/two": {"allow_fallbacks": False}})
    plan = w.plan()
    assert [stage.models for stage in plan.stages] == [("acme/two",)]
    assert plan.rules.allow_fallbacks is False


# --- health in the plan -----------------------------------------------------------------------------------


def test_whom_health_keeps_out_is_named_and_the_soonest_back_is_the_last_resort() -> None:
    w = three()
    w.standings.update(a=Standing("ejected", 30.0), b=Standing("cooling", 20.0), c=Standing("provider_put_aside", 60.0))
    plan = w.plan()
    assert reasons(plan) == {"a": "ejected", "b": "cooling", "c": "provider_put_aside"}
    assert [endpoint.tag for endpoint in plan.last_resorts] == ["b", "a", "c"]
    error = Decision(ask(), plan).error(now=5.0)
    assert (error.status, error.retry_after) == (503, 15.0)


def test_a_full_provider_is_no_last_resort() -> None:
    w = three()
    w.standings.update(dict.fromkeys("abc", Standing("max_concurrency", 5.0)))
    plan = w.plan()
    assert plan.last_resorts == ()
    assert Decision(ask(), plan).error(now=5.0).status == 503


def test_an_ejected_endpoint_is_nobodys_last_resort_while_another_may_be_tried() -> None:
    w = three()
    w.standings.update(a=Standing("ejected", 30.0), b=Standing("ejected", 30.0))
    plan = w.plan()
    assert tags(plan) == ["c"]
    assert plan.last_resorts == ()


# --- what is remembered -----------------------------------------------------------------------------------


def test_a_choice_once_made_is_not_taken_for_another_requests() -> None:
    offers = Offers((w := family()).catalogue, w.settings.preferences)

    def models(**body: Any) -> tuple[tuple[str, ...], list[str]]:
        choice = offers.of(ask(**body))
        return choice.models, [
            one.tag for sieve in choice.sieves for one in sieve.endpoints if one not in sieve.kept_out
        ]

    plain, both = ("acme/one", "acme/two"), ["a", "b", "c"]
    for _ in range(2):
        assert models() == (plain, both)
        assert models(models=[]) == (("acme/one",), ["a", "b"])
        assert models(provider={"only": ["a"]}) == (plain, ["a"])
        assert models(provider={"only": ["b"]}) == (plain, ["b"])
        assert models(provider={"only": ["a"]}, models=["acme/three"]) == (("acme/one", "acme/three"), ["a"])
    for number in range(2 * MOST_REMEMBERED):
        assert models(provider={"only": [f"nobody-{number}"]}) == (plain, [])
    assert models(provider={"only": ["b"]}) == (plain, ["b"])
    assert len(offers._own) <= MOST_REMEMBERED
