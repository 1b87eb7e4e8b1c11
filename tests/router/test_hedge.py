"""A slow beginning costs seconds, not the request: who is started beside it, who wins, what becomes of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from config.schema import Hedge, Retries, Timeouts
from providers.errors import Cancelled, ContentRefused, InvalidRequest, ServerFault, Unreachable
from router.errors import Exhausted
from router.hedge import BURST, ENOUGH, Allowance, patience
from router.outcome import Outcome
from router.speed import Spread, spread
from tests.router.fakes import FakeResponse, Rig, Script, good, offer, run, world

ORDER = {"provider": {"sort": "price"}}
NOW = Hedge(after=3.0)


def after(seconds: float, *steps: Any) -> Script:
    """Content after so many seconds from the head."""
    return lambda: FakeResponse(steps=[seconds, *(steps or (b"rc", b"c.", b""))])


def late_head(seconds: float) -> Script:
    return lambda: asyncio.sleep(seconds, good())


def whole(seconds: float) -> Script:
    return lambda: FakeResponse(steps=[seconds, b"{", b"}", b""])


def rig(scripts: dict[str, Script], *, models: Any = None, **options: Any) -> Rig:
    w = world(*(offer(slug, price) for price, slug in enumerate("abc", 1)), models=models)
    return Rig(w, scripts, **{"hedge": NOW, "timeouts": Timeouts(first_token=30), **options})


def labels(rig: Rig) -> list[tuple[str, str, bool]]:
    return [(outcome.endpoint.tag, outcome.label, outcome.hedged) for outcome in rig.outcomes]


# --- who wins ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [after(20), late_head(20)], ids=["after the head", "before the head"])
@pytest.mark.parametrize("stream", [True, False])
def test_the_next_of_the_plan_answers_where_the_first_is_slow(slow: Script, stream: bool) -> None:
    async def main() -> None:
        a = rig({"a": slow, "b": after(1) if stream else whole(1), "c": good})
        began = a.loop.time()
        assert await a.send(stream=stream, **ORDER) == "b"
        assert a.loop.time() - began == pytest.approx(4, abs=0.01)
        assert labels(a) == [("a", "cancelled", False), ("b", "success", True)]
        assert [a.calls(slug) for slug in "abc"] == [1, 1, 0]
        loser = a.outcomes[0]
        assert (loser.estimated, loser.usage.completion) == (True, 0)
        assert loser.cost > 0, "its prompt was read, and will be paid for"
        assert a.health.standing(a.world.endpoint("a")).error_rate == 0
        assert a.health.in_flight() == 0

    run(main())


def test_the_first_still_wins_where_it_is_faster_after_all() -> None:
    async def main() -> None:
        a = rig({"a": after(4), "b": after(9)})
        assert await a.send(**ORDER) == "a"
        assert labels(a) == [("b", "cancelled", True), ("a", "success", False)]

    run(main())


def test_where_both_begin_at_once_one_is_served_and_the_other_closed() -> None:
    async def main() -> None:
        a = rig({"a": after(5), "b": after(2)})
        assert await a.send(**ORDER) in ("a", "b")
        assert sorted(label for _, label, _ in labels(a)) == ["cancelled", "success"]
        assert a.health.in_flight() == 0

    run(main())


def test_a_quick_answer_starts_nobody() -> None:
    async def main() -> None:
        a = rig({"a": after(2.9)})
        assert await a.send(**ORDER) == "a"
        await asyncio.sleep(60)
        assert a.calls("b") == 0

    run(main())


@pytest.mark.parametrize("stream", [True, False])
def test_the_loser_is_closed_at_once(stream: bool) -> None:
    async def main() -> None:
        silent = FakeResponse(steps=[b"r"] if stream else [])
        a = rig({"a": lambda: silent, "b": after(1) if stream else whole(1)})
        await a.send(stream=stream, **ORDER)
        assert [type(error) for error in silent.aborted] == [Cancelled]

    run(main())


# --- what fails in between ---------------------------------------------------------------------------------


def test_a_rival_that_fails_changes_nothing() -> None:
    async def main() -> None:
        a = rig({"a": after(9), "b": lambda: ServerFault("500")})
        assert await a.send(**ORDER) == "a"
        assert labels(a) == [("b", "server_fault", True), ("a", "success", False)]

    run(main())


def test_a_first_that_fails_leaves_it_to_the_rival() -> None:
    async def main() -> None:
        a = rig({"a": after(5, ServerFault("500")), "b": after(9)})
        began = a.loop.time()
        assert await a.send(**ORDER) == "b"
        assert a.loop.time() - began == pytest.approx(12, abs=0.01)
        assert a.calls("c") == 0

    run(main())


def test_where_both_fail_the_plan_goes_on_behind_them() -> None:
    async def main() -> None:
        a = rig({"a": after(5, ServerFault("500")), "b": after(9, Unreachable("no"))})
        assert await a.send(**ORDER) == "c"
        assert [a.calls(slug) for slug in "abc"] == [1, 1, 1]

    run(main())


@pytest.mark.parametrize("error", [InvalidRequest("bad", upstream_status=400), ContentRefused("no")])
def test_what_the_client_must_mend_ends_both(error: Exception) -> None:
    async def main() -> None:
        a = rig({"a": after(5, error), "b": after(9)})
        began = a.loop.time()
        with pytest.raises(Exhausted) as caught:
            await a.send(**ORDER)
        assert caught.value.status == 400
        assert a.loop.time() - began == pytest.approx(5, abs=0.01)
        assert (a.calls("c"), a.health.in_flight()) == (0, 0)

    run(main())


def test_a_rivals_refusal_is_returned_only_where_the_first_does_not_answer() -> None:
    async def main() -> None:
        refused = lambda: InvalidRequest("bad", upstream_status=400)  # noqa: E731
        answered = rig({"a": after(9), "b": refused})
        assert await answered.send(**ORDER) == "a"
        failed = rig({"a": after(9, ServerFault("500")), "b": refused})
        with pytest.raises(Exhausted) as caught:
            await failed.send(**ORDER)
        assert (caught.value.status, failed.calls("c")) == (400, 0)

    run(main())


def test_both_silent_cost_no_more_than_their_time_and_nobody_is_asked_twice() -> None:
    async def main() -> None:
        a = rig({slug: lambda: FakeResponse() for slug in "abc"}, timeouts=Timeouts(first_token=10))
        began = a.loop.time()
        with pytest.raises(Exhausted) as caught:
            await a.send(**ORDER)
        assert caught.value.status == 504
        assert a.loop.time() - began == pytest.approx(23, abs=0.01)
        assert [a.calls(slug) for slug in "abc"] == [1, 1, 1]

    run(main())


@pytest.mark.parametrize("moment", [0.5, 2.9, 3.1, 3.9, 4.0, 4.1, 6.0])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_at_any_moment_leaves_nothing_behind(moment: float, stream: bool) -> None:
    async def main() -> None:
        a = rig({"a": late_head(20), "b": after(1, b"c", 9.0) if stream else whole(1)})
        task = a.loop.create_task(a.send(stream=stream, **ORDER))
        await asyncio.sleep(moment)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(100)
        if stream or moment < 4:
            assert isinstance(result, asyncio.CancelledError)
        assert a.health.in_flight() == 0
        assert len(a.outcomes) == len({(outcome.endpoint.tag) for outcome in a.outcomes})
        assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()

    run(main())


# --- how many ---------------------------------------------------------------------------------------------


def test_never_more_attempts_than_max_attempts() -> None:
    async def main() -> None:
        a = rig({"a": after(9)}, retries=Retries(max_attempts=1))
        assert await a.send(**ORDER) == "a"
        assert a.calls("b") == 0

    run(main())


def test_without_fallbacks_nobody_is_started() -> None:
    async def main() -> None:
        a = rig({"a": after(9)})
        assert await a.send(provider={"sort": "price", "allow_fallbacks": False}) == "a"
        assert a.calls("b") == 0

    run(main())


def test_a_hedge_runs_on_into_the_fallback_models() -> None:
    async def main() -> None:
        w = world(offer("a"), fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("b")]}})
        a = Rig(w, {"a": after(20)}, hedge=NOW)
        assert await a.send() == "b"

    run(main())


def test_a_rival_is_never_a_probe() -> None:
    async def main() -> None:
        a = rig({"a": after(9), "b": good, "c": good})
        b = a.world.endpoint("b")
        for _ in range(5):
            ticket = a.health.admit(b)
            assert ticket is not None
            a.health.settle(ticket, Outcome("gen-1", b, 0.0, 0.1, ServerFault("500"), stream=True))
        await asyncio.sleep(6)
        a.health.ask_leave = left_to_us
        assert await a.send(**ORDER) == "c"
        assert [a.calls(slug) for slug in "abc"] == [1, 0, 1]

    run(main())


async def left_to_us(endpoint: tuple[str, str], seconds: float) -> bool:
    return True


def test_the_share_of_requests_is_kept_with_a_burst() -> None:
    async def main() -> None:
        a = rig({"a": after(9), "b": good}, hedge=Hedge(after=3.0, max_share=0.1))
        served = [await a.send(**ORDER) for _ in range(100)]
        assert served[:BURST] == ["b"] * BURST
        assert BURST + 8 <= served.count("b") <= BURST + 10

    run(main())


def test_a_share_of_nothing_hedges_nobody() -> None:
    assert patience(Hedge(after=3.0, max_share=0), None, 90) is None


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_asked_for_no_more_is_given(seed: int) -> None:
    rng, allowance, taken = Random(seed), Allowance(), 0
    for requests in range(1, 2_000):
        allowance.request(0.05)
        taken += sum(allowance.take() for _ in range(rng.randrange(3)))
        assert taken <= BURST + 0.05 * requests


# --- when -------------------------------------------------------------------------------------------------


def known(value: float, count: int = ENOUGH) -> Spread:
    made = spread([value] * count)
    assert made is not None
    return made


AUTO = Hedge(after="auto", default=10)


@pytest.mark.parametrize(
    ("rules", "seen", "expected"),
    [
        (Hedge(after="off"), known(2), None),
        (Hedge(after=3.0), known(2), 3),
        (AUTO, None, 10),
        (AUTO, known(2, ENOUGH - 1), 10),
        (AUTO, known(2), 2),
        (AUTO, known(0.2), 1),
        (AUTO, known(95), None),
        (Hedge(after="auto", default=90), None, None),
    ],
)
def test_when_a_second_is_started(rules: Hedge, seen: Spread | None, expected: float | None) -> None:
    assert patience(rules, seen, 90) == expected


def test_an_endpoints_own_p95_decides_for_streams_and_whole_answers_apart() -> None:
    async def main() -> None:
        quick: dict[bool, Callable[[], Any]] = {True: after(1.5), False: whole(6)}
        a = rig({"a": quick[True], "b": good}, hedge=AUTO, timeouts=Timeouts(first_token=80))
        for stream, seconds in ((True, 1.5), (False, 6.0)):
            a.transport("a").script = quick[stream]
            for _ in range(ENOUGH):
                assert await a.send(stream=stream, **ORDER) == "a"
            a.transport("a").script = lambda: FakeResponse()
            a.transport("b").script = good if stream else whole(0.0)
            began = a.loop.time()
            assert await a.send(stream=stream, **ORDER) == "b"
            assert a.loop.time() - began == pytest.approx(seconds, abs=0.01)

    run(main())


def test_p95_is_by_nearest_rank() -> None:
    made = spread(list(range(1, 101)))
    assert made is not None
    assert made.p95 == 95
