"""Thoughts and tool calls taken out of a text: nothing lost, nothing doubled, however it is cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Envelope, Extract, Tail
from providers.extract import (
    ARGUMENTS,
    CALL,
    END_CALL,
    END_SECTION,
    END_THINK,
    LONGEST_HEAD,
    SECTION,
    THINK,
    Extractor,
    Piece,
)

MARKERS = (THINK, END_THINK, SECTION, END_SECTION, CALL, ARGUMENTS, END_CALL)
WORDS = st.sampled_from((*MARKERS, "a", " ", "\n", "<", "<|", "<|tool_call", "</", "functions.f:0", '{"x":1}', "é😀"))
TEXTS = st.lists(WORDS, max_size=12).map("".join)
BOTH = frozenset(("think", "kimi_markers"))


def found(text: str, cuts: list[int], wanted: frozenset[str] = BOTH) -> list[Piece]:
    extractor = Extractor(wanted)
    bounds = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces: list[Piece] = []
    for start, end in itertools.pairwise(bounds):
        pieces += extractor.feed("content", text[start:end])
    return pieces + extractor.close()


def told(pieces: list[Piece], *kinds: str) -> list[tuple[str, str, str]]:
    """Pieces of the same kind that follow one another are one. Only of these kinds, where any are named: text and
    reasoning go to places of their own, so which comes first does not matter."""
    if kinds:
        pieces = [piece for piece in pieces if piece.kind in kinds]
    joined: list[tuple[str, str, str]] = []
    for kind, text, name in pieces:
        if joined and joined[-1][0] == kind and kind != "call":
            joined[-1] = (kind, joined[-1][1] + text, "")
        else:
            joined.append((kind, text, name))
    return joined


@settings(max_examples=1_000, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 500), max_size=6), st.sampled_from([BOTH, frozenset(["think"]), frozenset()]))
def test_it_does_not_matter_where_the_text_is_cut(text: str, cuts: list[int], wanted: frozenset[str]) -> None:
    for kinds in (("content",), ("reasoning",), ("call", "arguments")):
        assert told(found(text, cuts, wanted), *kinds) == told(found(text, [], wanted), *kinds)


@settings(max_examples=1_000, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 500), max_size=6), st.sampled_from([["think"], ["kimi_markers"]]))
def test_all_that_is_no_marker_comes_out_once_and_in_order(text: str, cuts: list[int], wanted: list[str]) -> None:
    out = "".join(piece.text for piece in found(text, cuts, frozenset(wanted)))
    assert without_markers_and_blanks(out) == without_markers_and_blanks(text)


def without_markers_and_blanks(text: str) -> str:
    for marker in MARKERS:
        text = text.replace(marker, "")
    return "".join(text.split())


def test_a_text_without_markers_is_not_touched() -> None:
    text = "if a < b: print('<think') # <|tool_call|> </thin"
    assert told(found(text, [3, 9, 30])) == [("content", text, "")]
    assert told(found("first <think>no</think>", [])) == [("content", "first <think>no</think>", "")]


def test_a_call_that_never_gets_its_arguments_is_text() -> None:
    assert told(found(f"a{CALL}functions.f:0", [])) == [("content", f"a{CALL}functions.f:0", "")]
    long = "x" * (LONGEST_HEAD + 1)
    assert told(found(f"{CALL}{long} y", [])) == [("content", f"{CALL}{long} y", "")]


def test_arguments_that_never_end_are_those_of_the_call() -> None:
    assert told(found(f"{SECTION}{CALL}functions.a.b:12{ARGUMENTS}{{", [])) == [
        ("call", "functions.a.b:12", "a.b"),
        ("arguments", "{", ""),
    ]


@pytest.mark.parametrize(
    ("id_", "name"), [("functions.f:0", "f"), ("f:0", "f"), ("f", "f"), ("functions.a:b:1", "a:b"), (":0", ":0")]
)
def test_a_calls_id_tells_its_name(id_: str, name: str) -> None:
    assert found(f"{CALL}{id_}{ARGUMENTS}{{}}{END_CALL}", [])[0] == Piece("call", id_, name)


def gathered(out: bytes) -> dict[str, Any]:
    said: dict[str, Any] = {"content": "", "reasoning": "", "calls": {}}
    for line in out.split(b"\n\n"):
        for choice in json.loads(line[6:]).get("choices", []) if line.startswith(b"data: {") else []:
            delta = choice["delta"]
            said["content"] += delta.get("content") or ""
            said["reasoning"] += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls") or []:
                known = said["calls"].setdefault(call["index"], ["", "", ""])
                for place, part in enumerate((call.get("id"), *map(call["function"].get, ("name", "arguments")))):
                    known[place] += part or ""
    return said


@settings(max_examples=300, deadline=None)
@given(TEXTS.filter(str.strip), st.integers(1, 9), st.sampled_from(["content", "reasoning_content"]))
@example(CALL + END_CALL + CALL + ARGUMENTS, 1, "content")
@example((CALL + "functions.:0" + END_CALL) * 2, 1, "content")
def test_a_stream_and_a_whole_answer_say_the_same(text: str, size: int, field: str) -> None:
    extract: frozenset[Extract] = frozenset(("think", "kimi_markers"))
    envelope = Envelope("gen-1", "m", "P", 1, extract=extract)
    reader = REGISTRY["openai"].stream(envelope)
    out = b""
    for at in range(0, len(text), size):
        chunk = {"choices": [{"index": 0, "delta": {field: text[at : at + size]}}]}
        out += reader.feed(f"data: {json.dumps(chunk)}\n\n".encode())
    out += reader.feed(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n') + reader.eof()
    assert reader.error is None
    answer = {"choices": [{"index": 0, "message": {"content": "", field: text}, "finish_reason": "length"}]}
    whole = REGISTRY["openai"].whole(json.dumps(answer).encode(), envelope)
    message = json.loads(whole.render(Tail()))["choices"][0]["message"]
    said = gathered(out)
    assert said["content"] == (message["content"] or "")
    assert said["reasoning"] == message.get("reasoning_content", "")
    calls = [[named(call["id"]), *call["function"].values()] for call in message.get("tool_calls", [])]
    assert [[named(id_), name, arguments or "{}"] for id_, name, arguments in said["calls"].values()] == calls


def named(id_: str) -> str:
    """The id, unless it was made up."""
    return "" if id_.startswith("call_") else id_


def test_what_is_signed_is_left_alone_where_nothing_is_found() -> None:
    message = (
        '{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"b","signature":"S"}]}'
    )
    envelope = Envelope("gen-1", "m", "P", 1, extract=frozenset(("think", "kimi_markers")))
    data = f'{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}'
    assert message.encode() in REGISTRY["openrouter"].whole(data.encode(), envelope).render(Tail())
