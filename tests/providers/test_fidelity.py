"""What upstream and client receive equals what was sent to the byte, but for the fields that are ours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Call, Envelope, Tail
from providers.dialects.engine import ProfileDialect
from providers.splice import JsonObject
from providers.surrogates import hide_lone_surrogates, restored
from tests.providers.json_strategies import SPACE, WILD, WILD_KEYS, objects

THOROUGH = settings(max_examples=2_000, deadline=None)
OTHERS = objects(WILD_KEYS, WILD)
MESSAGES = st.lists(objects(WILD_KEYS, WILD), min_size=1, max_size=3)
ENVELOPE = Envelope(id="gen-1", model="author/model", provider="Provider", created=1)
PLAIN = sorted(set(REGISTRY) - {"dashscope"})
"""dashscope is sent more than the client wrote: see its golden files."""


def joined(*parts: str) -> str:
    return ",".join(part for part in parts if part.strip())


@THOROUGH
@given(OTHERS, OTHERS, SPACE, st.sampled_from(PLAIN))
def test_the_upstream_receives_what_the_client_sent(before: str, after: str, space: str, profile: str) -> None:
    def body(model: str) -> bytes:
        own = f'{space}"model"{space}:{space}"{model}"{space}'
        return (space + "{" + joined(before[1:-1], own, after[1:-1]) + "}" + space).encode()

    assert REGISTRY[profile].encode(Call(JsonObject(body("m")), "up", False)) == body("up")


@settings(max_examples=300, deadline=None)
@given(MESSAGES, SPACE, st.sampled_from(PLAIN))
def test_messages_beside_one_that_must_change_are_sent_as_they_came(
    messages: list[str], space: str, profile: str
) -> None:
    def body(model: str, *last: str) -> bytes:
        listed = f"{space},{space}".join([*messages, *last])
        return ('{"model":"' + model + '","messages":[' + space + listed + space + "]}").encode()

    sent = REGISTRY[profile].encode(Call(JsonObject(body("m", '{"role":"assistant","reasoning":"r"}')), "up", False))
    dialect = REGISTRY[profile]
    assert isinstance(dialect, ProfileDialect)
    reads = {"details": "reasoning"}.get(dialect.profile.reads or "", dialect.profile.reads)
    assert sent == body("up", '{"role":"assistant"' + (f',"{reads}":"r"' if reads else "") + "}")


@THOROUGH
@given(OTHERS, st.sampled_from(sorted(REGISTRY)))
def test_the_client_receives_what_the_upstream_answered_whole_or_streamed(others: str, profile: str) -> None:
    inner = others[1:-1].replace("\n", " ")
    message = '{"role":"assistant","content":"a"' + ("," + inner if inner.strip() else "") + "}"
    whole = REGISTRY[profile].whole(
        ('{"choices":[{"index":0,"message":' + message + ',"finish_reason":"stop"}]}').encode(), ENVELOPE
    )
    assert message.encode() in whole.render(Tail())
    reader = REGISTRY[profile].stream(ENVELOPE)
    out = reader.feed(f'data: {{"choices":[{{"index":0,"delta":{message}}}]}}\n\n'.encode())
    assert reader.error is None
    assert message.encode() in out


@settings(max_examples=500, deadline=None)
@given(WILD)
def test_what_stands_in_for_half_a_pair_is_as_long_and_gives_it_back(text: str) -> None:
    data = text.encode()
    hidden, stand_ins = hide_lone_surrogates(data)
    assert len(hidden) == len(data)
    assert restored(hidden, stand_ins) == data
    json.loads(hidden).__repr__().encode()  # nothing is left that UTF-8 has no bytes for


def test_more_different_halves_than_there_are_stand_ins_are_refused() -> None:
    halves = "".join(
        f"\\u{high}{low:02{case}}"
        for high in ("d8", "D8", "dC", "Dc", "df", "DF")
        for low in range(256)
        for case in "xX"
    )
    with pytest.raises(ValueError):
        JsonObject(f'{{"a":"{halves}"}}'.encode())


def test_hiding_halves_takes_time_in_proportion_to_length() -> None:
    """Counted: each half is looked at once, however many there are."""
    data = b'"' + b"\\ud800x\\udc01" * 200_000 + b'"'
    hidden, stand_ins = hide_lone_surrogates(data)
    assert len(stand_ins) == 2
    assert restored(hidden, stand_ins) == data


@given(OTHERS, OTHERS)
def test_a_member_taken_away_takes_one_comma_and_its_blanks(before: str, after: str) -> None:
    data = "{" + joined(before[1:-1], ' "gone" :  1 ', after[1:-1]) + "}"
    assert (
        JsonObject(data.encode()).rewritten({"gone": None}) == ("{" + joined(before[1:-1], after[1:-1]) + "}").encode()
    )


def test_what_is_added_stands_before_the_last_blanks() -> None:
    assert JsonObject(b'{\n  "a": 1\n}\n').rewritten({"b": b"2"}) == b'{\n  "a": 1,"b":2\n}\n'
    assert JsonObject(b" { } ").rewritten({"b": b"2"}) == b' {"b":2} '
    assert JsonObject(b'{ "a":1 }').rewritten({"a": None}) == b"{}"
