"""An attempt is settled exactly once, however and wherever it ends, and leaves no connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

import pytest

from config.schema import Timeouts
from providers.dialects.base import Tail
from providers.errors import (
    BadAnswer,
    Broken,
    Cancelled,
    EmptyAnswer,
    FirstTokenTimeout,
    IdleTimeout,
    ProviderError,
    ServerFault,
    TotalTimeout,
    Unreachable,
)
from router import attempt as module
from router.attempt import Attempt
from router.facts import Ticket
from router.outcome import Outcome
from tests.router.fakes import FakeResponse, Rig, Step, ask, offer, run, world

TIMES = Timeouts(first_token=10, idle=5, total=60)


class Case:
    """One attempt at a scripted answer, and every outcome it was settled with."""

    def __init__(self, answer: FakeResponse | Exception | Awaitable[FakeResponse], *, stream: bool = True, **body: int):
        self.response = answer if isinstance(answer, FakeResponse) else None
        self.rig = Rig(world(offer("a", 1_000_000)), {"a": lambda: answer}, timeouts=TIMES)
        self.loop = self.rig.loop
        self.began = self.loop.time()
        endpoint = self.rig.world.endpoint("a")
        ticket = self.rig.health.admit(endpoint)
        assert ticket is not None
        self.settled: list[Outcome] = []
        self.out = b""
        self.attempt = Attempt(
            self.rig.job(ask(stream=stream, **body)),
            ticket,
            self.rig.clients["a"],
            lambda ticket, outcome: self.settled.append(outcome),
        )

    async def drain(self) -> bytes:
        """Everything up to the end. Raises ProviderError; `out` is what came until then."""
        self.out = await self.attempt.start()
        while piece := await self.attempt.next():
            self.out += piece
        return self.out

    def passed(self) -> float:
        return self.loop.time() - self.began

    @property
    def outcome(self) -> Outcome:
        assert len(self.settled) == 1
        assert self.attempt.outcome is self.settled[0]
        return self.settled[0]


def response(*steps: Step, status: int = 200) -> FakeResponse:
    return FakeResponse(status, steps)


def test_a_stream_that_ends_well() -> None:
    async def main() -> None:
        case = Case(response(b"r", 2.0, b"c", 1.0, b"c", b"c.", b""))
        assert await case.drain() == b"ccc"
        outcome = case.outcome
        assert outcome.error is None
        assert (outcome.first_token, outcome.duration) == (pytest.approx(2), pytest.approx(3))
        assert (outcome.cost, outcome.estimated) == (Decimal(15), False)
        assert outcome.finish_reason == "stop"
        assert (case.response.closed, case.response.aborted) == (1, [])
        assert case.attempt.finish(Tail()) == b"<finish>"
        case.attempt.cancel()
        assert case.outcome is outcome

    run(main())


@pytest.mark.parametrize(
    ("steps", "told"),
    [((b"r", 2.0, b"c", 100.0), 2.0), ((Broken("reset"),), None)],
    ids=["content", "broken before it"],
)
def test_a_probe_is_told_when_its_stream_has_content(steps: tuple[Step, ...], told: float | None) -> None:
    async def main() -> None:
        case = Case(response(*steps))
        probes: list[float] = []
        ticket = Ticket(case.attempt.endpoint, True, lambda ticket: probes.append(case.passed()))
        attempt = Attempt(case.rig.job(ask(stream=True)), ticket, case.rig.clients["a"], lambda ticket, outcome: None)
        with suppress(ProviderError):
            await attempt.start()
        assert probes == ([] if told is None else [pytest.approx(told)])
        attempt.cancel()

    run(main())


def test_a_whole_answer() -> None:
    async def main() -> None:
        case = Case(response(1.0, b"{", 1.0, b"}", b""), stream=False)
        assert await case.attempt.start() == b""
        assert case.attempt.finish(Tail()) == b"{}"
        assert case.outcome.error is None
        assert case.outcome.cost == Decimal(15)
        assert case.response.closed == 1

    run(main())


FAILURES: dict[str, tuple[Callable[[], FakeResponse | Exception], type[ProviderError], bytes]] = {
    "refused": (lambda: Unreachable("no"), Unreachable, b""),
    "500": (lambda: response(b"oops", b"", status=500), ServerFault, b""),
    "empty": (lambda: response(b""), EmptyAnswer, b""),
    "cut before content": (lambda: response(b"r", Broken("reset")), Broken, b""),
    "error before content": (lambda: response(b"r!"), ServerFault, b""),
    "cut after content": (lambda: response(b"c", b"c", Broken("reset")), Broken, b"cc"),
    "ended too soon": (lambda: response(b"c", b""), Broken, b"c"),
    "error with content in one piece": (lambda: response(b"cc!"), ServerFault, b"cc"),
    "error after content": (lambda: response(b"c", b"c!"), ServerFault, b"cc"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_raised_and_settled_once_and_what_came_before_is_handed_out(name: str) -> None:
    make, kind, before = FAILURES[name]

    async def main() -> None:
        case = Case(make())
        with pytest.raises(kind):
            await case.drain()
        assert case.out == before
        assert type(case.outcome.error) is kind
        assert (case.outcome.first_token is not None) == bool(before)
        assert case.outcome.estimated == bool(before), "what was produced is paid for"
        if case.response is not None:
            assert case.response.aborted
            assert case.response.closed == 0

    run(main())


@pytest.mark.parametrize(
    ("steps", "kind", "seconds", "before"),
    [
        ([], FirstTokenTimeout, 10, b""),
        ([b"r", *[step for _ in range(99) for step in (b"p", 1.0)]], FirstTokenTimeout, 10, b""),
        ([4.0, b"c"], IdleTimeout, 9, b"c"),
        ([b"c", *[step for _ in range(99) for step in (2.0, b"p")]], IdleTimeout, 5, b"c"),
        ([b"c", 4.0, b"c", 4.0, b"c"], IdleTimeout, 13, b"ccc"),
        ([b"c", *[step for _ in range(99) for step in (4.0, b"c")]], TotalTimeout, 60, b"c" * 15),
    ],
    ids=["silent", "comments only", "silent after content", "comments after content", "slow then silent", "endless"],
)
def test_silence_is_measured_in_data_events(
    steps: list[Step], kind: type[ProviderError], seconds: float, before: bytes
) -> None:
    async def main() -> None:
        case = Case(response(*steps))
        with pytest.raises(kind):
            await case.drain()
        assert case.out == before
        assert case.passed() == pytest.approx(seconds, abs=0.01)
        assert type(case.outcome.error) is kind
        assert case.response.aborted

    run(main())


def test_a_whole_answer_is_given_the_time_its_tokens_take() -> None:
    async def main() -> None:
        case = Case(response(25.0, b"{}", b""), stream=False, max_tokens=2_000)
        await case.attempt.start()
        late = Case(response(), stream=False, max_tokens=2_000)
        with pytest.raises(FirstTokenTimeout):
            await late.attempt.start()
        assert late.passed() == pytest.approx(30, abs=0.01)
        stuck = Case(response(1.0, b"{"), stream=False)
        with pytest.raises(IdleTimeout):
            await stuck.attempt.start()
        assert stuck.passed() == pytest.approx(6, abs=0.01)
        slow = Case(response(b"{", *[step for _ in range(99) for step in (4.0, b" ")]), stream=False)
        with pytest.raises(TotalTimeout):
            await slow.attempt.start()
        assert slow.passed() == pytest.approx(60, abs=0.01)
        assert slow.response.aborted

    run(main())


def test_an_answer_larger_than_the_most_is_the_providers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 100)

    async def main() -> None:
        case = Case(response(b"x" * 60, b"x" * 60, b""), stream=False)
        with pytest.raises(BadAnswer, match="larger"):
            await case.attempt.start()
        assert case.response.aborted

    run(main())


def test_an_error_body_is_read_no_further_than_needed() -> None:
    async def main() -> None:
        case = Case(response(*[b"x" * 10_000] * 100, status=500))
        with pytest.raises(ServerFault) as caught:
            await case.attempt.start()
        assert len(caught.value.raw) == module.MAX_ERROR_BODY

    run(main())


MOMENTS = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("moment", MOMENTS)
def test_cancelled_at_any_await_it_is_settled_once_and_its_connection_is_gone(moment: float, stream: bool) -> None:
    async def main() -> None:
        answer = response(1.0, b"r", 1.0, b"c", 1.0, b"c", 1.0, b"c", 1.0, b"c", 9.0)
        case = Case(asyncio.sleep(1.0, answer), stream=stream)
        task = case.loop.create_task(case.drain())
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(200)
        assert type(case.outcome.error) is Cancelled
        assert case.outcome.duration == pytest.approx(moment)
        if moment > 1:
            assert len(answer.aborted) == 1
            assert answer.closed == 0
        if stream and moment > 3:
            assert case.outcome.estimated, "tokens a client walked away from are still paid for"

    run(main())


def test_cancelled_between_two_reads_it_is_settled_once() -> None:
    async def main() -> None:
        case = Case(response(b"c", b"c"))
        await case.attempt.start()
        case.attempt.cancel()
        case.attempt.cancel()
        assert type(case.outcome.error) is Cancelled
        await asyncio.sleep(100)
        assert len(case.settled) == 1

    run(main())


def test_a_fault_of_ours_is_settled_too_and_blamed_on_nobody() -> None:
    async def main() -> None:
        case = Case(response(b"c", ZeroDivisionError("ours")))
        with pytest.raises(ZeroDivisionError):
            await case.drain()
        assert type(case.outcome.error) is Cancelled

    run(main())
