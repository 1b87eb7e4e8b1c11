"""What each failure leads to: the next endpoint, another model, the same again, or the client at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from config.schema import Health as Thresholds
from config.schema import Retries, Timeouts
from providers.errors import (
    BadAnswer,
    BadCredentials,
    Broken,
    ConnectTimeout,
    ContentRefused,
    ContextExceeded,
    InvalidRequest,
    ModelUnavailable,
    OutOfQuota,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFault,
    Unreachable,
)
from router.errors import Busy, Exhausted, NoEndpoints
from tests.router.fakes import MODEL, FakeResponse, Rig, Script, World, good, offer, run, world

ORDER = {"provider": {"sort": "price"}}
"""So that a is tried first, then b, then c."""


def two(**sections: Any) -> World:
    return world(offer("a", 1), offer("b", 2), **sections)


def bad(error: ProviderError) -> Script:
    return lambda: error


def stream(*steps: bytes | Exception | float) -> Script:
    return lambda: FakeResponse(steps=steps)


def silent() -> FakeResponse:
    return FakeResponse(steps=[])


def first_then(*answers: Any) -> Script:
    """One answer a call, the last of them for ever."""
    left = list(answers)

    def script() -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return answer() if callable(answer) else answer

    return script


# --- the next endpoint ------------------------------------------------------------------------------------

NEXT: dict[str, Script] = {
    "connect error": bad(Unreachable("refused")),
    "connect timeout": bad(ConnectTimeout("no answer")),
    "500": lambda: FakeResponse(500, [b"oops", b""]),
    "overloaded": bad(Overloaded("full")),
    "silence before the head": lambda: asyncio.sleep(1e6, FakeResponse()),
    "silence after the head": silent,
    "nothing but a role": stream(b"r"),
    "keep-alives for ever": stream(*[step for _ in range(50) for step in (b"p", 5.0)]),
    "cut before content": stream(b"r", Broken("reset")),
    "malformed": stream(b"r", BadAnswer("not JSON")),
    "empty": stream(b"r", b""),
    "error before content": stream(b"r!"),
    "429": bad(RateLimited("slow down", retry_after=9)),
    "401": bad(BadCredentials("bad key", upstream_status=401)),
    "402": bad(OutOfQuota("no money", upstream_status=402)),
    "404": bad(ModelUnavailable("retired", upstream_status=404)),
    "context length": bad(ContextExceeded("too long")),
}


@pytest.mark.parametrize("name", NEXT)
def test_the_next_endpoint_answers_and_is_asked_once(name: str) -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": NEXT[name]})
        assert await rig.send(**ORDER) == "b"
        assert (rig.calls("a"), rig.calls("b")) == (1, 1)
        assert rig.slept == []
        assert rig.health.in_flight() == 0

    run(main())


@pytest.mark.parametrize("name", ["silence before the head", "silence after the head", "keep-alives for ever"])
def test_silence_costs_no_more_than_first_token(name: str) -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": NEXT[name]}, timeouts=Timeouts(first_token=7))
        before = rig.loop.time()
        await rig.send(**ORDER)
        assert rig.loop.time() - before == pytest.approx(7, abs=0.01)

    run(main())


def test_a_rate_limited_endpoint_cools_and_is_left_alone_until_then() -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": first_then(RateLimited("slow", retry_after=9), good)})
        served = [await rig.send(**ORDER) for _ in range(3)]
        assert (served, rig.calls("a")) == (["b", "b", "b"], 1)
        await asyncio.sleep(9)
        assert await rig.send(**ORDER) == "a"

    run(main())


@pytest.mark.parametrize("error", [BadCredentials("bad key"), OutOfQuota("no money")])
def test_a_refused_key_puts_every_endpoint_of_the_provider_aside(error: ProviderError) -> None:
    async def main() -> None:
        w = world(offer("a", 1, variant="x"), offer("a", 2, variant="y"), offer("b", 3))
        rig = Rig(w, {"a": bad(error)})
        assert await rig.send(**ORDER) == "b"
        assert rig.calls("a") == 1, "the other variant is not even tried in the same request"
        assert await rig.send(**ORDER) == "b"
        assert rig.calls("a") == 1

    run(main())


# --- the client at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("bad", upstream_status=400, raw='{"why":1}'), 400),
        (InvalidRequest("large", upstream_status=413), 413),
        (InvalidRequest("odd", upstream_status=422), 422),
        (InvalidRequest("bad in a 500", upstream_status=500), 400),
        (ContentRefused("not that", upstream_status=400), 400),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_what_the_client_must_mend_is_returned_at_once(error: ProviderError, status: int, streamed: bool) -> None:
    async def main() -> None:
        w = two(fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("c")]}})
        rig = Rig(w, {"a": bad(error)})
        with pytest.raises(Exhausted) as caught:
            await rig.send(stream=streamed, **ORDER)
        assert (caught.value.status, caught.value.may_retry) == (status, False)
        assert caught.value.message == f"A: {error.message}"
        assert "previous_errors" not in caught.value.metadata
        assert [rig.calls(slug) for slug in "abc"] == [1, 0, 0]
        assert rig.health.standing(w.endpoint("a")).error_rate == 0

    run(main())


def test_a_refusal_after_a_failure_is_returned_with_what_came_before() -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": bad(ServerFault("down")), "b": bad(InvalidRequest("bad", upstream_status=400))})
        with pytest.raises(Exhausted) as caught:
            await rig.send(**ORDER)
        assert caught.value.status == 400
        assert [one["provider"] for one in caught.value.metadata["previous_errors"]] == ["A"]

    run(main())


# --- context length ---------------------------------------------------------------------------------------


def sizes(**contexts: int) -> World:
    return world(*(offer(slug, price, context_length=size) for price, (slug, size) in enumerate(contexts.items(), 1)))


@pytest.mark.parametrize(
    ("limit", "calls"),
    [
        (None, {"a": 1, "b": 0, "c": 1, "d": 0}),
        (4_000, {"a": 1, "b": 1, "c": 0, "d": 0}),
        (9_000, {"a": 1, "b": 0, "c": 0, "d": 1}),
    ],
)
def test_only_endpoints_with_more_room_than_was_shown_are_tried(limit: int | None, calls: dict[str, int]) -> None:
    async def main() -> None:
        refusal = ContextExceeded("too long", context_limit=limit)
        rig = Rig(sizes(a=8_000, b=5_000, c=8_000, d=20_000), {"a": bad(refusal)})
        await rig.send(**ORDER)
        assert {slug: rig.calls(slug) for slug in "abcd"} == calls

    run(main())


def test_more_room_is_looked_for_in_the_fallback_models_too() -> None:
    async def main() -> None:
        w = world(
            offer("a", context_length=8_000),
            fallbacks=["acme/small", "acme/large"],
            models={
                "acme/small": {"endpoints": [offer("b", context_length=4_000)]},
                "acme/large": {"endpoints": [offer("c", context_length=90_000)]},
            },
        )
        rig = Rig(w, {"a": bad(ContextExceeded("too long", context_limit=8_000))})
        assert await rig.send() == "c"
        assert rig.calls("b") == 0

    run(main())


def test_nobody_with_too_little_room_is_asked_once_more() -> None:
    async def main() -> None:
        w = world(offer("a", 1, context_length=8_000), offer("b", 2, context_length=9_000))
        scripts = {"a": bad(ServerFault("down")), "b": bad(ContextExceeded("too long", context_limit=8_500))}
        rig = Rig(w, scripts)
        with pytest.raises(Exhausted):
            await rig.send(**ORDER)
        assert (rig.calls("a"), rig.calls("b")) == (1, 1)

    run(main())


def test_where_nobody_has_room_the_client_is_told_its_request_is_too_long() -> None:
    async def main() -> None:
        rig = Rig(two(), {slug: bad(ContextExceeded("too long")) for slug in "ab"})
        with pytest.raises(Exhausted) as caught:
            await rig.send(**ORDER)
        assert caught.value.status == 400

    run(main())


# --- one more try -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ServerFault("500"), Unreachable("refused")])
def test_before_the_model_is_left_its_best_endpoint_gets_one_more_try(error: ProviderError) -> None:
    async def main() -> None:
        w = two(fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("c")]}})
        rig = Rig(w, {"a": first_then(error, good), "b": bad(error)})
        assert await rig.send(**ORDER) == "a"
        assert [rig.calls(slug) for slug in "abc"] == [2, 1, 0]
        assert len(rig.slept) == 1
        assert 0.3 <= rig.slept[0] <= 2.0

    run(main())


def test_one_more_try_is_one_for_each_model() -> None:
    async def main() -> None:
        w = two(fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("c")]}})
        rig = Rig(w, {slug: bad(ServerFault("500")) for slug in "abc"}, retries=Retries(max_attempts=50))
        with pytest.raises(Exhausted) as caught:
            await rig.send(**ORDER)
        assert [rig.calls(slug) for slug in "abc"] == [2, 1, 2]
        assert len(caught.value.metadata["previous_errors"]) == 4

    run(main())


@pytest.mark.parametrize(("wait", "again"), [(0.0, True), (2.5, True), (3.0, True), (3.1, False), (None, False)])
def test_after_a_rate_limit_the_same_is_tried_after_its_own_short_wait(wait: float | None, again: bool) -> None:
    async def main() -> None:
        rig = Rig(world(offer("a")), {"a": first_then(RateLimited("slow", retry_after=wait), good)})
        if again:
            assert await rig.send() == "a"
            assert rig.slept == [wait]
        else:
            with pytest.raises(Exhausted) as caught:
                await rig.send()
            assert (caught.value.status, caught.value.retry_after) == (429, wait)
            assert (rig.slept, rig.calls("a")) == ([], 1)

    run(main())


@pytest.mark.parametrize("name", ["silence before the head", "silence after the head", "connect timeout"])
def test_a_timeout_is_never_retried_on_the_endpoint_that_was_silent(name: str) -> None:
    async def main() -> None:
        rig = Rig(world(offer("a")), {"a": NEXT[name]})
        with pytest.raises(Exhausted) as caught:
            await rig.send()
        assert (caught.value.status, rig.calls("a"), rig.slept) == (504, 1, [])

    run(main())


def test_the_silent_one_is_passed_over_for_the_one_more_try() -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": silent, "b": first_then(ServerFault("500"), good)})
        assert await rig.send(**ORDER) == "b"
        assert (rig.calls("a"), rig.calls("b")) == (1, 2)

    run(main())


# --- the end ----------------------------------------------------------------------------------------------


def test_where_all_failed_the_last_words_are_there() -> None:
    async def main() -> None:
        scripts = {
            "a": lambda: FakeResponse(500, [b"a broke", b""]),
            "b": bad(BadCredentials("bad key", upstream_status=401)),
        }
        rig = Rig(two(), scripts)
        with pytest.raises(Exhausted) as caught:
            await rig.send(**ORDER)
        error = caught.value
        assert error.status == 502
        assert error.metadata["provider_name"] == "A"
        assert error.metadata["raw"] == "a broke"
        assert [(one["provider"], one["status"]) for one in error.metadata["previous_errors"]] == [
            ("A", 500),
            ("B", 401),
        ]

    run(main())


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_there_are_never_more_attempts_than_max_attempts(most: int) -> None:
    async def main() -> None:
        w = world(
            *(offer(f"p{number}") for number in range(8)),
            fallbacks=["acme/two"],
            models={"acme/two": {"endpoints": [offer(f"q{number}") for number in range(8)]}},
        )
        scripts = {slug: bad(ServerFault("500")) for slug in w.catalogue.providers}
        rig = Rig(w, scripts, retries=Retries(max_attempts=most))
        with pytest.raises(Exhausted):
            await rig.send()
        assert sum(rig.calls(slug) for slug in scripts) == most

    run(main())


@pytest.mark.parametrize("seed", range(20))
def test_no_endpoint_is_asked_twice_but_for_the_one_more_try(seed: int) -> None:
    async def main() -> None:
        w = world(
            *(offer(slug) for slug in "abcd"),
            fallbacks=["acme/two"],
            models={"acme/two": {"endpoints": [offer("e"), offer("f")]}},
        )
        errors = [ServerFault("500"), Unreachable("no"), BadAnswer("odd"), RateLimited("slow", retry_after=1)]
        scripts = {slug: bad(errors[(seed + index) % 4]) for index, slug in enumerate("abcdef")}
        rig = Rig(w, scripts, retries=Retries(max_attempts=50), seed=seed)
        with pytest.raises(Exhausted):
            await rig.send()
        assert sorted(rig.calls(slug) for slug in "abcd") == [1, 1, 1, 2]
        assert sum(rig.calls(slug) for slug in "ef") <= 3

    run(main())


def test_without_fallbacks_only_the_first_of_the_plan_is_asked() -> None:
    async def main() -> None:
        w = two(fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("c")]}})
        rig = Rig(w, {"a": bad(BadAnswer("odd"))})
        with pytest.raises(Exhausted):
            await rig.send(provider={"sort": "price", "allow_fallbacks": False})
        assert [rig.calls(slug) for slug in "abc"] == [1, 0, 0]

    run(main())


def test_an_excluded_model_is_404_with_no_call() -> None:
    async def main() -> None:
        rig = Rig(two(), {})
        with pytest.raises(NoEndpoints):
            await rig.send(provider={"only": ["nobody"]})
        assert rig.calls("a") + rig.calls("b") == 0

    run(main())


# --- the last resort --------------------------------------------------------------------------------------


async def ejected(scripts: dict[str, Script], **sections: Any) -> Rig:
    """Both endpoints of the model ejected, a for longer than b."""
    rig = Rig(
        two(**sections), {slug: bad(ServerFault("500")) for slug in "ab"}, thresholds=Thresholds(breaker_failures=1)
    )
    with pytest.raises(Exhausted):
        await rig.send(**ORDER)
    for slug, script in scripts.items():
        rig.transport(slug).script = script
    return rig


def calls_of(rig: Rig) -> list[int]:
    return [rig.calls(slug) for slug in rig.clients]


def test_where_all_are_ejected_the_soonest_back_gets_one_try() -> None:
    async def main() -> None:
        rig = await ejected({"a": good, "b": good})
        before = calls_of(rig)
        assert await rig.send(**ORDER) == "b"
        assert calls_of(rig) == [before[0], before[1] + 1]

    run(main())


def test_if_that_fails_too_it_is_503_with_retry_after_and_what_was_said() -> None:
    async def main() -> None:
        rig = await ejected({})
        before = calls_of(rig)
        with pytest.raises(Busy) as caught:
            await rig.send(**ORDER)
        assert sum(calls_of(rig)) == sum(before) + 1
        error = caught.value
        assert error.status == 503
        assert error.retry_after is not None
        assert 1 <= error.retry_after <= 20
        assert [one["message"] for one in error.metadata["previous_errors"]] == ["500"]
        assert "500" in error.message

    run(main())


def test_a_panic_is_no_herd() -> None:
    async def main() -> None:
        async def slow() -> FakeResponse:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            now -= 1
            raise ServerFault("500")

        most = now = 0
        rig = await ejected({"a": slow, "b": slow})
        results = await asyncio.gather(*(rig.send(**ORDER) for _ in range(200)), return_exceptions=True)
        assert all(isinstance(one, Busy) for one in results)
        assert most == 2, "one for each endpoint, whoever asks"

    run(main())


def test_the_last_resort_is_not_tried_while_another_replica_probes() -> None:
    async def main() -> None:
        rig = await ejected({slug: bad(ServerFault("500")) for slug in "ab"})
        asked: list[str] = []
        before = calls_of(rig)

        async def another_probes(endpoint: tuple[str, str], seconds: float) -> bool:
            asked.append(endpoint[1])
            return False

        rig.health.ask_leave = another_probes
        with pytest.raises(Busy):
            await rig.send(**ORDER)
        assert asked == ["b", "a"]
        assert calls_of(rig) == before

    run(main())


def test_the_fallback_models_come_before_the_last_resort() -> None:
    async def main() -> None:
        w = two(fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("c")]}})
        failing = {slug: bad(ServerFault("500")) for slug in "ab"}
        rig = Rig(w, failing, thresholds=Thresholds(breaker_failures=1))
        assert await rig.send(**ORDER) == "c"
        before = calls_of(rig)
        assert await rig.send(**ORDER) == "c"
        assert calls_of(rig) == [before[0], before[1], before[2] + 1]
        rig.transport("c").script = bad(BadAnswer("odd"))
        with pytest.raises(Exhausted):
            await rig.send(**ORDER)
        assert calls_of(rig) == [before[0], before[1], before[2] + 2]
        with pytest.raises(Busy):
            await rig.send(**ORDER)
        assert sum(calls_of(rig)) == sum(before) + 3

    run(main())


def test_one_resting_provider_of_a_fallback_model_is_waited_for_by_nobody() -> None:
    async def main() -> None:
        w = two(fallbacks=["acme/two"], models={"acme/two": {"endpoints": [offer("c")]}})
        rig = Rig(w, {slug: bad(RateLimited("slow", retry_after=60)) for slug in "ab"})
        for _ in range(5):
            assert await rig.send(**ORDER) == "c"
        assert (rig.calls("a"), rig.calls("b")) == (1, 1)

    run(main())


def test_nobody_left_is_no_failure_of_anybody() -> None:
    async def main() -> None:
        rig = Rig(world(offer("a"), providers={"a": {"max_concurrency": 1}}), {"a": lambda: asyncio.sleep(5, good())})
        first = asyncio.get_running_loop().create_task(rig.send())
        await asyncio.sleep(1)
        with pytest.raises(Busy):
            await rig.send()
        assert rig.calls("a") == 1
        assert await first == "a"
        assert rig.health.standing(rig.world.endpoint("a")).error_rate == 0

    run(main())


# --- who left ---------------------------------------------------------------------------------------------

WAITING: dict[str, Callable[[], dict[str, Script]]] = {
    "for the head": lambda: {"a": lambda: asyncio.sleep(50, good())},
    "for content": lambda: {"a": silent},
    "before one more try": lambda: {"a": bad(ServerFault("500")), "b": bad(ServerFault("500"))},
}


@pytest.mark.parametrize("where", WAITING)
def test_a_client_that_leaves_stops_everything_and_counts_against_nobody(where: str) -> None:
    async def main() -> None:
        rig = Rig(two(), WAITING[where](), retries=Retries(backoff=5, backoff_max=10))
        task = rig.loop.create_task(rig.send(**ORDER))
        await asyncio.sleep(1)
        before = [rig.calls("a"), rig.calls("b")]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(100)
        assert [rig.calls("a"), rig.calls("b")] == before
        assert rig.health.in_flight() == 0
        if where != "before one more try":
            assert [outcome.label for outcome in rig.outcomes] == ["cancelled"]
            assert rig.health.ratio(rig.world.endpoint("a"), 86_400) is None

    run(main())


def test_the_attempt_a_client_left_is_among_the_decisions_attempts() -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": silent})
        decision = rig.decide(**ORDER)
        task = rig.loop.create_task(rig.dispatch(decision))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [(one.label, one.duration) for one in decision.attempts] == [("cancelled", pytest.approx(3))]

    run(main())


def test_the_whole_requests_time_ends_the_walk() -> None:
    async def main() -> None:
        rig = Rig(two(), {"a": silent, "b": silent}, timeouts=Timeouts(first_token=60, total=100))
        before = rig.loop.time()
        with pytest.raises(Exhausted) as caught:
            await rig.send(**ORDER)
        assert rig.loop.time() - before == pytest.approx(100, abs=0.1)
        assert caught.value.status == 504

    run(main())


def test_the_model_that_answers_is_the_one_whose_upstream_id_is_sent() -> None:
    async def main() -> None:
        w = world(
            offer("a"),
            fallbacks=["acme/two"],
            models={"acme/two": {"endpoints": [{**offer("b"), "model": "up-b"}]}},
        )
        rig = Rig(w, {"a": bad(BadAnswer("odd"))})
        decision = rig.decide()
        started = await rig.dispatch(decision)
        assert rig.transport("b").bodies == [b"up-b"]
        assert decision.selected is started.attempt.endpoint
        assert started.attempt.endpoint.model_id == "acme/two" != MODEL
        started.attempt.cancel()

    run(main())
