"""Reading by template: what is taken from an event that was read before is what a full reading would give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialects import REGISTRY, tools
from providers.dialects.base import Envelope, Extract, StreamReader, Tail
from providers.dialects.delta import ChoiceStream
from providers.dialects.template import Templates
from providers.dialects.tools import CallStream
from providers.sse import MAX_EVENT_BYTES

TEXTS = (
    *(
        '"a"',
        '"a"',
        '"b c"',
        '"\\n"',
        '"\\""',
        '"\\\\"',
        '"\\\\\\""',
        '"é"',
        '"\u2028"',
        '"\x7f"',
        '"\\u2028"',
        '" "',
        '":"',
    ),
    *(
        '","',
        '"}"',
        '"}}]}"',
        '"\\ud83d"',
        '"\\ud83d\\ude00"',
        '"\\x"',
        '"a\tb"',
        '""',
        "null",
        "7",
        '"content"',
        '"null"',
    ),
    *(
        '"assistant"',
        '"finish_reason"',
        '"\\"},\\"finish_reason\\":null}]}"',
        '"},"finish_reason":null}]}',
        '"',
        "",
        "[]",
    ),
    *(
        '"\\u0000 the text \\u0000"',
        '"reasoning.text"',
        '"a","x":"b"',
        '"a" , "content":"b"',
        '[{"type":"text","text":"p"}]',
    ),
)
DELTAS = (
    '{"content":T}',
    '{"content":T}',
    '{"role":"assistant","content":T}',
    '{"content":T,"role":"assistant"}',
    '{ "content": T }',
    '{"content":"first","content":T}',
    '{"content":T,"tool_calls":null,"refusal":null}',
    '{"content":T,"x":T}',
    '{"content":T,"x":1}',
    '{"content":"","reasoning_content":T}',
    '{"content":null,"reasoning_content":T,"role":"assistant"}',
    '{"reasoning_content":T}',
    '{"reasoning":T}',
    '{"reasoning":T,"reasoning_details":[]}',
    '{"reasoning":T,"reasoning_details":[{"type":"reasoning.text","text":T,"index":0,"signature":"s"}]}',
    '{"role":{"content":T},"content":"a"}',
    '{"refusal":T}',
    '{"tool_calls":[{"index":0,"function":{"arguments":T}}]}',
    '{"tool_calls":[{"index":0,"function":{"arguments":T}}]}',
    '{"tool_calls":[{"index":1,"function":{"arguments":T}}]}',
    '{"tool_calls":[{"index":0,"function":{"arguments":T}}],"content":null}',
    '{"tool_calls":[{"index":0,"id":"i0","type":"function","function":{"name":"f","arguments":""}}]}',
    '{"tool_calls":[{"index":0,"id":"i1","type":"function","function":{"name":"f","arguments":T}}]}',
    '{"tool_calls":[{"index":1,"id":"i2","type":"function","function":{"name":"g","arguments":""}}]}',
    "{}",
    "null",
)
CHUNKS = (
    *['{"id":"c","choices":[{"index":0,"delta":D,"finish_reason":null}]}'] * 6,
    '{"id":"d","choices":[{"index":0,"delta":D,"finish_reason":null}]}',
    '{"id":"c","system_fingerprint":"f","choices":[{"index":0,"delta":D,"logprobs":null,"finish_reason":null}]}',
    '{"id":"c","choices":[{"index":0,"delta":D,"logprobs":{"x":T},"finish_reason":null}],"z":1}',
    '{"id":"c","choices":[{"index":1,"delta":D}]}',
    '{"id":"c","choices":[{"index":0,"delta":D,"finish_reason":"stop"}]}',
    '{"id":"c","choices":[{"index":0,"delta":D,"finish_reason":null}],"usage":{"prompt_tokens":1}}',
    '{"id":"c","choices":[{"index":0,"delta":D,"finish_reason":null}],"usage":null}',
    '{"id":"c","choices":[{"index":0,"delta":D,"usage":{"prompt_tokens":2}}]}',
    '{"id":"c","choices":[{"index":0,"delta":D}],"x_groq":{"usage":{"prompt_tokens":3}}}',
    '{"id":"c","choices":[{"index":0,"delta":D}],"choices":[{"index":0,"delta":D}]}',
    '{"id":"c","choices":[{"index":0,"delta":D},{"index":1,"delta":D}]}',
    '{"id":"c","choices":[{"index":0,"x":{"delta":D},"delta":{"content":"a"}}]}',
    '{"id":"c","choices":[],"y":2}',
)
WRAPS = (
    *["data: J\n\n"] * 8,
    *(
        "data:J\n\n",
        "data: J\r\n\r\n",
        "data: J\r\r",
        ": ping\n\ndata: J\n\n",
        "\n\ndata: J\n\n",
        "event: x\ndata: J\n\n",
    ),
    *(
        "data: J\n",
        "id: 1\ndata: J\n\n",
        "data: J \n\n",
        "data: J\n: late\n\n",
        "data: [DONE]\n\n",
        "event: error\ndata: J\n\n",
    ),
)
RUNS = st.tuples(
    st.sampled_from(WRAPS),
    st.sampled_from(CHUNKS),
    st.sampled_from(DELTAS),
    st.lists(st.sampled_from(TEXTS), max_size=5),
)
"""Events alike but for their text, as streams are made of."""


def spelled(runs: list[tuple[str, str, str, list[str]]]) -> list[bytes]:
    return [
        wrap.replace("J", chunk.replace("D", delta).replace("T", text)).encode()
        for wrap, chunk, delta, texts in runs
        for text in texts
    ]


def opened(
    dialect: str = "openai",
    *,
    remember: bool = False,
    exclude: bool = False,
    extract: frozenset[Extract] = frozenset(),
) -> StreamReader:
    envelope = Envelope("gen-1", "m", "P", 1, remember=remember, exclude_reasoning=exclude, extract=extract)
    return REGISTRY[dialect].stream(envelope)


@contextmanager
def ids_counted() -> Iterator[None]:
    """Ids made up for calls without one are the same on every reading."""
    numbers = count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "new_id", lambda: b'"call_%d"' % next(numbers))
        yield


@contextmanager
def read_in_full() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Templates, "known", lambda self, event: None)
        patch.setattr(Templates, "apply", lambda self, data: None)
        patch.setattr(Templates, "learn", lambda self, data, choice, stream, more: None)
        patch.setattr(CallStream, "goes_on", lambda self, delta: False)
        yield


def told(stream: StreamReader, pieces: list[bytes]) -> tuple[object, ...]:
    """All that a stream lets see, piece by piece."""
    seen: list[object] = []
    with ids_counted():
        for piece in pieces:
            seen.append((stream.feed(piece), stream.events, stream.produced, stream.started, stream.ended))
        rest = stream.eof()
    error = None if stream.error is None else (type(stream.error), stream.error.message)
    return (seen, rest, error, stream.finish_reason, stream.usage, stream.thoughts, stream.finish(Tail()))


@settings(deadline=None, max_examples=400)
@given(st.lists(RUNS, max_size=8), st.sampled_from(["openai", "openrouter", "moonshot"]), st.booleans(), st.booleans())
def test_every_event_becomes_what_a_full_reading_makes_of_it(
    runs: list[tuple[str, str, str, list[str]]], dialect: str, remember: bool, exclude: bool
) -> None:
    pieces = spelled(runs)
    by_template = told(opened(dialect, remember=remember, exclude=exclude), pieces)
    with read_in_full():
        assert told(opened(dialect, remember=remember, exclude=exclude), pieces) == by_template


@settings(deadline=None, max_examples=200)
@given(st.lists(RUNS, max_size=6), st.lists(st.integers(0, 1_500), max_size=6))
def test_events_that_arrive_together_or_cut_are_told_as_those_that_arrive_alone(
    runs: list[tuple[str, str, str, list[str]]], cuts: list[int]
) -> None:
    data = b"".join(spelled(runs))
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    in_pieces, at_once = opened(), opened()
    with ids_counted():
        out = b"".join([in_pieces.feed(data[a:b]) for a, b in pairwise(at)]) + in_pieces.eof()
    with read_in_full(), ids_counted():
        assert out == at_once.feed(data) + at_once.eof()
    assert (in_pieces.events, in_pieces.produced) == (at_once.events, at_once.produced)


MARKED = (
    *('"a"', '"b"', '"\\u003c"', '"<"', '"<think>"', '"</think>"', '"x</thi"', '"nk>y"', '" "', '"\\ud83d"'),
    *('"<|tool_calls_section_begin|>"', '"<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"', '"{}"'),
    *(
        '"<|tool_call_end|>"',
        '"<|tool_calls_section_end|>"',
        '"<|tool_call"',
        '"s_section_begin|>"',
        '"<|tool_call_begin|>"',
    ),
)
WANTED: tuple[frozenset[Extract], ...] = (
    frozenset(("think",)),
    frozenset(("kimi_markers",)),
    frozenset(("think", "kimi_markers")),
)
MARKED_RUNS = st.tuples(
    st.just(WRAPS[0]), st.just(CHUNKS[0]), st.sampled_from(DELTAS[:19]), st.lists(st.sampled_from(MARKED), max_size=6)
)


@settings(deadline=None, max_examples=300)
@given(st.lists(MARKED_RUNS, max_size=8), st.sampled_from(WANTED), st.booleans())
def test_what_a_text_is_searched_for_is_found_as_in_a_full_reading(
    runs: list[tuple[str, str, str, list[str]]], wanted: frozenset[Extract], remember: bool
) -> None:
    pieces = spelled(runs)
    by_template = told(opened(extract=wanted, remember=remember), pieces)
    with read_in_full():
        assert told(opened(extract=wanted, remember=remember), pieces) == by_template


CONTENT, REASONING = '{"content":T}', '{"content":null,"reasoning_content":T}'
ARGUMENTS = '{"tool_calls":[{"index":0,"function":{"arguments":T}}]}'
OPENING = '{"tool_calls":[{"index":0,"id":"i","type":"function","function":{"name":"f","arguments":""}}]}'


def event(delta: str, text: str = "a", end: str = "\n\n", chunk: str = CHUNKS[0]) -> bytes:
    return ("data: " + chunk.replace("D", delta).replace("T", json.dumps(text)) + end).encode()


@pytest.fixture
def full_readings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The deltas that were read, and not only copied."""
    read: list[bytes] = []
    made = ChoiceStream.delta

    def delta(self: ChoiceStream, raw: bytes) -> bytes | None:
        read.append(raw)
        return made(self, raw)

    monkeypatch.setattr(ChoiceStream, "delta", delta)
    return read


@pytest.mark.parametrize("delta", [CONTENT, REASONING, ARGUMENTS, '{"role":"assistant","content":T}'])
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("together", [False, True])
def test_of_events_alike_only_the_first_is_read(
    full_readings: list[bytes], delta: str, end: str, together: bool
) -> None:
    stream = opened(remember=True)
    stream.feed(event(OPENING, end=end) if delta == ARGUMENTS else b": ping\n\n")
    stream.feed(event(delta, end=end))
    full_readings.clear()
    events = [event(delta, text, end) for text in ("b", '"quoted"', "\n", "é", "\u2028\ud83d\ude00")]
    for piece in [b"".join(events)] if together else events:
        stream.feed(piece)
    assert full_readings == []
    assert stream.events == len(events) + (2 if delta == ARGUMENTS else 1)


@pytest.mark.parametrize("wanted", WANTED, ids=sorted)
@pytest.mark.parametrize("delta", [CONTENT, REASONING, ARGUMENTS])
def test_a_text_without_a_mark_is_not_read_where_marks_are_looked_for(
    full_readings: list[bytes], delta: str, wanted: frozenset[Extract]
) -> None:
    stream = opened(extract=wanted)
    stream.feed(event(CONTENT) + event(OPENING) + event(delta) * 2)
    full_readings.clear()
    assert b'"b"' in stream.feed(event(delta, "b"))
    assert full_readings == []
    stream.feed(event(CONTENT, "a < b"))
    assert len(full_readings) == 1


def test_a_text_within_thoughts_is_one_though_it_has_no_mark() -> None:
    stream = opened(extract=frozenset(("think",)))
    stream.feed(event(CONTENT, "<think>a"))
    for text in "bcd":
        assert b'"reasoning":"%s"' % text.encode() in stream.feed(event(CONTENT, text))
    stream.feed(event(CONTENT, "</think>e"))
    assert b'"delta":{"content":"f"}' in stream.feed(event(CONTENT, "f"))


def test_three_kinds_of_events_in_turns_are_all_known(full_readings: list[bytes]) -> None:
    stream = opened()
    chunks = [CHUNKS[0], CHUNKS[0].replace('"index":0', '"index":1'), CHUNKS[0].replace('"index":0', '"index":2')]
    for chunk in chunks:
        stream.feed(event(CONTENT, chunk=chunk))
    full_readings.clear()
    for chunk in chunks * 3:
        assert b'"content":"b"' in stream.feed(event(CONTENT, "b", chunk=chunk))
    assert full_readings == []


def test_reasoning_that_is_only_copied_is_remembered() -> None:
    stream = opened(remember=True)
    for text in "abcd":
        stream.feed(event(REASONING, text))
    stream.feed(event(OPENING))
    assert [(thought.calls, thought.text) for thought in stream.thoughts] == [(("i",), b'"abcd"')]


def test_a_text_that_ends_like_the_event_stays_text() -> None:
    stream = opened()
    end = '"},"finish_reason":null}]}'
    stream.feed(event(CONTENT) + event(CONTENT))
    made = stream.feed(event(CONTENT, end) + event(CONTENT, "\n\n" + end))
    said = [json.loads(line[6:])["choices"][0]["delta"]["content"] for line in made.split(b"\n\n") if line]
    assert said == [end, "\n\n" + end]


def test_an_event_in_which_start_and_end_overlap_is_read_in_full() -> None:
    stream = opened()
    stream.feed(event(CONTENT) * 2)
    assert stream.feed(event(CONTENT).replace(b'"a"', b'"')) == b""
    assert stream.error is not None


def test_a_call_opened_in_the_place_of_another_goes_on_under_its_own_index() -> None:
    stream = opened()
    stream.feed(event(OPENING) + event(ARGUMENTS) * 3 + event(OPENING.replace('"i"', '"j"')))
    for _ in range(3):
        made = json.loads(stream.feed(event(ARGUMENTS))[6:])["choices"][0]["delta"]["tool_calls"]
        assert made == [{"index": 1, "function": {"arguments": "a"}}]


def test_what_else_an_event_says_is_not_forgotten_by_the_next_one_like_it() -> None:
    stream = opened()
    for chunk, prompt in (
        ('{"choices":[{"delta":D}],"x_groq":{"usage":{"prompt_tokens":3}}}', 3),
        ('{"choices":[{"delta":D}],"usage":{"prompt_tokens":4}}', 4),
        ('{"choices":[{"delta":D}],"x_groq":{"usage":{"prompt_tokens":3}}}', 3),
    ):
        stream.feed(event(CONTENT, chunk=chunk))
        assert stream.usage is not None
        assert stream.usage.prompt == prompt
    for reason in ("stop", "length", "stop"):
        stream.feed(event(CONTENT, chunk='{"choices":[{"delta":D,"finish_reason":"?"}]}'.replace("?", reason)))
        assert stream.finish_reason == reason


def test_what_comes_with_an_event_that_says_nothing_is_told_with_the_next_one() -> None:
    stream = opened()
    chunk = '{"f":T,"choices":[{"index":0,"delta":D,"logprobs":null}]}'
    stream.feed(event('{"content":"a"}', "x", chunk=chunk) * 2)
    assert stream.feed(event('{"content":""}', "x", chunk=chunk)) == b""
    assert stream.feed(event('{"content":""}', "y", chunk='{"g":T,"choices":[{"index":0,"delta":D}]}')) == b""
    assert b'"f":"x","g":"y","choices"' in stream.feed(event('{"content":"b"}', "x", chunk=chunk))
    stream.feed(event("{}", chunk='{"choices":[{"index":0,"delta":D,"finish_reason":"stop"}]}'))
    assert b'"logprobs":null' in stream.finish(Tail())


def test_a_text_is_looked_for_where_it_is_and_not_where_its_bytes_are() -> None:
    stream = opened()
    stream.feed(event('{"role":{"content":T},"content":"a"}') * 2)
    assert stream.feed(event('{"role":{"content":T},"content":"a"}', "b" * 9)) != b""
    assert stream.produced == 3
    stand_in = '{"content":"\\u0000 the text \\u0000","content":T}'
    assert stream.feed(event(stand_in) * 2 + event(stand_in, "b")).count(b'"b"') == 1


def test_lines_that_are_no_data_are_not_taken_for_the_line_before_them() -> None:
    stream = opened()
    chunk = '{"id":"c",\ndata: "choices":[{"index":0,"delta":D}]}'
    stream.feed(event(CONTENT, chunk=chunk) * 2)
    assert stream.error is None
    assert stream.feed(event(CONTENT, chunk=chunk.replace("data: ", ""))) == b""
    assert stream.error is not None


def test_an_event_that_was_begun_does_not_end_where_another_one_would_start() -> None:
    stream = opened()
    stream.feed(event(CONTENT) * 2 + b'data: {"x":"')
    assert stream.feed(event(CONTENT)) == b""
    assert stream.error is not None


def test_an_event_over_the_limit_is_refused_though_it_is_like_the_last() -> None:
    stream = opened()
    stream.feed(event(CONTENT) * 2)
    assert stream.feed(event(CONTENT, "x" * MAX_EVENT_BYTES)) == b""
    assert stream.error is not None


def test_nothing_is_told_after_the_end_though_it_is_like_the_last() -> None:
    stream = opened()
    stream.feed(event(CONTENT) * 2 + b"data: [DONE]\n\n")
    assert stream.feed(event(CONTENT)) == b""


def test_ids_that_change_with_every_event_are_given_up_and_told_all_the_same() -> None:
    stream = opened()
    for number in range(100):
        assert stream.feed(event(CONTENT, str(number), chunk=CHUNKS[0].replace('"c"', f'"c{number}"'))) != b""
    assert stream.events == 100


def test_details_first_do_not_keep_the_text_after_them_from_being_known(full_readings: list[bytes]) -> None:
    stream = opened("openrouter")
    details = '{"reasoning":T,"reasoning_details":[{"type":"reasoning.text","text":T}]}'
    for _ in range(100):
        stream.feed(event(details))
    for _ in range(100):
        stream.feed(event(CONTENT))
    full_readings.clear()
    stream.feed(event(CONTENT))
    assert full_readings == []
