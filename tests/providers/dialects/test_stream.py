"""The stream reader beyond what golden files show: what is held back, counted, refused, and ended."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Envelope, StreamReader, Tail, Usage
from providers.dialects.template import Templates
from providers.dialects.tools import CallStream
from providers.errors import BadAnswer, Broken, EmptyAnswer, ServerFault
from providers.sse import MAX_EVENT_BYTES
from tests.providers.json_strategies import OTHER_KEYS, STRINGS, VALUES, objects

ENVELOPE = Envelope(id="gen-1", model="author/model", provider="Provider", created=1)


def reader(dialect: str = "openai", **changes: bool) -> StreamReader:
    return REGISTRY[dialect].stream(
        Envelope(id="gen-1", model="author/model", provider="Provider", created=1, **changes)
    )


def event(delta: str, finish: str = "null", index: int = 0) -> bytes:
    return b'data: {"choices":[{"index":%d,"delta":%s,"finish_reason":%s}]}\n\n' % (
        index,
        delta.encode(),
        finish.encode(),
    )


def chunks(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n\n") or not data
    lines = [part.removeprefix(b"data: ") for part in data.split(b"\n\n") if part]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@pytest.mark.parametrize(
    "nothing",
    [
        b": OPENROUTER PROCESSING\n\n",
        b"data:\n\n",
        b"data: : ping\n\n",
        event('{"role":"assistant"}'),
        event('{"role":"assistant","content":""}'),
        event('{"role":"assistant","content":null,"tool_calls":null,"refusal":null}'),
        event('{"reasoning":"","reasoning_content":null,"reasoning_details":[]}'),
        event('{"content":[]}'),
        event('{"tool_calls":[]}'),
        event('{"annotations":[],"audio":{}}'),
        event("{}"),
        event("null"),
        event('{"content":""}', '"stop"'),
        b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n',
    ],
)
@pytest.mark.parametrize("dialect", sorted(REGISTRY))
def test_what_says_nothing_is_held_back(dialect: str, nothing: bytes) -> None:
    stream = reader(dialect)
    assert stream.feed(nothing) == b""
    assert not stream.started
    assert stream.error is None
    assert stream.feed(event('{"content":"a"}')) != b""
    assert stream.started


@pytest.mark.parametrize(
    "something",
    [
        '{"content":"a"}',
        '{"content":" "}',
        '{"reasoning":"a"}',
        '{"reasoning_content":"a"}',
        '{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}',
        '{"refusal":"no"}',
        '{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}',
        '{"images":[{"type":"image_url"}]}',
        '{"future":1}',
    ],
)
@pytest.mark.parametrize("dialect", sorted(REGISTRY))
def test_what_says_something_starts_the_answer_with_its_role(dialect: str, something: str) -> None:
    stream = reader(dialect)
    stream.feed(event('{"role":"assistant","content":""}'))
    first = chunks(stream.feed(event(something)))
    assert [choice["delta"]["role"] for chunk in first for choice in chunk["choices"]] == ["assistant"]
    again = chunks(stream.feed(event(something[:-1] + ',"role":"assistant"}')))
    assert not any("role" in choice["delta"] for chunk in again for choice in chunk["choices"])


def test_only_data_events_are_counted() -> None:
    stream = reader()
    stream.feed(b": ping\n\ndata:\n\n" + event("{}") + event('{"content":"a"}') + b"data: [DONE]\n\n")
    assert stream.events == 2


def test_produced_counts_text_reasoning_and_arguments() -> None:
    stream = reader()
    stream.feed(event('{"reasoning_content":"abc"}') + event('{"content":"de"}') + event('{"content":"f"}'))
    stream.feed(event('{"tool_calls":[{"index":0,"id":"a","function":{"name":"n","arguments":"1234"}}]}'))
    assert stream.produced == 10


def test_nothing_is_read_after_done() -> None:
    stream = reader()
    stream.feed(event('{"content":"a"}', '"stop"') + b"data: [DONE]\n\n" + event('{"content":"b"}'))
    assert stream.ended
    assert stream.feed(event('{"content":"c"}')) == b""
    assert stream.eof() == b""
    assert stream.error is None


def test_excluded_reasoning_does_not_start_the_answer_but_is_one() -> None:
    stream = reader("moonshot", exclude_reasoning=True)
    assert stream.feed(event('{"reasoning_content":"a"}') + event("{}", '"stop"') + b"data: [DONE]\n\n") == b""
    assert not stream.started
    assert stream.error is None
    assert stream.produced == 1
    assert chunks(stream.finish(Tail()))[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("finish", ['"stop"', '"tool_calls"', '"eos"'])
def test_a_finish_without_anything_before_it_is_an_empty_answer(finish: str) -> None:
    stream = reader()
    stream.feed(event('{"role":"assistant"}') + event("{}", finish))
    stream.eof()
    assert type(stream.error) is EmptyAnswer


@pytest.mark.parametrize("finish", ['"length"', '"content_filter"'])
def test_a_finish_that_explains_the_silence_is_an_answer(finish: str) -> None:
    stream = reader()
    stream.feed(event("{}", finish))
    stream.eof()
    assert stream.error is None


@pytest.mark.parametrize("data", [b"", b"\n\n", b": ping\n\n", event('{"role":"assistant"}'), b"plain text"])
def test_an_end_before_the_answer_is_broken(data: bytes) -> None:
    stream = reader()
    stream.feed(data)
    stream.eof()
    assert type(stream.error) is Broken


def test_done_and_nothing_else_is_an_empty_answer() -> None:
    stream = reader()
    stream.feed(b"data: [DONE]\n\n")
    assert type(stream.error) is EmptyAnswer


def test_one_unfinished_choice_of_two_is_broken() -> None:
    stream = reader()
    stream.feed(event('{"content":"a"}', '"stop"') + event('{"content":"b"}', index=1))
    stream.eof()
    assert type(stream.error) is Broken


@pytest.mark.parametrize(
    "bad", ["[]", "7", '"text"', "{", '{"choices":7}', '{"choices":[7]}', '{"choices":[{"delta":7}]}', "not json"]
)
def test_an_event_that_cannot_be_read_breaks_the_stream(bad: str) -> None:
    stream = reader()
    assert stream.feed(event('{"content":"a"}') + f"data: {bad}\n\n".encode() + event('{"content":"b"}')) != b""
    assert stream.ended
    assert type(stream.error) is BadAnswer


@pytest.mark.parametrize("nothing", ["null", '""', "{}", "[]", "false"])
def test_an_error_that_is_none_is_none(nothing: str) -> None:
    stream = reader()
    out = stream.feed(b'data: {"error":%s,"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' % nothing.encode())
    assert stream.error is None
    assert "error" not in chunks(out)[0]


@pytest.mark.parametrize(
    "told",
    [
        'data: {"error":{"message":"x"}}',
        'data: {"error":"x"}',
        'data: {"error":{"message":"x"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}',
        'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"message":"x"}}]}',
        'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}',
        'event: error\ndata: {"message":"x"}',
        'event: error\ndata: {"error":{"message":"x"}}',
        "event: error\ndata: x",
        'data: {"message":"x","request_id":"1"}',
        'data: {"detail":"x"}',
        'data: {"code":20015,"message":"x","data":null}',
    ],
)
def test_an_error_is_told_in_many_ways(told: str) -> None:
    stream = reader()
    assert stream.feed(f"{told}\n\n".encode()) == b""
    assert stream.ended
    assert type(stream.error) is ServerFault


def test_an_event_without_end_is_refused_and_what_came_before_is_not_lost() -> None:
    stream = reader()
    out = stream.feed(event('{"content":"a"}') + b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
    assert len(chunks(out)) == 1
    assert type(stream.error) is BadAnswer
    assert stream.ended


def test_bottomless_nesting_is_a_bad_answer() -> None:
    stream = reader()
    stream.feed(event('{"x":' + "[" * 100_000 + "]" * 100_000 + "}"))
    assert type(stream.error) is BadAnswer


def test_what_is_no_utf_8_is_replaced() -> None:
    stream = reader()
    out = stream.feed(event('{"content":"a"}') + b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xe4"}}]}\n\n')
    out += stream.feed(event('{"content":"b"}') + event('{"content":"?"}').replace(b"?", b"\xc3"))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks(out)] == ["a", "\ufffd\ufffd", "b", "\ufffd"]


def test_a_fingerprint_that_is_null_is_left_out_of_every_chunk() -> None:
    chunk = event('{"content":"a"}').replace(b'{"choices"', b'{"system_fingerprint":?,"choices"')
    empty, told = reader(), reader()
    assert all("system_fingerprint" not in one for one in chunks(empty.feed(chunk.replace(b"?", b"null") * 3)))
    assert [one["system_fingerprint"] for one in chunks(told.feed(chunk.replace(b"?", b'"f"') * 3))] == ["f"] * 3


@pytest.mark.parametrize("dialect", sorted(REGISTRY))
def test_what_must_not_be_null_is_left_out(dialect: str) -> None:
    nulls = '"tool_calls":null,"reasoning_details":null,"audio":null,"images":null,"refusal":null'
    stream = reader(dialect)
    out = stream.feed(event(f'{{"content":"a",{nulls}}}') + event(f'{{{nulls},"content":"b"}}') * 2)
    assert [chunk["choices"][0]["delta"] for chunk in chunks(out)] == [
        {"role": "assistant", "content": "a", "refusal": None},
        *[{"content": "b", "refusal": None}] * 2,
    ]


def test_the_end_carries_usage_cost_and_metadata_once() -> None:
    stream = reader()
    stream.feed(event('{"content":"a"}', '"stop"') + b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n')
    stream.eof()
    (last,) = chunks(stream.finish(Tail(cost=Decimal("0.25"), metadata=b'{"attempt":2}')))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["cost"] == 0.25
    assert last["openrouter_metadata"] == {"attempt": 2}


def test_a_usage_of_ours_takes_the_place_of_the_upstreams() -> None:
    stream = reader(usage_chunk=True)
    stream.feed(event('{"content":"a"}', '"stop"') + b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\n')
    stream.eof()
    finish, usage = chunks(stream.finish(Tail(usage=Usage(prompt=10, completion=2))))
    assert "usage" not in finish
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (10, 2)


def test_a_usage_of_null_erases_nothing_and_the_last_one_counts() -> None:
    stream = reader()
    for usage in (b'{"prompt_tokens":1,"completion_tokens":1}', b'{"prompt_tokens":1,"completion_tokens":2}', b"null"):
        stream.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":%s}\n\n' % usage)
    assert stream.usage is not None
    assert stream.usage.completion == 2


def test_a_failure_is_told_in_one_chunk_and_done() -> None:
    stream = reader()
    stream.feed(event('{"content":"a"}'))
    out = stream.fail(Broken("It broke."), 502, {"provider_name": "P"}, Tail(metadata=b'{"attempt":1}'))
    assert out.endswith(b"data: [DONE]\n\n")
    (chunk,) = chunks(out)
    assert chunk["error"] == {"code": 502, "message": "Provider: It broke.", "metadata": {"provider_name": "P"}}
    assert chunk["choices"][0]["delta"] == {"content": ""}
    assert chunk["choices"][0]["finish_reason"] == "error"
    assert chunk["id"] == "gen-1"
    assert chunk["openrouter_metadata"] == {"attempt": 1}
    assert stream.ended


DELTAS = st.one_of(
    STRINGS.map(lambda text: '{"content":' + text + "}"),
    STRINGS.map(lambda text: '{"reasoning_content":' + text + "}"),
    STRINGS.map(lambda text: '{ "role" : "assistant" , "content":' + text + "}"),
    st.integers(0, 2).map(lambda n: f'{{"tool_calls":[{{"index":{n},"id":"i{n}","function":{{"name":"f"}}}}]}}'),
    objects(OTHER_KEYS, VALUES),
)
EVENTS = st.tuples(
    DELTAS, st.sampled_from(["", ',"finish_reason":null', ',"finish_reason":"stop"', ',"logprobs":null'])
)


@settings(deadline=None)
@given(
    st.lists(EVENTS, max_size=8), st.sampled_from(sorted(REGISTRY)), st.sampled_from(["", ',"usage":null', ',"z":1.0'])
)
def test_reading_by_template_equals_reading_in_full(events: list[tuple[str, str]], dialect: str, after: str) -> None:
    data = [f'data: {{"choices":[{{"index":0,"delta":{delta}{more}}}]{after}}}\n\n'.encode() for delta, more in events]

    def read() -> tuple[list[bytes], object]:
        stream = reader(dialect)
        return [*map(stream.feed, data), stream.eof()], (stream.produced, stream.finish_reason, type(stream.error))

    by_template = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Templates, "apply", lambda self, data: None)
        assert read() == by_template


@given(objects(OTHER_KEYS, VALUES), st.sampled_from(sorted(REGISTRY)))
def test_unknown_members_of_a_delta_pass_to_the_byte(others: str, dialect: str) -> None:
    inner = others[1:-1].replace("\n", " ")
    delta = '{"role":"assistant","content":"a"' + ("," + inner if inner else "") + "}"
    assert delta.encode() in reader(dialect).feed(event(delta))
    if inner:
        stream = reader(dialect)
        stream.feed(event('{"content":"a"}'))
        assert ("{" + inner + ',"content":"b"}').encode() in stream.feed(event("{" + inner + ',"content":"b"}'))


@pytest.mark.parametrize(
    "more", [',"finish_reason":"stop"', ',"logprobs":{"content":[]}', ',"usage":{"prompt_tokens":7}']
)
def test_a_chunk_with_more_members_than_the_last_is_read_in_full(more: str) -> None:
    stream = reader()
    chunk = 'data: {"choices":[{"index":0,"delta":{"content":"%s"}%s}]}\n\n'
    stream.feed((chunk % ("a", "")).encode())
    assert chunks(stream.feed((chunk % ("b", more)).encode()))[0]["choices"][0]["delta"] == {"content": "b"}
    assert stream.error is None
    assert (stream.finish_reason == "stop") is ("finish_reason" in more)
    assert (stream.usage is not None) is ("usage" in more)


def test_a_delta_is_looked_for_where_it_is_and_not_where_its_bytes_are() -> None:
    stream = reader()
    chunk = 'data: {"choices":[{"index":0,"x":{"delta":{"content":"%s"}},"delta":{"content":"a"}}]}\n\n'
    stream.feed((chunk % "a").encode())
    made = chunks(stream.feed((chunk % "b").encode()))[0]["choices"][0]
    assert (made["delta"], made["x"]) == ({"content": "a"}, {"delta": {"content": "b"}})


@pytest.mark.parametrize("index", ['"index":0,', ""])
def test_whole_calls_without_ids_are_told_apart_by_being_whole(index: str) -> None:
    stream = reader()
    call = '{%s"function":{"name":"f","arguments":"{\\"a\\":1}"}}'
    out = stream.feed(event('{"tool_calls":[' + call % index + "," + call % index + "]}"))
    calls = chunks(out)[0]["choices"][0]["delta"]["tool_calls"]
    assert [made["index"] for made in calls] == [0, 1]
    assert calls[0]["id"] != calls[1]["id"]


def test_a_name_that_is_repeated_does_not_open_another_call() -> None:
    stream = reader()
    call = '{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"%s"}}]}'
    out = stream.feed(event(call % '{\\"a\\"') + event(call % ":1}"))
    first, second = (chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks(out))
    assert first["function"] == {"name": "f", "arguments": '{"a"'}
    assert second == {"index": 0, "function": {"arguments": ":1}"}}


ARGUMENTS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(['"{"', '"\\"a\\""', '""', '"\\ud83d\\ude00"', "null", '{"x":1}', '"x"}}]}', '"\\x"', '"ü"']),
        st.sampled_from(["", ',"content":null', ',"x":1']),
    ),
    max_size=10,
)


@settings(deadline=None)
@given(ARGUMENTS, st.sampled_from(sorted(REGISTRY)))
def test_arguments_that_go_on_as_before_are_read_as_in_full(pieces: list[tuple[int, str, str]], dialect: str) -> None:
    call = '{{"tool_calls":[{{"index":{},"function":{{"arguments":{}}}}}]{}}}'
    opening = (
        '{{"tool_calls":[{{"index":{0},"id":"i{0}","type":"function","function":{{"name":"f","arguments":""}}}}]}}'
    )
    deltas = [opening.format(0), opening.format(1), *(call.format(*piece) for piece in pieces)]

    def read() -> tuple[bytes, object]:
        stream = reader(dialect)
        out = b"".join([stream.feed(event(delta)) for delta in deltas])
        return out, (stream.produced, type(stream.error))

    at_once = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallStream, "goes_on", lambda self, delta: False)
        assert read() == at_once
