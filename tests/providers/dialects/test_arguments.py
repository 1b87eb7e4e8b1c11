"""Arguments that are no JSON object are told, however they were cut and whether or not they were streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.dialects import REGISTRY, tools
from providers.dialects.base import Envelope, Extract, StreamReader

ENVELOPE = Envelope("gen-1", "m", "P", 1)
MARKED: frozenset[Extract] = frozenset(("kimi_markers",))
ARGUMENTS = {
    "{}": False,
    "": False,
    " ": False,
    '{"a":1}': False,
    ' {"a": "\u00e9\\n\\ud83d"} ': False,
    '{"a":{"b":[1,2,{"c":"}"}]}}': False,
    '{"a":1': True,
    '{"a":1}}': True,
    '{"a":1}{"a":1}': True,
    "{'a':1}": True,
    '{"a":"line\nline"}': True,
    "[1]": True,
    '"text"': True,
    "null": True,
    "{" + '"a":{' * 5_000: True,
}


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


def part(arguments: str, index: int = 0) -> bytes:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})


def opening(index: int = 0, arguments: str = "") -> bytes:
    function = {"name": "f", "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": f"c{index}", "type": "function", "function": function}]})


def streamed(*pieces: bytes, reason: str = "tool_calls", envelope: Envelope = ENVELOPE) -> StreamReader:
    reader = REGISTRY["openai"].stream(envelope)
    for piece in (*pieces, chunk({}, reason), b"data: [DONE]\n\n"):
        reader.feed(piece)
    return reader


def whole(calls: list[dict[str, Any]] | None, reason: str = "tool_calls") -> bool | None:
    message = {"role": "assistant", "content": "a", **({} if calls is None else {"tool_calls": calls})}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    return REGISTRY["openai"].whole(json.dumps(answer).encode(), ENVELOPE).malformed


def call(arguments: object) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize(("arguments", "malformed"), ARGUMENTS.items(), ids=lambda value: str(value)[:12])
def test_what_is_malformed(arguments: str, malformed: bool) -> None:
    assert whole([call(arguments)]) is malformed
    assert streamed(opening(arguments=arguments)).malformed is malformed
    for size in (1, 7):
        parts = [part(arguments[at : at + size]) for at in range(0, min(len(arguments), 500), size)]
        assert streamed(opening(), *parts).malformed is malformed, f"in pieces of {size}"
        assert streamed(opening(), b"".join(parts)).malformed is malformed, f"in pieces of {size}, together"


def test_what_is_mended_is_not_malformed() -> None:
    assert whole([call({"a": 1}), call(None), {"id": "c", "type": "custom", "custom": {"input": "x"}}]) is False
    assert whole([call(7)]) is True


def test_one_call_of_many_is_enough() -> None:
    assert whole([call("{}"), call("{")]) is True
    turns = [opening(), opening(1), *(part(text, index) for text in ('{"a', '":1') for index in (0, 1)), part("}", 1)]
    assert streamed(*turns).malformed is True
    assert streamed(*turns, part("}")).malformed is False


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_calls_that_were_cut_off_are_not_judged(reason: str) -> None:
    assert whole([call("{")], reason) is None
    assert streamed(opening(), part("{"), reason=reason).malformed is None


def test_where_no_tools_are_called_nothing_is_malformed() -> None:
    assert whole(None, "stop") is None
    assert whole(None) is None
    assert streamed(chunk({"content": "a"}), reason="stop").malformed is None
    assert streamed(opening(), part("{"), reason="stop").malformed is True


@pytest.mark.parametrize(("arguments", "malformed"), [('{"a":1}', False), ('{"a":1', True)])
def test_calls_taken_out_of_a_text_are_judged_too(arguments: str, malformed: bool) -> None:
    text = f"<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"
    envelope = Envelope("gen-1", "m", "P", 1, extract=MARKED)
    assert streamed(chunk({"content": text}), reason="stop", envelope=envelope).malformed is malformed


def test_more_than_is_kept_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MOST_ARGUMENTS", 20)
    assert streamed(opening(), part("{"), *[part("   ")] * 10).malformed is None
    assert streamed(opening(), part("{"), part("   ")).malformed is True
