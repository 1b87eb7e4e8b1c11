"""What a request costs the interpreter, counted and not timed: it fails only where someone made it dearer."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from providers.sandbox import Answer, Sandbox, Slow
from tests.e2e.harness import CANARY, Bench, Offer, Running
from tests.e2e.talk import Said, ask, request, talk

ROOT = Path(__file__).parents[2]
OURS = tuple(str(ROOT / package) for package in ("config", "providers", "router"))
BENEATH = ("/uvicorn/", "/prometheus_client/", "/asyncio/timeouts.py", "/contextlib.py")
"""Of other people's code, what runs on our account."""
SANDBOX = str(ROOT / "providers" / "sandbox")

REQUESTS, WARM_UP, STREAMS, WORDS = 60, 20, 3, 40
WORD = "stations "
OUR_MODULES = ("router.", "providers.")

MOST_A_REQUEST = 7_700
MOST_AN_EVENT = 330
"""Bytecodes. What was reached and some 3 %: whoever makes it cheaper lowers them."""


class Count:
    """Bytecodes executed by the gateway's code."""

    def __init__(self) -> None:
        self.bytecodes = 0
        self._counts: dict[CodeType, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self._is_counted(frame.f_code):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.bytecodes += event == "opcode"
        return self._step

    def _is_counted(self, code: CodeType) -> bool:
        known = self._counts.get(code)
        if known is None:
            name = code.co_filename
            ours = name.startswith(OURS) and not name.startswith(SANDBOX)
            known = self._counts[code] = ours or any(part in name for part in BENEATH)
        return known


@contextmanager
def counting() -> Iterator[Count]:
    """Whatever runs in this thread meanwhile is counted."""
    count, before = Count(), sys.gettrace()
    sys.settrace(count)
    try:
        yield count
    finally:
        sys.settrace(before)


async def serving(bench: Bench, answer: Answer) -> tuple[Running, list[Sandbox]]:
    """As most run it: client keys, four endpoints, the ledger in a file."""
    boxes = [await bench.box() for _ in range(4)]
    for box in boxes:
        box.answer(answer)
    offers = [Offer(box, f"p{number}", price=f"1.{number}") for number, box in enumerate(boxes)]
    auth = {"mode": "keys", "keys": [{"name": "client", "key_env": "CLIENT_KEY"}]}
    environ = {"CLIENT_KEY": CANARY, "TURNOUT_ADMIN_KEY": CANARY[::-1]}
    return await bench.gateway(offers, auth=auth, environ=environ), boxes


class Asking:
    """Requests one after another on one connection."""

    def __init__(self, gateway: Running, *, stream: bool) -> None:
        self._gateway = gateway
        self._data = request(ask(stream=stream), authorization=f"Bearer {CANARY}")

    async def times(self, number: int) -> Said:
        """The last answer."""
        async with talk(self._gateway) as conversation:
            for _ in range(number):
                await conversation.send(self._data)
                said = await conversation.said()
                assert said.status == 200
        return said


needs_311 = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="bytecodes differ from one Python to the next; the bounds are of 3.11"
)


@needs_311
async def test_a_whole_answer_costs_no_more_bytecodes_than_it_did(bench: Bench) -> None:
    gateway, _ = await serving(bench, Answer(content="A turnout is where one track becomes two."))
    asking = Asking(gateway, stream=False)
    await asking.times(WARM_UP)
    with counting() as count:
        await asking.times(REQUESTS)
    each = count.bytecodes / REQUESTS
    print(f"{each:,.0f} bytecodes a request")
    assert each <= MOST_A_REQUEST


@needs_311
async def test_an_event_costs_no_more_bytecodes_than_it_did(bench: Bench) -> None:
    """The difference between a long stream and a short one, so that what a request costs once is left out."""
    gateway, boxes = await serving(bench, Answer(content=WORD))
    asking = Asking(gateway, stream=True)
    for box in boxes:
        box.always(Slow(between=0.003))  # each event travels alone, as a model's do
    await asking.times(WARM_UP)
    costs, events = [], []
    for words in (1, WORDS):
        for box in boxes:
            box.answer(Answer(content=WORD * words))
        with counting() as count:
            said = await asking.times(STREAMS)
        costs.append(count.bytecodes / STREAMS)
        events.append(len(said.events))
    each = (costs[1] - costs[0]) / (events[1] - events[0])
    print(f"{each:,.0f} bytecodes an event")
    assert each <= MOST_AN_EVENT


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_leaves_nothing_that_only_a_collection_finds(bench: Bench, stream: bool) -> None:
    """Cycles hold a request's memory until they are looked for, and looking costs."""
    gateway, _ = await serving(bench, Answer(content="A turnout.", reasoning="Points."))
    asking = Asking(gateway, stream=stream)
    await asking.times(WARM_UP)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await asking.times(REQUESTS)
        gc.collect()
        found = Counter(type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith(OUR_MODULES))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not [name for name, number in found.items() if number >= REQUESTS], f"in cycles: {found}"
