"""Complete answers beyond what golden files show."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Envelope, Tail, Usage, Whole
from providers.errors import BadAnswer, EmptyAnswer, OutOfQuota, Overloaded, ProviderError, ServerFault
from tests.providers.json_strategies import OTHER_KEYS, VALUES, objects

ENVELOPE = Envelope(id="gen-1", model="author/model", provider="Provider", created=1)


def answer(message: str, finish: str = '"stop"', more: str = "", dialect: str = "openai") -> Whole:
    data = f'{{"choices":[{{"index":0,"message":{message},"finish_reason":{finish}}}]{more}}}'
    return REGISTRY[dialect].whole(data.encode(), ENVELOPE)


def rendered(whole: Whole, tail: Tail | None = None) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(whole.render(tail or Tail()))
    return made


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", BadAnswer),
        (b"  \n ", BadAnswer),
        (b"<html></html>", BadAnswer),
        (b"not json", BadAnswer),
        (b"[]", BadAnswer),
        (b'{"choices":[{"message"', BadAnswer),
        (b'{"id":"x"}', BadAnswer),
        (b'{"choices":null}', BadAnswer),
        (b'{"choices":{}}', BadAnswer),
        (b'{"choices":[7]}', BadAnswer),
        (b'{"choices":[{"index":0}]}', BadAnswer),
        (b'{"choices":[{"message":null}]}', BadAnswer),
        (b'{"choices":[{"message":{"tool_calls":[7]}}]}', BadAnswer),
        (b'{"choices":[]}', EmptyAnswer),
        (b'{"choices":[{"message":{}}]}', EmptyAnswer),
        (
            b'{"choices":[{"message":{"content":null,"tool_calls":[],"reasoning":""},"finish_reason":"stop"}]}',
            EmptyAnswer,
        ),
        (b'{"choices":[{"message":{"content":""},"finish_reason":"tool_calls"}]}', EmptyAnswer),
        (b'{"error":{"message":"x","code":"server_error"}}', ServerFault),
        (b'{"error":"Insufficient balance","choices":[{"message":{"content":"x"}}]}', OutOfQuota),
        (b'{"message":"x","code":1}', ServerFault),
        (b'{"choices":[{"message":{"content":"x"},"finish_reason":"insufficient_system_resource"}]}', Overloaded),
        (b'{"choices":[{"message":{"x":' + b"[" * 99999 + b"]" * 99999 + b"}}]}", BadAnswer),
    ],
)
def test_what_is_no_answer_says_what_it_is(data: bytes, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        REGISTRY["openai"].whole(data, ENVELOPE)
    assert type(caught.value) is kind


@pytest.mark.parametrize("finish", ['"length"', '"content_filter"'])
def test_a_finish_that_explains_the_silence_is_an_answer(finish: str) -> None:
    assert answer('{"role":"assistant","content":""}', finish).finish_reason == json.loads(finish)


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ('"stop"', "stop"),
        ("null", "stop"),
        ('""', "stop"),
        ('"null"', "stop"),
        ('"end_turn"', "stop"),
        ('"MAX_TOKENS"', "length"),
        ('"function_call"', "tool_calls"),
        ('"SAFETY"', "content_filter"),
        ('"from the future"', "stop"),
    ],
)
def test_finish_reasons_are_openais_and_the_providers_own_is_kept(finish: str, expected: str) -> None:
    whole = answer('{"role":"assistant","content":"a"}', finish)
    choice = rendered(whole)["choices"][0]
    assert (choice["finish_reason"], whole.finish_reason) == (expected, expected)
    assert choice["native_finish_reason"] == json.loads(finish)


def test_a_lone_surrogate_passes_as_it_came() -> None:
    message = r'{"role":"assistant","content":"\ud83d \ud83d\ude00 \\ud83d \uDE00"}'
    whole = REGISTRY["openai"].whole(b'{"choices":[{"index":0,"message":%s}]}' % message.encode(), ENVELOPE)
    assert message.encode() in whole.render(Tail())


def test_every_choice_is_made_right() -> None:
    data = b'{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"},"finish_reason":"length"}]}'
    choices = rendered(REGISTRY["openai"].whole(data, ENVELOPE))["choices"]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices] == [(0, "stop"), (1, "length")]


def test_usage_is_priced_or_replaced() -> None:
    whole = answer('{"content":"a"}', more=',"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}')
    assert rendered(whole, Tail(cost=Decimal("0.1")))["usage"]["cost"] == 0.1
    assert rendered(whole, Tail(usage=Usage(prompt=7)))["usage"]["prompt_tokens"] == 7
    assert "usage" not in rendered(answer('{"content":"a"}'))


def test_excluded_reasoning_is_not_returned_whatever_the_dialect() -> None:
    fields = b'"reasoning":"b","reasoning_content":"b","reasoning_details":[{"text":"b"}]'
    data = b'{"choices":[{"message":{"content":"a",' + fields + b"}}]}"
    for dialect in REGISTRY.values():
        whole = dialect.whole(data, Envelope("gen-1", "m", "P", 1, exclude_reasoning=True))
        assert not any("reasoning" in key for key in rendered(whole)["choices"][0]["message"])


@given(objects(OTHER_KEYS, VALUES), st.sampled_from(sorted(REGISTRY)))
def test_unknown_members_pass_to_the_byte_at_every_level(others: str, dialect: str) -> None:
    inner = others[1:-1]
    more = "," + inner if inner else ""
    message = '{"role":"assistant","content":"a"' + more + "}"
    whole = answer(message, '"stop"' + more, more, dialect)
    made = whole.render(Tail())
    assert made.count(inner.encode()) >= 3
    assert message.encode() in made


@pytest.mark.parametrize("dialect", sorted(REGISTRY))
def test_what_must_not_be_null_is_left_out(dialect: str) -> None:
    message = '{"content":"a","tool_calls":null,"reasoning_details":null,"audio":null,"images":null,"refusal":null}'
    made = rendered(answer(message, dialect=dialect))["choices"][0]["message"]
    assert made == {"role": "assistant", "content": "a", "refusal": None}
