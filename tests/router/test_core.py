"""One request from its plan to its report: counted once, told of once, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from providers.errors import Broken, InvalidRequest, ServerFault
from router import ledger
from router.answer import CLIENT_LEFT, Answer
from router.budget import Budget
from router.core import Core, Setup, new_generation
from router.errors import ApiError, Busy, Exhausted, UnknownModel
from router.health import Health
from router.metrics import Metrics
from router.recall import Memory
from router.request import Request
from router.rescue.transcript import LARGE, MANY
from router.served import Served
from router.state.memory import LocalReasoning, LocalSpend, LocalSticky
from router.state.spend import SpendBook
from router.sticky import Stickiness
from tests.router.fakes import FakeResponse, Reader, Script, World, ask, client, good, offer, run, world

ORDER = {"provider": {"sort": "price"}}


class Log:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.requests: list[Served] = []

    def served(self, served: Served) -> None:
        self.requests.append(served)


class Gate:
    """A core over scripted providers, its log and its metrics."""

    def __init__(self, w: World, scripts: dict[str, Script]) -> None:
        self.loop = asyncio.get_running_loop()
        self.log = Log()
        health = Health(w.settings.health, self.loop.time)
        clients = {slug: client(slug, scripts.get(slug, good)) for slug in w.catalogue.providers}
        self.metrics = Metrics(health, lambda: self.core.in_flight)
        setup = Setup(w.settings, w.catalogue, clients)
        self.core = Core(
            setup,
            health,
            [self.log, self.metrics],
            Budget(LocalSpend(SpendBook(self.loop.time, self.loop.time))),
            Stickiness(LocalSticky(lambda: 0.0)),
            Memory(LocalReasoning(lambda: 0.0)),
            Random(1),
        )

    async def begin(self, *, metadata: bool = False, **body: Any) -> Answer:
        request = Request("gen-1", {}, self.loop.time(), metadata=metadata)
        return await self.core.complete(ask(**{"stream": True, **ORDER, **body}), request)

    async def send(self, **body: Any) -> bytes:
        answer = await self.begin(**body)
        try:
            reader = Reader()
            await answer.relay(reader)
            return reader.held
        finally:
            answer.close()

    def served(self) -> Served:
        assert len(self.log.requests) == 1
        return self.log.requests[0]

    def exposition(self) -> list[str]:
        return self.metrics.render(self.core.setup.catalogue).decode().split("\n")


def two() -> World:
    return world(offer("a", 1), offer("b", 2))


def test_a_stream_that_ends_well_is_reported_once_with_all_its_attempts() -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: ServerFault("500")})
        assert await gate.send() == b"cc<finish>"
        served = gate.served()
        assert (served.status, served.endpoint.tag) == (200, "b")
        assert [outcome.label for outcome in served.attempts] == ["server_fault", "success"]
        assert served.cost == served.attempts[1].cost > 0

    run(main())


def test_a_whole_answer_is_reported_once() -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: FakeResponse(steps=[b"{}", b""])})
        answer = await gate.begin(stream=False)
        assert answer.whole() == b"{}"
        answer.close()
        assert gate.served().status == 200

    run(main())


def test_a_stream_that_breaks_ends_with_an_error_in_it() -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: FakeResponse(steps=[b"c", Broken("reset")])})
        assert await gate.send() == b"c<fail>"
        assert gate.served().status == 502
        assert [outcome.label for outcome in gate.served().attempts] == ["broken"]

    run(main())


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_client_that_leaves_a_stream_is_reported_and_its_tokens_are_paid(pieces: int) -> None:
    async def main() -> None:
        response = FakeResponse(steps=[b"c", b"c", b"c"])
        gate = Gate(two(), {"a": lambda: response})
        answer = await gate.begin()
        leaving = gate.loop.create_task(answer.relay(Reader(most=pieces)))
        await asyncio.sleep(1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        answer.close()
        assert gate.served().status == CLIENT_LEFT
        assert [(one.label, one.estimated) for one in gate.served().attempts] == [("cancelled", True)]
        assert gate.served().cost > 0
        assert response.aborted
        assert gate.core.health.in_flight() == 0

    run(main())


@pytest.mark.parametrize(("piece", "pieces", "most"), [(b"c", 1_000, MANY), (b"c" * LARGE, 10, 0)])
def test_of_a_long_stream_few_events_are_kept_as_they_came(piece: bytes, pieces: int, most: int) -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: FakeResponse(steps=[piece] * pieces)})
        answer = await gate.begin()
        reading = gate.loop.create_task(answer.relay(Reader()))
        await asyncio.sleep(1)
        assert answer._insurance is not None
        assert len(answer._insurance.transcript.events) <= most
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        answer.close()

    run(main())


def test_a_client_that_leaves_before_an_answer_is_reported_with_the_attempt() -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: FakeResponse(steps=[])})
        task = gate.loop.create_task(gate.begin())
        await asyncio.sleep(7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        served = gate.served()
        assert (served.status, served.endpoint) == (CLIENT_LEFT, None)
        assert [outcome.label for outcome in served.attempts] == ["cancelled"]
        assert served.overhead == pytest.approx(0)

    run(main())


def test_the_overhead_is_what_no_provider_had() -> None:
    async def main() -> None:
        answers: list[Callable[[], Any]] = [lambda: ServerFault("500"), lambda: asyncio.sleep(3.0, good())]
        gate = Gate(world(offer("a")), {"a": lambda: answers.pop(0)()})
        await gate.send()
        served = gate.served()
        assert served.overhead == pytest.approx(served.duration - 3.0)
        assert served.overhead >= 0.3, "the backoff"

    run(main())


def test_the_ledger_and_the_decision_say_when_each_attempt_began() -> None:
    async def main() -> None:
        answers: list[Callable[[], Any]] = [lambda: ServerFault("500"), lambda: asyncio.sleep(3.0, good())]
        gate = Gate(world(offer("a")), {"a": lambda: answers.pop(0)()})
        await gate.send()
        served = gate.served()
        first, second = ledger.row(served, 1e9).attempts
        assert first.started == 0
        assert second.started == pytest.approx(served.duration - 3.0, abs=1e-6), "after the backoff"
        told = json.loads(served.decision.metadata())["attempts"]
        assert [one["started"] for one in told] == [first.started, second.started]

    run(main())


def test_a_failure_is_reported_with_the_status_the_client_got() -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: InvalidRequest("bad", upstream_status=422)})
        with pytest.raises(Exhausted):
            await gate.send()
        assert gate.served().status == 422
        with pytest.raises(UnknownModel):
            await gate.send(model="acme/nothing")

    run(main())


def test_metadata_explains_every_endpoint_and_every_attempt() -> None:
    async def main() -> None:
        w = world(offer("a", 1), offer("b", 2), offer("c", 3), off={"c": "C_KEY is not set"})
        gate = Gate(w, {"a": lambda: ServerFault("boom", upstream_status=500)})
        answer = await gate.begin(metadata=True, provider={"sort": "price", "region": "eu"})
        await answer.relay(Reader())
        decision = json.loads(answer._decision.metadata())
        answer.close()
        rows = {row["tag"]: row for row in decision["endpoints"]["available"]}
        assert {tag: (row["selected"], row["excluded_by"]) for tag, row in rows.items()} == {
            "a": (False, None),
            "b": (True, None),
            "c": (False, "provider_off"),
        }
        assert rows["b"]["expected_cost"] > rows["a"]["expected_cost"] > 0
        assert [(one["tag"], one["status"], one["result"]) for one in decision["attempts"]] == [
            ("a", 500, "server_fault"),
            ("b", 200, "success"),
        ]
        assert (decision["requested"], decision["strategy"], decision["attempt"]) == ("acme/one", "price", 2)
        assert decision["ignored_preferences"] == ["region"]
        assert decision["summary"] == "B served acme/one after a failed"

    run(main())


def test_an_error_carries_the_decision_only_where_it_was_asked_for() -> None:
    async def main() -> None:
        gate = Gate(two(), {slug: lambda: ServerFault("500") for slug in "ab"})
        for metadata in (True, False):
            with pytest.raises(ApiError) as caught:
                await gate.begin(metadata=metadata)
            assert (caught.value.openrouter_metadata is not None) == metadata

    run(main())


def test_only_so_many_are_let_in() -> None:
    async def main() -> None:
        gate = Gate(two(), {})
        most = gate.core.setup.settings.server.max_in_flight
        underway = [gate.core.enter() for _ in range(most)]
        with pytest.raises(Busy) as caught:
            gate.core.enter()
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        for one in underway:
            gate.core.leave(one)
        assert gate.core.in_flight == 0

    run(main())


def test_what_is_counted() -> None:
    async def main() -> None:
        gate = Gate(two(), {"a": lambda: ServerFault("500")})
        await gate.send()
        lines = gate.exposition()
        one, other = 'model="acme/one",provider="a"', 'model="acme/one",provider="b"'
        for line in (
            f'turnout_requests_total{{{other},status="200"}} 1.0',
            f'turnout_attempts_total{{{one},outcome="server_fault"}} 1.0',
            f'turnout_tokens_total{{kind="prompt",{other}}} 10.0',
            f'turnout_tokens_total{{kind="completion",{other}}} 5.0',
            'turnout_fallbacks_total{from="a",model="acme/one",reason="server_fault",to="b"} 1.0',
            f"turnout_endpoint_uptime_ratio{{{one}}} 0.0",
            f"turnout_endpoint_uptime_ratio{{{other}}} 1.0",
            f'turnout_endpoint_state{{{one},state="on"}} 1.0',
            "turnout_in_flight 0.0",
        ):
            assert _sorted(line) in {_sorted(found) for found in lines}, line

    run(main())


def _sorted(line: str) -> str:
    """A sample with its labels in one order."""
    name, _, rest = line.partition("{")
    labels, _, value = rest.rpartition("}")
    return f"{name}{sorted(labels.split(','))}{value}"


def test_what_clients_write_makes_no_new_series() -> None:
    async def main() -> None:
        gate = Gate(two(), {})
        await gate.send()
        before = len(gate.exposition())
        for number in range(10_000):
            with pytest.raises(UnknownModel):
                await gate.send(model=f"junk-{number}")
        for number in range(50):
            await gate.send(session_id=f"s{number}", user=f"u{number}")
        assert len(gate.exposition()) == before

    run(main())


def test_a_generation_id_looks_like_openrouters_and_is_unique() -> None:
    ids = {new_generation() for _ in range(1_000)}
    assert len(ids) == 1_000
    prefix, seconds, rest = ids.pop().split("-")
    assert (prefix, seconds.isdigit(), len(rest), rest.isalnum()) == ("gen", True, 20, True)
