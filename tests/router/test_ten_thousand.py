"""Ten thousand streams at providers of which one call in twenty is cut and one in twenty slow to begin."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from providers.client import Client
from providers.dialects import REGISTRY
from providers.errors import Broken
from router.budget import Budget
from router.core import Core, Setup
from router.health import Health
from router.recall import Memory
from router.request import Request
from router.served import Served
from router.state.memory import LocalReasoning, LocalSpend, LocalSticky
from router.state.spend import SpendBook
from router.sticky import Stickiness
from tests.router.fakes import FakeResponse, FakeTransport, Reader, World, ask, offer, run, world

PIECE = 32
"""Characters an event."""
WORDS = tuple(f"word {number} of many, " for number in range(6))
SLOW = 40.0
"""Seconds to the first token of a slow start."""


class Provider:
    """Answers with the words it is not given, one an event."""

    def __init__(self, rng: Random, faults: Faults) -> None:
        self._rng = rng
        self._faults = faults
        self.transport = FakeTransport(self._script)

    def _script(self) -> FakeResponse:
        last = json.loads(self.transport.bodies[-1])["messages"][-1]
        text = "".join(WORDS).removeprefix(last["content"] if last["role"] == "assistant" else "")
        events = [_event({"content": text[at : at + PIECE]}) for at in range(0, len(text), PIECE)]
        self.transport.bodies.clear()
        self._faults.calls += 1
        wait = SLOW if self._rng.random() < self._faults.slow else self._rng.uniform(0.3, 1.2)
        steps: list[Any] = [wait]
        for event in events:
            steps += [event, 0.05]
        steps.append(_event({}, "stop") + b"data: [DONE]\n\n")
        if self._rng.random() < self._faults.cut and len(events) > 1:
            at = self._rng.randrange(1, len(events)) * 2 + 1
            steps = [*steps[:at], Broken("reset")]
        return FakeResponse(steps=[*steps, b""])


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@dataclass
class Faults:
    """How often what happens, and how often anyone was called."""

    cut: float = 0.05
    slow: float = 0.05
    calls: int = 0


@dataclass
class Log:
    """An observer that adds up."""

    cost: Decimal = Decimal(0)
    useful: Decimal = Decimal(0)
    hedges: int = 0
    rescues: Counter[str] = field(default_factory=Counter)

    def served(self, served: Served) -> None:
        self.hedges += sum([outcome.hedged for outcome in served.attempts])
        self.cost += served.cost
        self.useful += served.attempts[-1].cost
        self.rescues.update(f"{one.how} {one.result}" for one in served.decision.rescues)


def gate(w: World, faults: Faults, log: Log) -> Core:
    loop = asyncio.get_running_loop()
    health = Health(w.settings.health, loop.time)
    rng = Random(7)
    dialects = {"a": "moonshot", "b": "moonshot", "c": "cometapi"}
    clients = {
        slug: Client(slug, REGISTRY[dialects[slug]], Provider(rng, faults).transport) for slug in w.catalogue.providers
    }
    setup = Setup(w.settings, w.catalogue, clients)
    budget = Budget(LocalSpend(SpendBook(loop.time, loop.time)))
    sticky, memory = Stickiness(LocalSticky(lambda: 0.0)), Memory(LocalReasoning(lambda: 0.0))
    return Core(setup, health, [log], budget, sticky, memory, Random(1))


async def one(core: Core) -> str:
    """What the client holds in the end, "" where it was told of an error."""
    request = Request("gen-1", {}, asyncio.get_running_loop().time())
    answer = await core.complete(ask(stream=True), request)
    reader = Reader()
    try:
        await answer.relay(reader)
    finally:
        answer.close()
    chunks = [json.loads(event[6:]) for event in reader.held.split(b"\n\n") if event and not event.endswith(b"[DONE]")]
    if any("error" in chunk for chunk in chunks):
        return ""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize(("requests", "most", "least"), [(2_000, 1, 0.993), (10_000, 2, 0.999)])
def test_clients_hardly_notice_and_providers_are_called_little_more(requests: int, most: int, least: float) -> None:
    async def main() -> None:
        w = world(offer("a", 1), offer("b", 1), offer("c", 2))
        rescue = w.settings.rescue.model_copy(update={"max_per_request": most})
        w.settings = w.settings.model_copy(update={"rescue": rescue})
        faults, log = Faults(), Log()
        core = gate(w, faults, log)
        held: Counter[str] = Counter()
        for _ in range(requests // 50):
            held.update(await asyncio.gather(*(one(core) for _ in range(50))))
        whole = held.pop("".join(WORDS))
        errors = held.pop("", 0)
        assert not held, "neither whole nor an error"
        overhead = float(log.cost / log.useful - 1) if log.useful else 0.0
        print(
            f"\n{requests:,} requests, at most {most} rescues each: {whole / requests:.2%} whole, {errors} errors, "
            f"{faults.calls / requests:.3f} calls a request, {log.hedges} hedges, {dict(log.rescues)}, "
            f"cost overhead {overhead:.1%}"
        )
        assert whole / requests >= least
        assert faults.calls / requests <= 1.15
        assert core.health.in_flight() == 0

    run(main())
