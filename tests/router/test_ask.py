"""A body is either read or refused by name; nothing in it makes the gateway fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ask import MAX_COUNT, MAX_DEPTH, MAX_KEYS, Ask, parse
from router.errors import BadRequest
from router.plan import make
from tests.router.fakes import MODEL, first_chances, offer, world

VALID: dict[str, Any] = {
    "model": MODEL,
    "models": ["acme/two"],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 100,
    "temperature": 1.0,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "provider": {"order": ["a"], "sort": {"by": "price"}, "max_price": {"prompt": "1"}, "preferred_max_latency": 2},
    "reasoning": {"effort": "high", "exclude": True},
    "session_id": "s",
}


def read(body: Any, headers: dict[bytes, bytes] | None = None) -> Ask:
    return parse(json.dumps(body).encode(), headers or {})


def refused(data: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(data, {})
    assert caught.value.status == 400
    assert caught.value.message
    return caught.value


def test_what_is_read_from_a_request() -> None:
    ask = read(VALID)
    assert ask.models == (MODEL, "acme/two")
    assert (ask.stream, ask.usage_chunk, ask.exclude_reasoning, ask.session) == (True, True, True, "s")
    assert ask.max_tokens == 100
    assert ask.modalities == {"text", "image"}
    assert ask.parameters == {"max_tokens", "temperature", "tools", "reasoning"}
    assert ask.preferences.order == ("a",)
    assert json.loads(ask.body.data) == VALID


MALFORMED: list[tuple[Any, str]] = [
    ({**VALID, "model": 5}, "model"),
    ({**VALID, "model": None, "models": None}, "model"),
    ({**VALID, "model": ""}, ""),
    ({**VALID, "models": "acme/two"}, "models"),
    ({**VALID, "models": ["a", 5]}, "models[1]"),
    ({**VALID, "models": ["a", "b", "c", "d"]}, "models"),
    ({**VALID, "messages": []}, "messages"),
    ({**VALID, "messages": None}, "messages"),
    ({**VALID, "messages": "hi"}, "messages"),
    ({**VALID, "messages": ["hi"]}, "messages[0]"),
    ({**VALID, "messages": [{"role": "user"}, {"content": "x"}]}, "messages[1]"),
    ({**VALID, "messages": [{"role": 5}]}, "messages[0].role"),
    ({**VALID, "stream": "yes"}, "stream"),
    ({**VALID, "stream": 1}, "stream"),
    ({**VALID, "stream_options": []}, "stream_options"),
    ({**VALID, "max_tokens": 0}, "max_tokens"),
    ({**VALID, "max_tokens": -5}, "max_tokens"),
    ({**VALID, "max_tokens": 1.5}, "max_tokens"),
    ({**VALID, "max_tokens": "100"}, "max_tokens"),
    ({**VALID, "max_tokens": True}, "max_tokens"),
    ({**VALID, "max_tokens": 10**30}, "max_tokens"),
    ({**VALID, "max_completion_tokens": MAX_COUNT + 1}, "max_completion_tokens"),
    ({**VALID, "n": 0}, "n"),
    ({**VALID, "temperature": "hot"}, "temperature"),
    ({**VALID, "tools": {}}, "tools"),
    ({**VALID, "tools": ["f"]}, "tools[0]"),
    ({**VALID, "provider": "a"}, "provider"),
    ({**VALID, "provider": {"order": "a"}}, "provider.order"),
    ({**VALID, "provider": {"order": [5]}}, "provider.order.0"),
    ({**VALID, "provider": {"sort": "luck"}}, "provider.sort.by"),
    ({**VALID, "provider": {"sort": {"by": "price", "partition": "all"}}}, "provider.sort.partition"),
    ({**VALID, "provider": {"data_collection": "maybe"}}, "provider.data_collection"),
    ({**VALID, "provider": {"max_price": {"prompt": "cheap"}}}, "provider.max_price.prompt"),
    ({**VALID, "provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt"),
    ({**VALID, "provider": {"max_price": 5}}, "provider.max_price"),
    ({**VALID, "provider": {"preferred_max_latency": {"p95": 1}}}, "provider.preferred_max_latency.p95"),
    ({**VALID, "provider": {"quantizations": ["int3"]}}, "provider.quantizations.0"),
    ({**VALID, "reasoning": "high"}, "reasoning"),
    ({**VALID, "reasoning": {"max_tokens": "x"}}, "reasoning.max_tokens"),
    ({**VALID, "session_id": 5}, "session_id"),
]


@pytest.mark.parametrize(
    ("body", "path"), MALFORMED, ids=[f"{number}-{path}" for number, (_, path) in enumerate(MALFORMED)]
)
def test_a_faulty_member_is_named(body: Any, path: str) -> None:
    if not path:
        assert read(body).models == ("acme/two",)
        return
    error = refused(json.dumps(body).encode())
    assert error.param == path
    assert path in error.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"model":"x"',
        b'{"model":"x",}',
        b"{'model':'x'}",
        b'{"model":"x"} {"model":"y"}',
        b'\xef\xbb\xbf{"model":"x"}',
        b'{"model":"\xff","messages":[{"role":"user"}]}',
        b'{"model":"x","messages":[{"role":"user","content":"\\ud83d"}],"temperature":NaN}',
        b'{"model":"x","messages":[{"role":"user"}],"temperature":Infinity}',
        b'{"model":"x","messages":[{"role":"user"}],"max_tokens":' + b"9" * 5_000 + b"}",
        b'{"model":"x","messages":[{"role":"user"}],"temperature":1e999}',
        b'{"model":"x","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"x","messages":[{"role":"user","\x80":[{"type":"image_url"}]}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_not_a_request_is_refused(data: bytes) -> None:
    refused(data)


def test_half_a_surrogate_pair_is_read_and_passed_on_as_it_came() -> None:
    data = b'{"model":"x", "messages":[{"role":"user","content":"\\ud83d and \\uDE00"}],"\\ud800":1}'
    ask = parse(data, {})
    assert ask.models == ("x",)
    assert ask.body.rewritten({}) == data


def nested(depth: int) -> bytes:
    return b'{"model":"x","messages":[{"role":"user"}],"x":' + b"[" * depth + b"]" * depth + b"}"


def test_depth_is_bounded_wherever_it_is() -> None:
    assert parse(nested(MAX_DEPTH - 1), {}).models == ("x",)
    assert "deep" in refused(nested(MAX_DEPTH)).message
    assert parse(b'{"model":"x","messages":[{"role":"user","content":"' + b"[{" * 1_000 + b'"}]}', {})


def test_the_number_of_keys_is_bounded() -> None:
    most = {"model": MODEL, "messages": VALID["messages"], **{f"k{number}": 1 for number in range(MAX_KEYS - 2)}}
    assert read(most).models == (MODEL,)
    assert "1,001" in refused(json.dumps({**most, "one more": 1}).encode()).message


def test_of_duplicate_keys_the_last_counts_for_all_who_look() -> None:
    data = b'{"model":"one","messages":[],"messages":[{"role":"user","content":"x"}],"model":"two","model":"three"}'
    ask = parse(data, {})
    assert ask.models == ("three",)
    assert ask.body.values["model"] == b'"three"'
    assert ask.body.data is data
    many = b'{"model":"x","messages":[{"role":"user"}],' + b",".join([b'"a":1'] * 2_000) + b"}"
    assert "keys" in refused(many).message


def test_unknown_members_are_no_fault() -> None:
    unknown = {"future": {"x": [1, None]}, "provider": {"order": ["a"], "region": "eu"}, "reasoning": {"x": 1}}
    ask = read({**VALID, **unknown})
    assert ask.unknown_preferences == ("region",)
    for name in ("tools", "provider", "reasoning", "stream", "max_tokens", "session_id", "stream_options", "n"):
        assert read({**VALID, name: None}).models


def test_where_the_session_comes_from() -> None:
    body = {key: value for key, value in VALID.items() if key != "session_id"}
    header = {b"x-session-id": b"h"}
    assert read({**body, "session_id": "b", "prompt_cache_key": "k"}, header).session == "b"
    assert read({**body, "prompt_cache_key": "k"}, header).session == "h"
    assert read({**body, "prompt_cache_key": "k"}).session == "k"
    assert read(body).session is None


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ("plain", set()),
        ([{"type": "text", "text": "x"}], set()),
        ([{"type": "input_audio", "input_audio": {}}], {"audio"}),
        ([{"type": "file", "file": {}}], {"file"}),
        ([{"type": "video_url"}], {"video"}),
        ([{"type": "image_url"}, {"type": "file"}], {"image", "file"}),
        ([{"type": ["image_url"]}, "image_url", None, {"type": None}, {"image_url": 1}], set()),
        ('"image_url"', set()),
        ({"type": "image_url"}, set()),
    ],
)
def test_modalities(content: Any, kinds: set[str]) -> None:
    assert read({"model": "x", "messages": [{"role": "user", "content": content}]}).modalities == kinds | {"text"}


# --- whatever it is -----------------------------------------------------------------------------------------

PATHS = st.sampled_from(
    [
        *((key,) for key in VALID),
        ("messages", 0, "role"),
        ("messages", 1, "content"),
        ("messages", 1, "content", 1),
        ("messages", 1, "content", 1, "type"),
        ("messages", 0),
        ("models", 0),
        ("tools", 0),
        *(("provider", key) for key in ("order", "sort", "max_price", "only", "zdr", "preferred_min_throughput")),
        ("provider", "max_price", "completion"),
        ("provider", "sort", "partition"),
        ("reasoning", "max_tokens"),
        ("stream_options", "include_usage"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**40, -(10**400), "\ud800", "NaN", "1e5", "image_url", "", MODEL]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def put(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(body))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def handled(data: bytes) -> None:
    """It is refused as a bad request, or it is read and can be planned."""
    try:
        ask = parse(data, {})
    except BadRequest as refusal:
        # What cannot be encoded could not be answered.
        f"{refusal.message}{refusal.param}".encode()
        return
    w = world(offer("a"), models={"acme/two": {"endpoints": [offer("b")]}})
    try:
        plan = make(ask, w.context())
    except BadRequest:
        return
    first_chances(plan)


@given(PATHS, VALUES)
def test_any_value_anywhere_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    handled(json.dumps(put(VALID, path, value)).encode())


@given(st.data())
def test_any_damage_to_the_bytes_is_read_or_refused(data: st.DataObject) -> None:
    good = json.dumps(VALID).encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 20)))
    handled(good[:start] + data.draw(st.binary(max_size=6)) + good[end:])
