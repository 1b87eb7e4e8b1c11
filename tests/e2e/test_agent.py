"""An agent of three hundred tool calls, with reasoning on each, over providers that fail and refuse a lost thought."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import openai

from providers.sandbox import (
    Answer,
    Cut,
    Empty,
    ErrorInStream,
    Hang,
    MalformedJson,
    Phase,
    Reset,
    Sandbox,
    Status,
    Tokens,
    ToolCall,
    bad_key,
    html_502,
    invalid_request,
    model_retired,
    overloaded,
    quota,
    rate_limited,
    server_error,
)
from providers.sandbox.reply import Script
from providers.sandbox.stage import Stage
from tests.e2e.harness import MODEL, Bench, Offer
from tests.e2e.talk import post

TURNS = 300
DIALECTS = ("moonshot", "cometapi", "openrouter")
SHARE = 0.2
"""Of the requests to a provider, those that fail."""

Json = dict[str, Any]
FAULTS: dict[str, Callable[[], Any]] = {
    "hang": Hang,
    "hang_in_head": lambda: Hang(Phase.PART_OF_HEAD),
    "hang_after_role": lambda: Hang(Phase.ROLE),
    "reset": Reset,
    "500": server_error,
    "502_page": html_502,
    "503": overloaded,
    "524": lambda: Status(524, b"error code: 524"),
    "429": lambda: rate_limited(0),
    "retired": model_retired,
    "empty": Empty,
    "no_choices": lambda: Empty("choices"),
    "no_body": lambda: Empty("body"),
    "malformed": MalformedJson,
    "cut": Cut,
    "cut_rst": lambda: Cut(how="rst"),
    "cut_length": lambda: Cut(how="length"),
    "error_in_200": ErrorInStream,
    "error_body_in_200": lambda: ErrorInStream(shape="body"),
    "error_as_finish": lambda: ErrorInStream(shape="finish_only"),
}
"""What may happen before the first content."""
IN_THE_MIDDLE: dict[str, Callable[[], Any]] = {
    "cut_in_reasoning": lambda: Cut(2),
    "cut_in_event": lambda: Cut(5, mid_event=True),
    "cut_in_tool_call": lambda: Cut(9),
    "reset_in_the_middle": lambda: Cut(4, "rst"),
    "silence_in_the_middle": lambda: Hang(4),
    "malformed_in_the_middle": lambda: MalformedJson(4),
    "error_in_the_middle": lambda: ErrorInStream(4),
    "cut_before_the_finish": lambda: Cut(99),
}
"""What may happen in the middle of an answer that is not streamed; of streams, test_rescue.py tells."""
TOOLS = [{"type": "function", "function": {"name": "step", "parameters": {"type": "object", "properties": {}}}}]
FIRST: Json = {"role": "user", "content": "Zähle bis dreihundert \u2028 und denke dabei."}


@cache
def answer_of(turn: int) -> Answer:
    """What the model says in a turn; no two are alike."""
    return Answer(
        reasoning=f"Schritt {turn}: „{turn * 7919 % 1000}“ \u2028 \\u0041 \U0001f914\n  ende{' ' * (turn % 3)}",
        content="" if turn % 2 else f"Gleich {turn} …",
        tool_calls=(ToolCall("step", f'{{ "n" : {turn}, "note":"\\u00fc\\n{turn}" }}', f"functions.step:{turn}"),),
        tokens=Tokens(prompt=50 + turn),
        fragment=9,
    )


def result_of(turn: int) -> Json:
    return {"role": "tool", "tool_call_id": f"functions.step:{turn}", "content": f'{{"ok":{turn}}}\u2028'}


def lost(dialect: str, messages: list[Json]) -> str | None:
    """What of the turns before is missing or altered."""
    first, *rest = messages
    said, results = rest[::2], rest[1::2]
    if first != FIRST or len(said) != len(results):
        return "messages are missing"
    for turn, (message, result) in enumerate(zip(said, results, strict=True)):
        answer = answer_of(turn)
        calls = [{key: call[key] for key in ("id", "type", "function")} for call in message["tool_calls"]]
        for call in calls:
            call["function"].pop("parsed_arguments", None)  # openai-python's helper adds it
        if thought(dialect, message) != answer.reasoning:
            return f"the reasoning of turn {turn} is missing or altered"
        if calls != answer.expected_tool_calls or result != result_of(turn):
            return f"the tool call or the result of turn {turn} is altered"
        if (message.get("content") or "") != answer.content:
            return f"the content of turn {turn} is altered"
    return None


def thought(dialect: str, message: Json) -> str | None:
    """The reasoning in the field that this provider reads."""
    if dialect != "openrouter":
        stray = "reasoning" in message or "reasoning_details" in message
        return None if stray else message.get("reasoning_content")
    return "".join(detail.get("text") or "" for detail in message.get("reasoning_details") or ())


class Trouble:
    """Whose first request fails in which turn, and how: every kind in turn, and one provider is spared each time."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._failing = [self._draw() for _ in range(TURNS)]
        self.met: Counter[str] = Counter()

    def _draw(self) -> set[str]:
        failing = {dialect for dialect in DIALECTS if self._rng.random() < SHARE}
        return failing - {self._rng.choice(DIALECTS)} if len(failing) == len(DIALECTS) else failing

    def strikes(self, dialect: str, turn: int, stream: bool) -> str | None:
        """The kind of failure, once."""
        if dialect not in self._failing[turn]:
            return None
        self._failing[turn].remove(dialect)
        kinds = FAULTS if stream else FAULTS | IN_THE_MIDDLE
        untried = [kind for kind in kinds if kind not in self.met]
        kind = self._rng.choice(untried or list(kinds))
        self.met[kind] += 1
        return kind


@dataclass
class Strict:
    """A provider that refuses a conversation in which anything is lost, and fails by schedule."""

    box: Sandbox
    trouble: Trouble
    answered: int = 0
    refused: list[str] = field(default_factory=list)

    def perform(self, stage: Stage) -> Script:
        messages = self.box.requests[-1].json["messages"]
        self.box.requests.clear()
        dialect = self.box.provider.name
        if (what := lost(dialect, messages)) is not None:
            self.refused.append(what)
            return stage.perform(invalid_request(what))
        turn = len(messages) // 2
        if (kind := self.trouble.strikes(dialect, turn, stage.asked.stream)) is not None:
            return stage.perform((FAULTS | IN_THE_MIDDLE)[kind]())
        self.answered += 1
        return stage.perform(answer_of(turn))


async def test_three_hundred_tool_calls_in_a_row_none_lost(bench: Bench) -> None:
    trouble = Trouble(seed=20251124)
    providers = []
    for dialect in DIALECTS:
        box = await bench.box(dialect)
        providers.append(Strict(box, trouble))
        box.always(providers[-1])
    keyless, broke = await bench.box("moonshot"), await bench.box("cometapi")
    keyless.always(bad_key())
    broke.always(quota())
    gateway = await bench.gateway(
        [
            *(Offer(one.box, one.box.provider.name) for one in providers),
            Offer(keyless, "keyless", price="0.1"),
            Offer(broke, "broke", price="0.1"),
        ],
        timeouts={"first_token": 1, "idle": 1},
        health={"breaker_failures": 10**6, "outage_min": 10**6, "uptime_min_requests": 10**6},
        retries={"backoff": 0.01},
        hedge={"after": "off"},
    )
    messages: list[Any] = [FIRST]
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0) as client:
        for turn in range(TURNS):
            message = await said(client, messages, stream=turn % 2 == 0)
            answer = answer_of(turn)
            assert (message.reasoning, message.content or "") == (answer.reasoning, answer.content)
            assert [call.function.arguments for call in message.tool_calls] == [answer.tool_calls[0].arguments]
            messages += [message.to_dict(), result_of(turn)]
    assert [one.refused for one in providers] == [[], [], []]
    assert sum(one.answered for one in providers) >= TURNS
    assert all(one.answered > TURNS / 10 for one in providers), "one of them was hardly asked"
    assert trouble.met.keys() == (FAULTS | IN_THE_MIDDLE).keys(), "not every kind of failure happened"
    assert keyless.requests
    assert broke.requests


async def said(client: openai.AsyncOpenAI, messages: list[Any], *, stream: bool) -> Any:
    """The model's next message, as the SDK has it."""
    # As an extra part of the body they are sent as they are; the SDK takes a minute to look through all of them.
    asked: Any = {"model": MODEL, "messages": [], "tools": TOOLS, "extra_body": {"messages": messages}}
    if not stream:
        return (await client.chat.completions.create(**asked)).choices[0].message
    async with client.chat.completions.stream(**asked) as events:
        return (await events.get_final_completion()).choices[0].message


async def test_a_long_conversation_costs_no_more_than_its_bytes(bench: Bench) -> None:
    box = await bench.box("moonshot")
    box.answer(Answer(content="ok", tokens=Tokens(prompt=9)))
    gateway = await bench.gateway([Offer(box, "only")])
    work: dict[int, float] = {}
    size: dict[int, int] = {}
    for turns in (300, 75, 300):  # the first to warm up
        body = {"model": MODEL, "messages": conversation(turns), "tools": TOOLS}
        gc.collect()
        with counted() as calls:
            answer = await post(gateway, body)
        assert answer.status == 200, answer.body
        assert lost("moonshot", box.requests[-1].json["messages"]) is None
        work[turns], size[turns] = calls[0], len(box.requests[-1].body)
    assert work[300] / work[75] <= size[300] / size[75]


def conversation(turns: int) -> list[Json]:
    """So many turns, as a client of all three reasoning fields sends them back."""
    messages = [FIRST]
    for turn in range(turns):
        answer = answer_of(turn)
        details = [{"type": "reasoning.text", "text": answer.reasoning, "format": "unknown", "index": 0}]
        thoughts = {"reasoning": answer.reasoning, "reasoning_details": details}
        calls = {"tool_calls": answer.expected_tool_calls}
        messages += [{"role": "assistant", "content": answer.content, **thoughts, **calls}, result_of(turn)]
    return messages


@contextmanager
def counted() -> Iterator[list[int]]:
    """Calls of functions, Python's and C's, while entered: work that is the same on every machine."""
    calls = [0]

    def note(frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
