"""Large answers: right, bounded, and at a cost in proportion to their size (measured as a ratio within one run)."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from providers.dialects import REGISTRY
from providers.dialects.base import Call, Envelope, Extract, StreamReader, Tail
from providers.errors import BadAnswer
from providers.splice import JsonObject

EXTRACT: frozenset[Extract] = frozenset(("think", "kimi_markers"))
QUADRUPLE = 11.0
"""Four times the input may cost so many times as much: linear is 4, quadratic 16."""


def reader(dialect: str = "openai", extract: frozenset[Extract] = frozenset()) -> StreamReader:
    return REGISTRY[dialect].stream(Envelope("gen-1", "m", "P", 1, remember=True, extract=extract))


def event(delta: str) -> bytes:
    return b'data: {"id":"c","choices":[{"index":0,"delta":%s,"finish_reason":null}]}\n\n' % delta.encode()


def cost(work: Callable[[], object]) -> float:
    """Least CPU seconds of three runs."""
    spent = []
    for _ in range(3):
        gc.collect()
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def feed(deltas: list[str], dialect: str = "openai", extract: frozenset[Extract] = frozenset()) -> StreamReader:
    stream = reader(dialect, extract)
    for delta in deltas:
        stream.feed(event(delta))
    stream.eof()
    return stream


def test_a_hundred_thousand_tiny_events_are_all_told_in_bounded_memory() -> None:
    stream = reader()
    piece = b"".join([event('{"content":"a"}')] * 100)
    told = 0
    tracemalloc.start()
    for number in range(1_000):
        told += stream.feed(piece).count(b'"content":"a"')
        if number == 100:
            tracemalloc.reset_peak()
            settled = tracemalloc.get_traced_memory()[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told == stream.events == 100_000
    assert stream.produced == 100_000
    assert peak - settled < 1_000_000


KINDS: dict[str, Callable[[int], str]] = {
    "text": lambda number: '{"content":"ab"}',
    "reasoning": lambda number: '{"content":null,"reasoning_content":"ab"}',
    "details": lambda number: '{"reasoning_details":[{"type":"reasoning.text","text":"a","index":0,"signature":"s"}]}',
    "arguments": lambda number: (
        '{"tool_calls":[{"index":0,"function":{"arguments":"ab"}}]}'
        if number
        else '{"tool_calls":[{"index":0,"id":"i","function":{"name":"f","arguments":""}}]}'
    ),
    "parts": lambda number: '{"content":[{"type":"text","text":"a"}]}',
    "halves": lambda number: '{"content":"\\ud83d"}',
    "blanks": lambda number: '{"content":" "}',
    "markers": lambda number: '{"content":"<|tool_calls_section"}',
    "unknown": lambda number: '{"x":1}',
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extract", [frozenset(), EXTRACT], ids=["plain", "extracting"])
def test_a_stream_costs_in_proportion_to_its_length(kind: str, extract: frozenset[Extract]) -> None:
    def streamed(count: int) -> float:
        deltas = [KINDS[kind](number) for number in range(count)]
        return cost(lambda: feed(deltas, "openrouter" if kind == "details" else "openai", extract).thoughts)

    assert streamed(4_000) < QUADRUPLE * streamed(1_000)


@pytest.mark.parametrize("body", ["spaced", "halves", "escaped", "text"])
def test_a_request_costs_in_proportion_to_its_length(body: str) -> None:
    say = {"spaced": '{ "a" : [ 1 ] }', "halves": '"\\ud83d\\uDE00x"', "escaped": '"\\u0061"', "text": '"a"'}[body]
    message = '{"role":"assistant","content":"a","reasoning":"r","reasoning_content":"r","x":' + say + "}"

    def sent(count: int) -> float:
        data = ('{"model":"m", "messages":[' + ",".join([message] * count) + "]}").encode()
        return cost(lambda: REGISTRY["moonshot"].encode(Call(JsonObject(data), "kimi-k3", True)))

    assert sent(4_000) < QUADRUPLE * sent(1_000)


@pytest.mark.parametrize("size", [1, 65_536])
def test_an_event_costs_in_proportion_to_its_size_however_it_is_cut(size: int) -> None:
    def read(length: int) -> float:
        data = event('{"content":"' + "x" * length + '"}')
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        stream = reader()
        return cost(lambda: [stream.feed(piece) for piece in pieces])

    unit = 20_000 if size == 1 else 1_000_000
    assert read(4 * unit) < QUADRUPLE * read(unit)


def test_sixty_four_parallel_calls_are_told_apart_and_put_together() -> None:
    arguments = [json.dumps({"n": number, "text": "é\\" * 20}) for number in range(64)]
    stream = reader("ollama")
    out = b""
    for number in range(64):
        call = {"index": 0, "id": f"c{number}", "type": "function", "function": {"name": f"f{number}", "arguments": ""}}
        out += stream.feed(event(json.dumps({"tool_calls": [call]})))
        for at in range(0, len(arguments[number]), 7):
            more = {"index": 0, "function": {"arguments": arguments[number][at : at + 7]}}
            out += stream.feed(event(json.dumps({"tool_calls": [more]})))
    calls = gathered(out)
    assert list(calls) == list(range(64))
    assert [call["id"] for call in calls.values()] == [f"c{number}" for number in range(64)]
    assert [call["name"] for call in calls.values()] == [f"f{number}" for number in range(64)]
    assert [call["arguments"] for call in calls.values()] == arguments


def test_sixty_four_calls_whose_arguments_come_in_turns_are_not_mixed() -> None:
    stream = reader()
    out = b""
    for number in range(64):
        call = {"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": ""}}
        out += stream.feed(event(json.dumps({"tool_calls": [call]})))
    for turn in range(20):
        for number in range(64):
            more = {"index": number, "function": {"arguments": f"{number}.{turn} "}}
            out += stream.feed(event(json.dumps({"tool_calls": [more]}, separators=(",", ":"))))
    calls = gathered(out)
    for number in range(64):
        assert calls[number]["arguments"] == "".join(f"{number}.{turn} " for turn in range(20))


def gathered(out: bytes) -> dict[int, dict[str, Any]]:
    calls: dict[int, dict[str, Any]] = {}
    for line in out.split(b"\n\n"):
        for call in json.loads(line[6:])["choices"][0]["delta"]["tool_calls"] if line else []:
            known = calls.setdefault(call["index"], {"id": call.get("id"), "name": "", "arguments": ""})
            known["name"] += call["function"].get("name", "")
            known["arguments"] += call["function"].get("arguments", "")
    return calls


@pytest.mark.parametrize(
    "flood",
    [
        '{"choices":[{"index":N,"delta":{"content":"a"}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"cN","function":{"name":"f"}}]}}]}',
        '{"choices":[],"xN":1}',
        '{"choices":[{"index":0,"delta":{},"xN":1}]}',
    ],
    ids=["choices", "calls", "members", "members of a choice"],
)
def test_what_is_held_for_a_stream_is_bounded(flood: str) -> None:
    stream = reader()
    for number in range(3_000):
        stream.feed(f"data: {flood.replace('N', str(number))}\n\n".encode())
    assert type(stream.error) is BadAnswer


def test_content_nested_in_parts_without_end_is_a_bad_answer_and_no_other() -> None:
    content = '"a"'
    for _ in range(300):
        content = '[{"type":"text","content":' + content + "}]"
    stream = reader()
    stream.feed(event('{"content":' + content + "}"))
    assert type(stream.error) is BadAnswer
    with pytest.raises(BadAnswer):
        REGISTRY["openai"].whole(
            f'{{"choices":[{{"message":{{"content":{content}}}}}]}}'.encode(), Envelope("g", "m", "P", 1)
        ).render(Tail())
