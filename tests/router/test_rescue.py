"""Whatever an answer says, wherever it is cut and however it is spelled the second time: the client holds the whole
answer, or a beginning of it and an error. Pure: bytes go in, the client's events come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.schema import Rescue as Rules
from providers.dialects import REGISTRY
from providers.dialects.base import Call, Envelope, StreamReader, Tail
from providers.errors import Diverged
from providers.splice import JsonObject
from router.rescue import transcript as transcripts
from router.rescue.compare import UNMISTAKABLE
from router.rescue.transcript import MANY, Segment, Transcript
from router.rescue.ways import Continue, Replay, Way, ways

DIALECT = REGISTRY["moonshot"]
ENVELOPE = Envelope("gen-1", "acme/one", "Acme", 1)
BODY = JsonObject(b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":500}')
CALL = Call(BODY, "up", True)


@dataclass(frozen=True)
class Spoken:
    """An answer, or as much of one as a client holds."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """Name and arguments of each."""

    def begins(self, whole: Spoken) -> bool:
        calls = zip(self.calls, whole.calls, strict=False)
        return (
            whole.content.startswith(self.content)
            and whole.reasoning.startswith(self.reasoning)
            and len(self.calls) <= len(whole.calls)
            and all(name == other and all_.startswith(some) for (name, some), (other, all_) in calls)
        )


# --- an answer on the wire --------------------------------------------------------------------------------


def deltas(spoken: Spoken, cuts: Any, ids: str = "call") -> list[dict[str, Any]]:
    """It in pieces. `cuts(text)` splits a text."""
    out: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    out += [{"reasoning_content": piece} for piece in cuts(spoken.reasoning)]
    out += [{"content": piece} for piece in cuts(spoken.content)]
    for index, (name, arguments) in enumerate(spoken.calls):
        opened = {"index": index, "id": f"{ids}_{index}", "type": "function"}
        out.append({"tool_calls": [{**opened, "function": {"name": name, "arguments": ""}}]})
        out += [{"tool_calls": [{"index": index, "function": {"arguments": one}}]} for one in cuts(arguments)]
    return out


def wire(deltas: list[dict[str, Any]], finish: str | None = "stop") -> bytes:
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
    if finish is not None:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    events = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if finish is not None else b"")


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    out, at = [], 0
    for size in sizes:
        out.append(data[at : at + size])
        at += size
    return [one for one in (*out, data[at:]) if one]


# --- a client ---------------------------------------------------------------------------------------------


@dataclass
class Client:
    """What a client makes of the events it is given."""

    content: str = ""
    reasoning: str = ""
    details: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)
    roles: int = 0
    error: str = ""

    def hear(self, events: bytes) -> None:
        for event in transcripts.split(events):
            for choice in json.loads(event)["choices"]:
                self._delta(choice["delta"])

    def _delta(self, delta: dict[str, Any]) -> None:
        self.roles += "role" in delta
        self.content += delta.get("content") or ""
        self.reasoning += delta.get("reasoning") or ""
        self.details += "".join(entry["text"] for entry in delta.get("reasoning_details") or [])
        for call in delta.get("tool_calls") or []:
            function = call["function"]
            if call["index"] not in self.calls:
                assert call["id"]
                self.calls[call["index"]] = [function["name"], function["arguments"]]
            else:
                assert "id" not in call
                assert "name" not in function
                self.calls[call["index"]][1] += function["arguments"]

    @property
    def holds(self) -> Spoken:
        assert self.reasoning == self.details
        calls = tuple((name, arguments) for _, (name, arguments) in sorted(self.calls.items()))
        return Spoken(self.content, self.reasoning, calls)


class Rescued:
    """A client whose stream broke, and the ways it can be carried on."""

    def __init__(self, first: bytes, sizes: list[int]) -> None:
        self.client = Client()
        self.transcript = Transcript()
        reader = DIALECT.stream(ENVELOPE)
        for piece in pieces(first, sizes):
            self._hear(reader.feed(piece))

    def _hear(self, events: bytes) -> None:
        if events:
            self.transcript.events.append(events)
            self.client.hear(events)

    def said(self) -> list[Segment]:
        said = self.transcript.said()
        assert said is not None
        return said

    def ways(self, named: str = "none") -> list[Way]:
        return list(ways(BODY, self.said(), 10, DIALECT, named))

    def carry_on(self, way: Way, second: bytes, sizes: list[int]) -> bool:
        """Whether it ended well."""
        reader: StreamReader = way.reader(DIALECT.stream(ENVELOPE))
        for piece in pieces(second, sizes):
            if not reader.ended:
                self._hear(reader.feed(piece))
        if not reader.ended:
            self._hear(reader.eof())
        if reader.error is None:
            finish = reader.finish(Tail())
            assert b'"role"' not in finish
            return True
        return False


# --- strategies -------------------------------------------------------------------------------------------

CODE = 'def f(x):\n    return "\\n" + x  # 転轍機\n\nprint(f("a"))\n'
texts = (
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)
    | st.text("ab \n", max_size=30)
    | st.sampled_from([CODE, CODE * 3, '{"a": [1, 2, {"b": "\\u00e9\\\\"}]}', "👩‍👧 🚆\u2028\u0085", "ha" * 20, " \n "])
)
arguments = st.sampled_from(['{"city": "Zürich"}', "{}", "", '{"code": "print(\\"\\\\n\\")"}', CODE])
spoken = st.builds(
    Spoken, texts, texts, st.lists(st.tuples(st.sampled_from(["run", "look"]), arguments), max_size=3).map(tuple)
).filter(lambda one: bool(one.content or one.reasoning or one.calls))
sizes = st.lists(st.integers(1, 80), max_size=12)


@st.composite
def splits(draw: st.DrawFn) -> Any:
    """A way to cut texts into pieces."""
    rng = draw(st.randoms(use_true_random=False))

    def cuts(text: str) -> list[str]:
        out = []
        while text:
            size = rng.choice((1, 1, 2, 3, 7, 20))
            out.append(text[:size])
            text = text[size:]
        return out

    return cuts


EXAMPLES = settings(max_examples=100, deadline=None)


@EXAMPLES
@given(spoken, splits(), splits(), st.floats(0, 1), sizes, sizes)
def test_a_replay_of_the_same_answer_is_the_whole_answer(
    whole: Spoken, first: Any, second: Any, at: float, cut: list[int], split: list[int]
) -> None:
    begun = deltas(whole, first)
    one = Rescued(wire(begun[: round(at * len(begun))], None), cut)
    assert one.client.holds.begins(whole)
    assume(one.client.holds != Spoken())
    assert one.carry_on(Replay(one.said()), wire(deltas(whole, second, "other")), split)
    assert one.client.holds == whole
    assert one.client.roles == 1


VARIANTS: dict[str, Callable[[Spoken], Spoken]] = {
    "longer reasoning": lambda one: replace(one, reasoning=one.reasoning + "x"),
    "shorter reasoning": lambda one: replace(one, reasoning=one.reasoning[:-1]),
    "longer text": lambda one: replace(one, content=one.content + "x"),
    "shorter text": lambda one: replace(one, content=one.content[:-1]),
    "text as reasoning": lambda one: replace(one, content=one.reasoning, reasoning=one.content),
    "other tools": lambda one: replace(one, calls=tuple((name + "x", said) for name, said in one.calls)),
    "other arguments": lambda one: replace(one, calls=tuple((name, said + "x") for name, said in one.calls)),
    "a call less": lambda one: replace(one, calls=one.calls[:-1]),
    "calls turned round": lambda one: replace(one, calls=one.calls[::-1]),
    "nothing but the calls": lambda one: replace(one, content="", reasoning=""),
}


@EXAMPLES
@given(spoken, spoken | st.sampled_from(sorted(VARIANTS)), splits(), splits(), st.floats(0, 1), sizes, sizes)
def test_a_replay_of_another_answer_is_a_beginning_and_an_error_or_agrees_to_its_end(
    whole: Spoken, second_answer: Spoken | str, first: Any, second: Any, at: float, cut: list[int], split: list[int]
) -> None:
    other = VARIANTS[second_answer](whole) if isinstance(second_answer, str) else second_answer
    begun = deltas(whole, first)
    one = Rescued(wire(begun[: round(at * len(begun))], None), cut)
    before = one.client.holds
    assume(before != Spoken())
    if one.carry_on(Replay(one.said()), wire(deltas(other, second)), split):
        assert one.client.holds == other
    else:
        assert one.client.holds == before, "not a character more than was sent before"


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - {"other arguments"}))
def test_a_replay_that_differs_in_one_part_is_found_where_the_client_has_all_of_it(name: str) -> None:
    whole = Spoken("text", "thoughts", (("run", '{"a": 1}'), ("look", "{}")))
    one = Rescued(wire(deltas(whole, lambda text: [text]), None), [])
    assert not one.carry_on(Replay(one.said()), wire(deltas(VARIANTS[name](whole), lambda text: [text])), [])
    assert one.client.holds == whole


@EXAMPLES
@given(spoken, splits(), st.floats(0, 1), st.integers(0, 200), sizes)
def test_a_replay_that_differs_in_one_character_anywhere_is_found(
    whole: Spoken, first: Any, at: float, where: int, split: list[int]
) -> None:
    begun = deltas(whole, first)
    one = Rescued(wire(begun[: round(at * len(begun))], None), [])
    before = one.client.holds
    content = before.content
    if not content:
        return
    place = where % len(content)
    changed = content[:place] + ("x" if content[place] != "x" else "y") + content[place + 1 :]
    other = Spoken(changed + whole.content[len(content) :], whole.reasoning, whole.calls)
    assert not one.carry_on(Replay(one.said()), wire(deltas(other, first)), split)
    assert one.client.holds == before


prose = spoken.filter(lambda one: not one.calls and bool(one.content.strip()))


@EXAMPLES
@given(prose, splits(), splits(), st.floats(0, 1), sizes, st.sampled_from(["partial", "prefill"]))
def test_a_continuation_is_the_whole_answer_whatever_comes(
    whole: Spoken, first: Any, second: Any, at: float, split: list[int], named: str
) -> None:
    begun = deltas(whole, first)
    one = Rescued(wire(begun[: round(at * len(begun))], None), [])
    way, *rest = one.ways(named)
    if isinstance(way, Continue):
        text = json.loads(way.call(CALL).body.values["messages"])[-1]["content"]
        assert whole.content.startswith(text)
        onward = Spoken(whole.content[len(text) :])
        if one.carry_on(way, wire(deltas(onward, second)), split):
            assert one.client.holds == whole
            return
        (way,) = rest  # it could not be told from an answer that starts over
        assert one.client.holds.begins(whole)
    assert one.carry_on(way, wire(deltas(whole, second)), split)
    assert one.client.holds == whole


@EXAMPLES
@given(prose, splits(), splits(), st.floats(0, 1), sizes, st.sampled_from(["partial", "prefill"]))
def test_a_provider_that_starts_over_is_corrected_or_refused(
    whole: Spoken, first: Any, second: Any, at: float, split: list[int], named: str
) -> None:
    begun = deltas(Spoken(whole.content), first)
    one = Rescued(wire(begun[: round(at * len(begun))], None), [])
    whole, before = Spoken(whole.content), one.client.holds
    way, *_ = one.ways(named)
    ended_well = one.carry_on(way, wire(deltas(whole, second)), split)
    assert one.client.holds == (whole if ended_well else before)


# --- what cannot be said again ----------------------------------------------------------------------------

OPAQUE: dict[str, dict[str, Any]] = {
    "signed": {"reasoning_details": [{"type": "reasoning.text", "text": "a", "signature": "s", "format": "unknown"}]},
    "sealed": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
    "summary": {"reasoning_details": [{"type": "reasoning.summary", "summary": "x"}]},
    "still to be signed": {
        "reasoning_details": [{"type": "reasoning.text", "text": "a", "format": "anthropic-claude"}]
    },
    "an image": {"images": [{"url": "data:"}]},
    "a refusal": {"refusal": "no"},
    "a call with more than a call": {
        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}, "extra_content": {"s": 1}}]
    },
}


def event(delta: dict[str, Any], **choice: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, **choice}]}).encode() + b"\n\n"


@pytest.mark.parametrize("name", OPAQUE)
def test_what_cannot_be_said_again_is_known(name: str) -> None:
    transcript = Transcript()
    transcript.events.append(event({"content": "a"}))
    assert transcript.said() is not None
    transcript.events.append(event(OPAQUE[name]))
    assert transcript.said() is None
    transcript.events.append(event({"content": "b"}))
    assert transcript.said() is None


@pytest.mark.parametrize("choice", [{"index": 1}, {"logprobs": {"content": [{"token": "a"}]}}])
def test_neither_can_a_second_choice_nor_probabilities(choice: dict[str, Any]) -> None:
    transcript = Transcript()
    transcript.events.append(event({"content": "a"}, **choice))
    assert transcript.said() is None


def test_a_long_answer_is_kept_as_its_text() -> None:
    transcript = Transcript()
    for _ in range(20_000):
        transcript.events.append(event({"content": "word "}, padding="x" * 300))
        if len(transcript.events) >= MANY:
            transcript.condense()
    kept = sum(map(len, transcript.events)) + sum(len(one) for part in transcript._segments for one in part.pieces)
    assert kept < 100_000 + MANY * 500
    (segment,) = transcript.said() or []
    assert segment.text == "word " * 20_000


# --- what is asked ----------------------------------------------------------------------------------------


def begun(content: str, reasoning: str = "") -> list[Segment]:
    said = [Segment("reasoning", [reasoning])] if reasoning else []
    return [*said, Segment("content", [content])]


def hows(body: dict[str, Any], said: list[Segment], named: str | None = None, dialect: str = "moonshot") -> list[str]:
    asked = JsonObject(json.dumps({"messages": [{"role": "user", "content": "hi"}], **body}).encode())
    return [way.how for way in ways(asked, said, 10, REGISTRY[dialect], named)]


@pytest.mark.parametrize(
    ("body", "said", "named", "expected"),
    [
        ({}, begun("text"), None, ["continue", "replay"]),
        ({}, begun("text", "thoughts"), None, ["continue", "replay"]),
        ({}, begun("text"), "none", ["replay"]),
        ({}, [Segment("reasoning", ["thoughts"])], None, ["replay"]),
        ({}, [*begun("text"), Segment("calls")], None, ["replay"]),
        ({}, [*begun("text"), Segment("reasoning", ["more"]), Segment("content", ["b"])], None, ["replay"]),
        ({}, begun(" \n"), "prefill", ["replay"]),
        ({"response_format": {"type": "json_object"}}, begun("text"), None, ["replay"]),
        ({"response_format": {"type": "json_object"}}, begun("text"), "prefill", ["continue", "replay"]),
        ({"messages": [{"role": "assistant", "content": "a"}]}, begun("text"), None, ["replay"]),
    ],
)
def test_a_beginning_is_handed_over_only_where_it_can_be(
    body: dict[str, Any], said: list[Segment], named: str | None, expected: list[str]
) -> None:
    assert hows(body, said, named) == expected


def test_an_unknown_profile_is_never_tried_with_a_beginning() -> None:
    for dialect in ("openai", "cometapi", "openrouter"):
        assert hows({}, begun("text"), None, dialect) == ["replay"]
    assert hows({}, begun("text"), "continue_final_message", "openai") == ["continue", "replay"]


def test_a_repetition_is_cut_only_where_it_cannot_be_meant() -> None:
    long = "a sentence that nobody says twice by accident. "
    assert len(long) > UNMISTAKABLE
    for text, corrected in ((long, True), ("ha ", False), ("=" * 80, False)):
        one = Rescued(wire(deltas(Spoken(text), lambda text: [text]), None), [])
        way = one.ways("partial")[0]
        assert one.carry_on(way, wire([{"content": text}, {"content": "rest"}]), []) is corrected
        assert one.client.content == (text + "rest" if corrected else text)
        assert way.corrected is corrected


def test_reasoning_anew_is_not_going_on() -> None:
    one = Rescued(wire(deltas(Spoken("text", "thoughts"), lambda text: [text]), None), [])
    reader = one.ways("partial")[0].reader(DIALECT.stream(ENVELOPE))
    assert reader.feed(wire(deltas(Spoken(" more", "thoughts again"), lambda text: [text]))) == b""
    assert isinstance(reader.error, Diverged)


def test_nothing_left_to_say_is_an_end() -> None:
    one = Rescued(wire([{"content": "all of it"}], None), [])
    assert one.carry_on(one.ways("partial")[0], wire([{"role": "assistant", "content": ""}]), [])
    assert one.client.content == "all of it"


def test_rules_have_their_defaults() -> None:
    assert (Rules().mode, Rules().max_per_request) == ("auto", 1)
