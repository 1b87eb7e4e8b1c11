"""Profiles as a table: complete, sound, and obeyed by the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.profiles import PROFILES, TAKEN_BY
from config.schema import Endpoint
from providers.dialects import REGISTRY
from providers.dialects.base import Call
from providers.dialects.engine import ProfileDialect
from providers.dialects.profile import PREFIXES, Profile
from providers.dialects.render import ERROR_CHOICE
from providers.dialects.thinking import RANKS, nearest
from providers.errors import InvalidRequest
from providers.splice import JsonObject

EFFORTS = st.sampled_from([*RANKS, "from the future"])
MODELS = ("kimi-k2-thinking", "kimi-k2.6", "kimi-k2.7-code", "kimi-k3", "openai/gpt-oss-120b", "qwen/qwen3-32b")
MODELS += ("deepseek-reasoner", "deepseek-v4-flash", "magistral-medium", "anything")
SWITCHES = ("thinking", "enable_thinking", "chat_template_kwargs", "reasoning", "reasoning_effort")


def profile_of(name: str) -> Profile:
    dialect = REGISTRY[name]
    assert isinstance(dialect, ProfileDialect)
    return dialect.profile


def sent(name: str, body: dict[str, Any], model: str = "m", **call: Any) -> dict[str, Any]:
    request = Call(JsonObject(json.dumps({"model": "m", **body}).encode()), model, True, **call)
    made: dict[str, Any] = json.loads(REGISTRY[name].encode(request))
    return made


def test_the_configuration_knows_every_profile_and_no_other() -> None:
    assert sorted(PROFILES) == sorted(REGISTRY)
    assert len(set(PROFILES)) == len(PROFILES)
    assert set(TAKEN_BY) <= {"moonshot", "cometapi", "openrouter", "openai"}


def test_what_a_begun_answer_is_handed_over_by_is_known_to_the_configuration() -> None:
    known = set(PREFIXES) | {"none"}
    assert {profile_of(name).prefix for name in REGISTRY} <= {*known, None}
    for name in known:
        assert endpoint(prefix=name).prefix == name
    with pytest.raises(ValidationError):
        endpoint(prefix="begin")


def endpoint(**fields: str) -> Endpoint:
    required = {"provider": "p", "model": "m", "context_length": 1, "price": {"prompt": 1, "completion": 1}}
    return Endpoint.model_validate({**required, **fields})


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_profile_says_how_every_model_is_told_of_reasoning_or_passes_it_on(name: str) -> None:
    profile = profile_of(name)
    if "reasoning" in profile.drops:
        assert profile.thinking
        assert profile.thinking[-1].models is None
    for rule in profile.thinking:
        assert set(rule.efforts) <= set(RANKS) - {"none"}
        for members in (rule.on, rule.off or {}):
            assert all(json.loads(value) is not None for value in members.values())


@pytest.mark.parametrize("name", sorted(REGISTRY))
@pytest.mark.parametrize("model", MODELS)
def test_none_never_reaches_a_model_that_always_reasons(name: str, model: str) -> None:
    profile = profile_of(name)
    for body in ({"reasoning": {"effort": "none"}}, {"reasoning": {"enabled": False}}, {"reasoning_effort": "none"}):
        made = sent(name, body, model, reasoning_mandatory=True)
        rule = next((rule for rule in profile.thinking if rule.models is None or rule.models.search(model)), None)
        for member, value in ((rule.off or {}) if rule else {}).items():
            assert made.get(member) != json.loads(value)
        assert "none" not in json.dumps({key: made[key] for key in SWITCHES if key in made})
        assert made.get("reasoning", {}).get("enabled") is not False


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(REGISTRY)),
    st.sampled_from(MODELS),
    st.fixed_dictionaries(
        {},
        optional={
            "effort": EFFORTS | st.none(),
            "max_tokens": st.integers(-1, 10**6),
            "enabled": st.booleans(),
            "exclude": st.booleans(),
        },
    ),
    st.sampled_from([None, frozenset(), frozenset(["reasoning"]), frozenset(["reasoning_effort"])]),
    st.booleans(),
    st.sampled_from([None, "auto", "required", {"type": "function", "function": {"name": "f"}}]),
)
def test_an_effort_that_is_sent_is_one_that_is_offered(
    name: str,
    model: str,
    reasoning: dict[str, Any],
    supports: frozenset[str] | None,
    mandatory: bool,
    tool_choice: Any,
) -> None:
    profile = profile_of(name)
    body = {"reasoning": reasoning, "tool_choice": tool_choice, "max_tokens": 1_000, "messages": []}
    made = sent(name, body, model, supports=supports, reasoning_mandatory=mandatory)
    assert made["messages"] == []
    if "reasoning" not in profile.drops:
        return
    rule = next(rule for rule in profile.thinking if rule.models is None or rule.models.search(model))
    assert made.get("reasoning_effort") in {None, *rule.efforts, *(["none"] if rule.off is not None else [])}
    if rule.budget and rule.budget in made:
        assert made[rule.budget] >= 1
    if supports == frozenset():
        assert not {"reasoning_effort", "reasoning"} & made.keys()


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [("none", "low"), ("minimal", "low"), ("low", "low"), ("medium", "high"), ("xhigh", "max"), ("huge", "high")],
)
def test_an_effort_that_is_not_offered_becomes_the_nearest_the_stronger_of_two(wanted: str, given_: str) -> None:
    assert nearest(wanted, ("low", "high", "max")) == given_


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_two_efforts_that_differ_are_the_clients_mistake(name: str) -> None:
    with pytest.raises(InvalidRequest, match="reasoning_effort"):
        sent(name, {"reasoning_effort": "low", "reasoning": {"effort": "high"}})


@pytest.mark.parametrize("model", ["kimi-k2.5", "kimi-k2.6", "kimi-k2.7-code", "kimi-k3", "kimi-k3.1-pro"])
def test_what_moonshot_pins_is_not_sent_and_to_older_models_it_is(model: str) -> None:
    pinned = dict.fromkeys(("temperature", "top_p", "n", "presence_penalty", "frequency_penalty"), 1)
    assert not pinned.keys() & sent("moonshot", pinned, model).keys()
    assert pinned.keys() <= sent("moonshot", pinned, "kimi-k2-thinking").keys()


@pytest.mark.parametrize("name", ["moonshot", "deepseek"])
def test_a_forced_tool_and_reasoning_exclude_each_other_there(name: str) -> None:
    model = {"moonshot": "kimi-k2.6", "deepseek": "deepseek-v4-flash"}[name]
    forced = {"tool_choice": "required"}
    assert sent(name, forced, model)["thinking"] == {"type": "disabled"}
    assert sent(name, forced, model)["tool_choice"] == "required"
    assert sent(name, {**forced, "reasoning": {"enabled": True}}, model)["tool_choice"] == "auto"
    assert sent(name, forced, model, reasoning_mandatory=True)["tool_choice"] == "auto"
    assert sent(name, {"tool_choice": "auto"}, model)["tool_choice"] == "auto"
    assert "thinking" not in sent(name, {"tool_choice": "auto"}, model)


def test_what_the_client_says_in_the_vendors_own_words_is_not_touched() -> None:
    own = {"thinking": {"type": "enabled", "keep": "all"}}
    assert sent("moonshot", {**own, "reasoning": {"effort": "none"}}, "kimi-k2.6")["thinking"] == own["thinking"]
    assert sent("dashscope", {"thinking_budget": 7, "reasoning": {"max_tokens": 99}})["thinking_budget"] == 7


def test_a_stream_is_not_asked_for_its_usage_where_that_is_refused() -> None:
    assert "stream_options" not in sent("mistral", {"stream_options": {"include_usage": True}})


def test_a_member_under_both_its_names_is_sent_once() -> None:
    assert sent("zai", {"max_tokens": 5, "max_completion_tokens": 9})["max_tokens"] == 5
    assert sent("zai", {"max_tokens": None, "max_completion_tokens": 9})["max_tokens"] == 9


def test_the_choice_that_tells_of_an_error_is_as_openrouter_has_it() -> None:
    assert ERROR_CHOICE == b'{"index":0,"delta":{"content":""},"finish_reason":"error"}'
