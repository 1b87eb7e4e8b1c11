"""However a provider misbehaves, both SDKs hold the whole right answer, or the provider's reason; and few are asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from providers.sandbox import (
    Answer,
    Cut,
    ErrorInStream,
    Hang,
    KeepAlive,
    MalformedJson,
    Reset,
    Sandbox,
    Slow,
    content_filter,
    context_exceeded,
    invalid_request,
    overloaded,
    rate_limited,
    server_error,
)
from tests.clients import openai_node, openai_python
from tests.clients.held import Got, accumulated
from tests.clients.lab import Lab
from tests.clients.openai_node import Scenario, needs_node
from tests.e2e.harness import Bench, Offer

WHOLE = Answer(
    content='It turns out  trains →\n\n```py\nprint("転轍機 🚆")\n```\n- one\n- two', reasoning="Points, frog. 考える"
)
WAYS = ("whole", "stream", "helper")
CALLS = len(WAYS)


@dataclass(frozen=True)
class Fault:
    """What the first provider does (and the second, where it matters), and how many calls each gets for a request."""

    first: tuple[Any, ...]
    """For ever where it is one, else one after the other, again for each request."""
    second: tuple[Any, ...] = ()
    calls: tuple[int, int] = (1, 1)
    streamed_only: bool = False
    """What it does cannot be done to a whole answer, or hits it otherwise."""
    alone: bool = False
    """There is no second provider."""


FAULTS: dict[str, Fault] = {
    "429-once": Fault((rate_limited(1), WHOLE), calls=(2, 0), alone=True),
    "429-for-ever": Fault((rate_limited(),)),
    "500-once": Fault((server_error(), WHOLE), calls=(2, 0), alone=True),
    "503-for-ever": Fault((overloaded(),)),
    "reset-before-headers": Fault((Reset(),)),
    "never-an-answer": Fault((Hang(),)),
    "first-token-late": Fault((Slow(first_token=20),)),
    "cut": Fault((Cut(12),)),
    "cut-in-an-event": Fault((Cut(12, how="rst", mid_event=True),)),
    "stall": Fault((Hang(12),), streamed_only=True),
    "stall-behind-comments": Fault((KeepAlive(every=0.05, after=12),), streamed_only=True),
    "malformed-event": Fault((MalformedJson(12),)),
    "error-in-the-stream": Fault((ErrorInStream(12),)),
    "no-done": Fault((Cut(12, how="end"),)),
    "context-length": Fault((context_exceeded(1_000),)),
    "refuses-prefixes": Fault((Cut(12),), (invalid_request("no prefix"), WHOLE), calls=(1, 2), streamed_only=True),
}
REFUSED = Fault((content_filter(),), calls=(1, 0))


async def place(bench: Bench, faults: dict[str, Fault]) -> tuple[Lab, dict[str, tuple[Sandbox, Sandbox]]]:
    """A gateway in which each fault is a model with two providers of its own."""
    boxes: dict[str, tuple[Sandbox, Sandbox]] = {}
    offers = []
    for number, (name, fault) in enumerate(faults.items()):
        one, two = boxes[name] = await bench.box(), await bench.box()
        for box, behaviours in ((one, fault.first), (two, fault.second)):
            box.answer(WHOLE)
            if len(behaviours) == 1:
                box.always(behaviours[0])
            box.script(*behaviours * CALLS if len(behaviours) > 1 else ())
        offers.append(Offer(one, f"first{number}", "1", model=f"lab/{name}"))
        if not fault.alone:
            offers.append(Offer(two, f"second{number}", "2", model=f"lab/{name}"))
    gateway = await bench.gateway(
        offers,
        timeouts={"first_token": 5, "idle": 0.4},
        hedge={"after": 0.4, "max_share": 1},
        retries={"backoff": 0.01, "backoff_max": 0.02},
        health={"breaker_failures": 1000, "outage_min": 10**6},
        preferences={"default": {"sort": "price"}},
    )
    return Lab(gateway, {}), boxes


def text(got: Got) -> tuple[str, str]:
    assert got.error is None, got.error
    message = (got.completion or accumulated(got.chunks))["choices"][0]["message"]
    return message["content"], message.get("reasoning") or ""


def check(name: str, fault: Fault, got: Got, boxes: tuple[Sandbox, Sandbox], requests: int) -> None:
    assert text(got) == (WHOLE.content, WHOLE.reasoning), name
    assert tuple(len(box.requests) for box in boxes) == tuple(calls * requests for calls in fault.calls), name


def ways(fault: Fault) -> tuple[str, ...]:
    return WAYS[1:] if fault.streamed_only else WAYS


@pytest.mark.parametrize("name", FAULTS)
async def test_openai_python_holds_the_whole_answer(bench: Bench, name: str) -> None:
    fault = FAULTS[name]
    lab, boxes = await place(bench, {name: fault})
    async with openai_python.client(lab.base_url, max_retries=0) as openai:
        for number, way in enumerate(ways(fault), 1):
            async with asyncio.timeout(8):
                got = await openai_python.ask(openai, f"lab/{name}", way)
            check(name, fault, got, boxes[name], number)
            if name == "429-for-ever":
                await asyncio.sleep(1.1)  # it cools down for a second, and is asked again


async def test_openai_python_is_told_the_reason_of_a_refusal(bench: Bench) -> None:
    lab, boxes = await place(bench, {"refused": REFUSED})
    async with openai_python.client(lab.base_url) as openai:
        for way in WAYS:
            got = await openai_python.ask(openai, "lab/refused", way)
            assert got.error is not None
            assert (got.error["status"], got.error["type"]) == (400, "content_policy_violation")
            assert "high risk" in got.error["message"]
    assert [len(box.requests) for box in boxes["refused"]] == [CALLS, 0], "neither retried nor routed around"


@needs_node
async def test_openai_node_holds_them_all(bench: Bench, tmp_path: Path) -> None:
    lasting = {name: fault for name, fault in FAULTS.items() if name != "429-for-ever"}
    lab, boxes = await place(bench, {**lasting, "refused": REFUSED})
    asked = [(name, way) for name, fault in lasting.items() for way in ways(fault)]
    scenarios = [Scenario(f"lab/{name}", way, retries=0) for name, way in [*asked, ("refused", "whole")]]
    *played, refused = await openai_node.play(lab, tmp_path, scenarios)
    for (name, way), one in zip(asked, played, strict=True):
        content, reasoning = text(one.got)
        assert content == WHOLE.content, (name, way)
        assert way == "helper" or reasoning == WHOLE.reasoning, (name, way)  # its helper adds up what it knows, no more
    for name, fault in lasting.items():
        calls = tuple(number * len(ways(fault)) for number in fault.calls)
        assert tuple(len(box.requests) for box in boxes[name]) == calls, name
    assert refused.got.error is not None
    assert refused.got.error["type"] == "content_policy_violation"
