"""Requests beyond what golden files show."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Call
from providers.dialects.profile import SAMPLING
from providers.errors import InvalidRequest
from providers.splice import JsonObject
from tests.providers.json_strategies import OTHER_KEYS, VALUES, arrays, objects

WHOLE = sorted(set(REGISTRY) - {"dashscope"})
"""Those that are not asked for a stream where the client wants none."""


def encoded(
    text: str, dialect: str = "openai", *, stream: bool = False, supports: frozenset[str] | None = None
) -> bytes:
    return REGISTRY[dialect].encode(Call(JsonObject(text.encode()), "up", stream, supports))


@given(objects(OTHER_KEYS, VALUES), arrays(objects(OTHER_KEYS, VALUES)), st.sampled_from(WHOLE))
def test_what_need_not_change_is_sent_to_the_byte(others: str, messages: str, dialect: str) -> None:
    inner = others[1:-1]
    start = "{" + (inner + "," if inner else "") + '"messages": ' + messages + ', "model": '
    assert encoded(start + '"m"}', dialect) == (start + '"up"}').encode()


@given(arrays(objects(OTHER_KEYS, VALUES)))
def test_messages_beside_a_changed_one_are_sent_to_the_byte(messages: str) -> None:
    inner = messages[1:-1].rstrip()
    changed = '{"role":"assistant","reasoning":"r"}'
    sent = '{"role":"assistant","reasoning_content":"r"}'
    rest = " , " + inner if inner.strip() else ""
    made = encoded('{"model":"m","messages":[ ' + changed + rest + " ]}", "moonshot")
    assert made == ('{"model":"up","messages":[ ' + sent + rest + " ]}").encode()


def test_fields_for_the_router_stay_here() -> None:
    router_only = {"models": [], "provider": {}, "route": "x", "transforms": [], "plugins": [], "usage": {}}
    for name in WHOLE:
        assert json.loads(encoded(json.dumps({"model": "m", **router_only}), name)) == {"model": "up"}


def test_only_an_openrouter_style_provider_sees_openrouters_fields() -> None:
    fields = {"session_id": "s", "reasoning": {"effort": "high"}, "include_reasoning": True}
    text = json.dumps({"model": "m", **fields})
    assert json.loads(encoded(text, "openrouter")) == {"model": "up", **fields}
    for name in ("moonshot", "cometapi", "openai"):
        assert json.loads(encoded(text, name)) == {"model": "up"}


def test_sampling_goes_where_it_is_not_taken_and_nothing_else_does() -> None:
    body = {
        "model": "m",
        "messages": [],
        "tools": [],
        "stop": "x",
        "seed": 1,
        "max_tokens": 5,
        **dict.fromkeys(SAMPLING, 1),
    }
    sent = json.loads(encoded(json.dumps(body), supports=frozenset({"top_p"})))
    assert sent == {"model": "up", "messages": [], "tools": [], "stop": "x", "seed": 1, "max_tokens": 5, "top_p": 1}
    assert json.loads(encoded(json.dumps(body))) == {**body, "model": "up"}


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({"reasoning": {"effort": "low"}}, "low"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "low"}, "low"),
        ({"reasoning": {"effort": "xhigh"}}, "xhigh"),
        ({"reasoning": {"effort": "none"}}, "none"),
        ({"reasoning": {"enabled": False}, "reasoning_effort": "high"}, "none"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning": {"max_tokens": 100}, "max_tokens": 1000}, "minimal"),
        ({"reasoning": {"max_tokens": 500}, "max_tokens": 1000}, "medium"),
        ({"reasoning": {"exclude": True}}, None),
        ({"reasoning": None}, None),
        ({"reasoning": "high"}, None),
    ],
)
def test_effort_is_told_as_openai_does(body: dict[str, object], effort: str | None) -> None:
    sent = json.loads(encoded(json.dumps(body), supports=frozenset({"reasoning_effort"})))
    assert sent.get("reasoning_effort") == effort
    assert "reasoning" not in sent


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("", '{"include_usage":true}'),
        ("null", '{"include_usage":true}'),
        ("[]", '{"include_usage":true}'),
        ("{}", '{"include_usage":true}'),
        ('{ "include_usage": true }', '{ "include_usage": true }'),
        ('{"include_usage":false,"chunk":1.0}', '{"include_usage":true,"chunk":1.0}'),
    ],
)
def test_a_stream_is_always_asked_for_its_usage(options: str, sent: str) -> None:
    given_options = f',"stream_options":{options}' if options else ""
    made = encoded('{"model":"m","stream":true' + given_options + "}", stream=True)
    assert made == ('{"model":"up","stream":true,"stream_options":' + sent + "}").encode()


def test_whether_it_streams_is_for_the_call_to_say() -> None:
    assert encoded('{"model":"m","stream":true,"stream_options":{}}') == b'{"model":"up","stream":false}'
    assert b'"stream":true' in encoded('{"model":"m"}', stream=True)


def test_the_clients_body_is_not_touched() -> None:
    body = JsonObject(b'{"model":"m","messages":[{"role":"assistant","reasoning":"r"}]}')
    before = body.data
    REGISTRY["moonshot"].encode(Call(body, "up", False))
    assert body.data == before


@pytest.mark.parametrize("messages", ['{"reasoning":1}', '["reasoning"]', '[{"reasoning":1},7,"\\"reasoning"]'])
def test_messages_that_are_no_objects_are_the_clients_mistake(messages: str) -> None:
    with pytest.raises(InvalidRequest):
        encoded('{"model":"m","messages":' + messages + "}", "moonshot")


def test_headers_forwarded_are_those_of_openrouter_alone() -> None:
    assert {name: dialect.forwards() for name, dialect in REGISTRY.items() if dialect.forwards()} == {
        "openrouter": {"http-referer", "x-title"}
    }
