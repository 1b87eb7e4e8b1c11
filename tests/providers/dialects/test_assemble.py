"""A stream where none was asked for, put together into the answer that was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Call, Envelope, Tail
from providers.errors import BadAnswer, Broken, EmptyAnswer, Overloaded, ProviderError
from providers.splice import JsonObject
from tests.providers.dialects.test_recordings import FILES, STYLES, events, gathered, load
from tests.providers.json_strategies import STRINGS

ENVELOPE = Envelope("gen-1", "author/model", "Provider", 1)


def chunk(delta: str, finish: str = "null", more: str = "") -> str:
    return f'data: {{"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}{more}}}]}}\n\n'


def put_together(data: str, dialect: str = "openai") -> dict[str, Any]:
    made: dict[str, Any] = json.loads(REGISTRY[dialect].whole(data.encode(), ENVELOPE).render(Tail()))
    return made


@pytest.mark.skipif(not FILES, reason="no recordings of provider traffic beside this checkout")
def test_recorded_streams_say_the_same_put_together() -> None:
    checked = 0
    for path in FILES:
        recording = load(path)
        body = recording["response"]["body"]
        upstream = events(body) if recording["stream"] and recording["response"]["status"] == 200 else []
        if not upstream or any(one.get("error") for one in upstream):
            continue
        expected = gathered(upstream)
        made = put_together(body, STYLES.get(recording["provider"], "openai"))
        message = made["choices"][0]["message"]
        assert (message["content"] or "") == expected["content"], path.stem
        assert message.get("reasoning", "") == expected["reasoning"], path.stem
        calls = {call["id"]: call["function"] for call in message.get("tool_calls") or []}
        assert list(calls) == list(expected["calls"]), path.stem
        for id_, (name, arguments) in expected["calls"].items():
            assert calls[id_] == {**calls[id_], "name": name, "arguments": arguments or "{}"}, path.stem
        if expected["usage"]:
            assert made["usage"]["completion_tokens"] == expected["usage"]["completion_tokens"], path.stem
        checked += 1
    assert checked > 20


@settings(deadline=None)
@given(st.lists(STRINGS, min_size=1, max_size=6), st.lists(STRINGS, max_size=4), st.sampled_from(["openai", "vllm"]))
def test_texts_are_put_together_to_the_byte(texts: list[str], thoughts: list[str], dialect: str) -> None:
    data = "".join(
        [chunk(f'{{"reasoning_content":{thought}}}') for thought in thoughts]
        + [chunk(f'{{"content":{text}}}') for text in texts]
    )
    text = '"a' + "".join(text[1:-1] for text in texts) + '"'
    thought = '"' + "".join(thought[1:-1] for thought in thoughts) + '"'
    rendered = REGISTRY[dialect].whole((chunk('{"content":"a"}') + data + chunk("{}", '"stop"')).encode(), ENVELOPE)
    out = rendered.render(Tail())
    assert b'"content":' + text.encode() in out
    if thought != '""':
        assert b'"reasoning_content":' + thought.encode() in out


def test_choices_probabilities_and_unknown_members_are_kept() -> None:
    token = ',"logprobs":{"content":[{"token":"%s"}]}'
    data = (
        chunk('{"content":"b"}', more=token % "b").replace('"index":0', '"index":1').replace("]}\n", '],"x":1}\n')
        + chunk('{"content":"a","annotations":[1]}', more=token % "a")
        + chunk('{"content":"c","annotations":[2]}', more=token % "c")
        + chunk("{}", '"length"')
        + chunk("{}", '"stop"').replace('"index":0', '"index":1')
    )
    made = put_together(data)
    first, second = made["choices"]
    assert (first["message"]["content"], second["message"]["content"]) == ("ac", "b")
    assert (first["finish_reason"], second["finish_reason"]) == ("length", "stop")
    assert [one["token"] for one in first["logprobs"]["content"]] == ["a", "c"]
    assert first["message"]["annotations"] == [1, 2]
    assert made["x"] == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (chunk('{"content":"a"}'), Broken),
        (chunk("{}", '"stop"'), EmptyAnswer),
        (": ping\n\n", Broken),
        ("data: [DONE]\n\n", EmptyAnswer),
        ('data: {"error":{"message":"at capacity","code":503}}\n\n', Overloaded),
        (chunk('{"content":"a"}') + "data: nonsense\n\n", BadAnswer),
    ],
)
def test_what_breaks_a_stream_breaks_the_answer(data: str, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        put_together(data)
    assert type(caught.value) is kind


@pytest.mark.parametrize("start", ["", "\n\n", ": ping\n\n", "event: message\n", "id: 1\n", "\ufeff", "retry: 5\n"])
def test_a_stream_is_known_by_its_first_line(start: str) -> None:
    made = put_together(start + chunk('{"content":"a"}', '"stop"') + "data: [DONE]\n\n")
    assert made["choices"][0]["message"] == {"role": "assistant", "content": "a"}


def test_reasoning_is_returned_or_not_as_the_client_wishes() -> None:
    data = chunk('{"reasoning_content":"r"}') + chunk('{"content":"a"}', '"stop"')
    envelope = Envelope("gen-1", "m", "P", 1, exclude_reasoning=True)
    made = json.loads(REGISTRY["dashscope"].whole(data.encode(), envelope).render(Tail()))
    assert made["choices"][0]["message"] == {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("members", "streams"),
    [
        ("", True),
        (',"reasoning":{"enabled":true}', True),
        (',"enable_thinking":true', True),
        (',"reasoning":{"effort":"none"}', False),
        (',"enable_thinking":false', False),
    ],
)
def test_dashscope_is_asked_for_a_stream_unless_it_does_not_reason(members: str, streams: bool) -> None:
    call = Call(JsonObject(('{"model":"m"' + members + "}").encode()), "qwen3", False)
    sent = json.loads(REGISTRY["dashscope"].encode(call))
    assert sent.get("stream", False) is streams
    assert ("stream_options" in sent) is streams
