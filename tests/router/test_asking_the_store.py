"""What a request asks the shared store is asked at once: it waits for one round trip, or for none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from router.budget import Budget
from router.recall import Memory
from router.request import Caller, Request
from router.state.memory import LocalReasoning, LocalSpend
from router.state.spend import SpendBook
from router.state.values import Grant, KeyUsage, Limits, Refusal
from router.sticky import Stickiness
from tests.router.fakes import MODEL, ask, good, offer, run, world
from tests.router.test_core import Gate

TOOL_CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
HISTORY = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS},
    {"role": "tool", "tool_call_id": "call_1", "content": "4"},
]
LIMITED = Caller("laptop", "d" * 64, limits=Limits(Decimal(1)))


class Shared:
    """A store of several replicas, which answers when told to; admissions when told so of them alone, too."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.answers = asyncio.Event()
        self.grants = asyncio.Event()
        self.asked: list[str] = []
        self.local: dict[str, str] = {}
        self.spend = LocalSpend(SpendBook(lambda: 0.0, lambda: 0.0))
        self._endpoint = endpoint

    def known(self, *name: str) -> str | None:
        return self.local.get(name[-1])

    def put(self, *_: Any, moved: bool = True) -> None:
        pass

    def ask(self, name: str, calls: Sequence[str] = ()) -> Awaitable[Any]:
        self.asked.append("reasoning" if calls else "sticky")
        return asyncio.ensure_future(self._answer([None for _ in calls] if calls else self._endpoint))

    async def _answer(self, answer: object) -> object:
        await self.answers.wait()
        return answer

    async def admit(self, key: str, limits: Limits, expected: Decimal, request: str, lease: float) -> Grant | Refusal:
        self.asked.append("limits")
        if not self.grants.is_set():
            await self.answers.wait()
        return await self.spend.admit(key, limits, expected, request, lease)

    def settle(self, grant: Grant, cost: Decimal) -> None:
        self.spend.settle(grant, cost)

    def release(self, grant: Grant) -> None:
        self.spend.release(grant)

    async def usage(self, key: str) -> KeyUsage:
        return await self.spend.usage(key)


def gate(shared: Shared) -> Gate:
    one = Gate(world(offer("a", 1), offer("b", 1000)), {"a": good, "b": good})
    one.core._stickiness = Stickiness(shared)
    one.core._memory = Memory(shared)
    one.core._budget = Budget(shared)
    return one


async def begun(one: Gate, caller: Caller = LIMITED, **body: Any) -> asyncio.Task[Any]:
    request = Request("gen-1", {}, one.loop.time(), caller)
    task = asyncio.ensure_future(one.core.complete(ask(stream=True, **body), request))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def test_all_that_is_asked_is_asked_before_any_of_it_is_answered() -> None:
    async def main() -> None:
        shared = Shared()
        one = gate(shared)
        task = await begun(one, messages=HISTORY)
        assert sorted(shared.asked) == ["limits", "reasoning", "sticky"]
        assert not task.done()
        shared.answers.set()
        (await task).close()

    run(main())


def test_where_a_conversation_stands_elsewhere_decides_though_its_money_was_reserved_already() -> None:
    async def main() -> None:
        shared = Shared(f"{MODEL}\nb\n0")
        shared.answers.set()
        one = gate(shared)
        (await (await begun(one, messages=HISTORY))).close()
        assert one.served().endpoint.tag == "b"
        assert (await shared.usage(LIMITED.digest)).reserved == 0

    run(main())


@pytest.mark.parametrize(
    "body",
    [{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}, {"messages": HISTORY[:1]}],
    ids=["first question", "instructions only"],
)
def test_a_conversation_that_begins_waits_for_nobody(body: dict[str, Any]) -> None:
    async def main() -> None:
        shared = Shared()
        task = await begun(gate(shared), Caller(), **body)
        assert shared.asked == []
        (await task).close()

    run(main())


def test_a_session_is_asked_for_from_its_first_message() -> None:
    async def main() -> None:
        shared = Shared()
        task = await begun(gate(shared), Caller(), session_id="s")
        assert shared.asked == ["sticky"]
        shared.answers.set()
        (await task).close()

    run(main())


def test_what_this_process_knows_is_not_asked_for() -> None:
    async def main() -> None:
        shared = Shared()
        one = gate(shared)
        stuck = one.core._stickiness.find(ask(messages=HISTORY), Request("g", {}, 0.0))
        shared.local = {stuck.conversation: f"{MODEL}\nb\n0", "call_1": "{}"}
        shared.asked.clear()
        (await (await begun(one, Caller(), messages=HISTORY))).close()
        assert shared.asked == []
        assert one.served().endpoint.tag == "b"

    run(main())


def test_reasoning_that_a_request_brings_is_looked_for_here_and_asked_of_nobody() -> None:
    shared = Shared()
    memory = Memory(shared)
    brought = [message | {"reasoning": "r"} if "tool_calls" in message else message for message in HISTORY]
    request = Request("g", {}, 0.0)
    assert (memory.recall(ask(messages=brought), request).asked, shared.asked) == (None, [])
    shared.local = {"call_1": "{}"}
    recalled = memory.recall(ask(messages=brought), request)
    assert (recalled.thoughts, recalled.asked, shared.asked) == ({"call_1": "{}"}, None, [])


def test_what_is_remembered_is_its_clients_own_and_forgotten_after_an_hour() -> None:
    now = [0.0]
    store = LocalReasoning(lambda: now[0])
    store.put(LIMITED.digest, ("call_1",), "{}")
    brought = [message | {"reasoning": "r"} if "tool_calls" in message else message for message in HISTORY]

    def remembered(caller: Caller) -> dict[str, str]:
        request = Request("g", {}, 0.0, caller)
        return dict(Memory(store).recall(ask(messages=brought), request).thoughts)

    assert (remembered(LIMITED), remembered(Caller())) == ({"call_1": "{}"}, {})
    now[0] = 3601.0
    assert remembered(LIMITED) == {}


def test_a_client_that_leaves_while_others_are_asked_owes_nothing() -> None:
    async def main() -> None:
        shared = Shared()
        one = gate(shared)
        shared.grants.set()
        task = await begun(one, messages=HISTORY)
        assert (await shared.usage(LIMITED.digest)).reserved > 0
        task.cancel()
        await asyncio.wait([task])
        assert (await shared.usage(LIMITED.digest)).reserved == 0
        assert one.core.setup.users == 0
        shared.answers.set()

    run(main())
