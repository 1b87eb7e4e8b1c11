"""The breaker, the windows and what is set aside, on a clock of our own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.schema import Health as Thresholds
from providers.dialects.base import Usage
from providers.errors import (
    BadAnswer,
    BadCredentials,
    Cancelled,
    ConnectTimeout,
    ContentRefused,
    ContextExceeded,
    FirstTokenTimeout,
    InvalidRequest,
    ModelUnavailable,
    OutOfQuota,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFault,
    Unreachable,
)
from router.catalogue import Endpoint
from router.facts import Ticket, Tier
from router.health import Health
from router.judgement import UNCACHED, judged, unavailability
from router.outcome import Outcome
from tests.router.fakes import offer, world


class Book:
    """A health book, its clock, and two endpoints of one provider beside one of another."""

    def __init__(self, max_concurrency: int | None = None, **thresholds: Any) -> None:
        self.now = 1_000.0
        self.health = Health(Thresholds(**thresholds), lambda: self.now)
        w = world(
            offer("p", variant="x"),
            offer("p", variant="y"),
            offer("q"),
            providers={"p": {"max_concurrency": max_concurrency}},
        )
        self.x, self.y, self.q = w.endpoint("p/x"), w.endpoint("p/y"), w.endpoint("q")

    def admit(self, endpoint: Endpoint | None = None, **options: bool) -> Ticket:
        ticket = self.health.admit(endpoint or self.x, **options)
        assert ticket is not None
        return ticket

    def settle(self, ticket: Ticket, error: ProviderError | None = None, **fields: Any) -> None:
        self.health.settle(ticket, Outcome("gen", ticket.endpoint, 0.0, 1.0, error, stream=True, **fields))

    def meet(self, error: ProviderError | None = None, times: int = 1, endpoint: Endpoint | None = None) -> None:
        for _ in range(times):
            self.settle(self.admit(endpoint), error)

    def state(self, endpoint: Endpoint | None = None) -> str | None:
        return self.health.standing(endpoint or self.x).unavailable

    def eject(self) -> None:
        self.meet(ServerFault("x"), 5)
        assert self.state() == "ejected"


# --- the breaker ------------------------------------------------------------------------------------------


def test_failures_in_a_row_eject_and_only_in_a_row() -> None:
    book = Book()
    book.meet(ServerFault("x"), 4)
    book.meet()
    book.meet(ServerFault("x"), 4)
    assert book.state() is None
    book.meet(ServerFault("x"))
    assert book.state() == "ejected"
    assert book.health.admit(book.x) is None
    assert book.health.standing(book.x).until == book.now + 5
    assert book.state(book.y) is None, "another endpoint of the same provider is not at fault"


@pytest.mark.parametrize("error", [Unreachable, ConnectTimeout, FirstTokenTimeout, BadAnswer, Overloaded])
def test_every_failure_of_the_provider_counts(error: type[ProviderError]) -> None:
    book = Book()
    book.meet(error("x"), 5)
    assert book.state() == "ejected"
    assert book.health.ratio(book.x, 60) == 0.0


@pytest.mark.parametrize("error", [InvalidRequest, ContentRefused, ContextExceeded, Cancelled])
def test_what_the_caller_causes_never_counts(error: type[ProviderError]) -> None:
    book = Book()
    book.meet(error("x"), 200)
    standing = book.health.standing(book.x)
    assert (standing.unavailable, standing.outage, standing.tier, standing.error_rate) == (None, False, Tier.NORMAL, 0)
    assert book.health.ratio(book.x, 86_400) is None


def test_a_rate_limit_never_lowers_uptime() -> None:
    book = Book()
    for _ in range(200):
        book.settle(book.admit(insist=True), RateLimited("slow down", retry_after=0))
    assert book.health.ratio(book.x, 86_400) is None
    assert book.state() is None


def test_one_failure_of_one_opens_nothing() -> None:
    book = Book()
    book.meet(ServerFault("x"))
    standing = book.health.standing(book.x)
    assert (standing.unavailable, standing.outage, standing.tier) == (None, False, Tier.NORMAL)


def test_of_all_who_ask_when_the_time_is_over_exactly_one_is_the_probe() -> None:
    book = Book()
    book.eject()
    book.now += 4.999
    assert book.health.admit(book.x) is None
    book.now += 0.001
    tickets = [ticket for _ in range(200) if (ticket := book.health.admit(book.x))]
    assert [ticket.probe for ticket in tickets] == [True]
    assert book.state() == "ejected", "until the probe has decided"
    assert book.health.admit(book.x, insist=True) is None, "not even the last resort joins a probe"
    book.settle(tickets[0])
    assert book.state() is None
    assert not book.admit().probe


def test_a_probe_that_fails_doubles_the_ejection_up_to_the_most() -> None:
    book = Book()
    book.eject()
    lengths = []
    for _ in range(5):
        lengths.append(book.health.standing(book.x).until - book.now)
        book.now += lengths[-1]
        ticket = book.admit()
        assert ticket.probe
        book.settle(ticket, ServerFault("still"))
    assert lengths == [5, 10, 20, 20, 20]


def test_a_probe_that_succeeds_starts_the_ejections_from_the_beginning() -> None:
    book = Book()
    book.eject()
    book.now += 5
    book.meet(ServerFault("x"))
    book.now += 10
    book.meet()
    book.meet(ServerFault("x"), 4)
    assert book.state() is None
    book.meet(ServerFault("x"))
    assert book.health.standing(book.x).until == book.now + 5


def begun(probe: Ticket) -> None:
    assert probe.begun is not None
    probe.begun(probe)


def test_a_probe_that_streams_for_minutes_has_decided_at_its_first_content() -> None:
    book = Book()
    book.eject()
    book.now += 5
    probe = book.admit()
    assert book.health.admit(book.x) is None
    begun(probe)
    assert book.state() is None
    second = book.admit()
    assert not second.probe
    assert second.begun is None
    book.settle(probe, ServerFault("broke after minutes"))
    assert book.state() is None, "one failure like any other"


def test_an_earlier_probe_that_ends_says_nothing_of_a_later_one() -> None:
    book = Book()
    book.eject()
    book.now += 5
    earlier = book.admit()
    begun(earlier)
    book.eject()
    book.now += 10
    later = book.admit()
    assert later.probe
    book.settle(earlier)
    assert book.health.admit(book.x) is None, "the later one is to decide"
    book.settle(later, ServerFault("x"))
    assert book.state() == "ejected"


def test_an_endpoint_that_begins_and_never_ends_well_is_ejected_for_longer_each_time() -> None:
    book = Book()
    book.eject()
    book.now += 5
    probe = book.admit()
    begun(probe)
    book.settle(probe, ServerFault("x"))
    book.meet(ServerFault("x"), 4)
    assert book.state() == "ejected"
    book.now += 5
    assert book.state() == "ejected"
    book.now += 5
    assert book.state() is None


def test_a_cancelled_probe_decides_nothing_and_the_next_one_probes() -> None:
    book = Book()
    book.eject()
    book.now += 5
    book.settle(book.admit(), Cancelled("gone"))
    ticket = book.admit()
    assert ticket.probe
    assert book.health.admit(book.x) is None


def test_a_probe_answered_with_a_callers_fault_shows_that_it_answers() -> None:
    book = Book()
    book.eject()
    book.now += 5
    book.settle(book.admit(), InvalidRequest("your fault"))
    assert book.state() is None


def test_only_the_probe_ends_an_ejection() -> None:
    book = Book()
    early = book.admit()
    book.eject()
    book.settle(early)
    assert book.state() == "ejected"
    book.now += 5
    probe = book.admit()
    assert probe.probe
    book.settle(probe, ServerFault("x"))
    assert book.health.standing(book.x).until == book.now + 10


def test_failures_of_what_was_begun_before_do_not_prolong_an_ejection() -> None:
    book = Book()
    early = [book.admit() for _ in range(50)]
    book.eject()
    book.now += 1
    for ticket in early:
        book.settle(ticket, ServerFault("x"))
    assert book.health.standing(book.x).until == book.now + 4


# --- outage and tiers -------------------------------------------------------------------------------------


def test_an_outage_is_half_of_at_least_three_within_thirty_seconds() -> None:
    book = Book(breaker_failures=1_000)
    book.meet(ServerFault("x"), 2)
    assert not book.health.standing(book.x).outage
    book.meet()
    assert book.health.standing(book.x).outage
    book.meet(times=2)
    assert not book.health.standing(book.x).outage
    book.meet(ServerFault("x"))
    assert book.health.standing(book.x).outage
    book.now += 31
    assert not book.health.standing(book.x).outage


@pytest.mark.parametrize(
    ("good", "bad", "tier"),
    [
        (0, 99, Tier.NORMAL),
        (95, 5, Tier.NORMAL),
        (94, 6, Tier.DEGRADED),
        (80, 20, Tier.DEGRADED),
        (79, 21, Tier.DOWN),
        (0, 100, Tier.DOWN),
    ],
)
def test_uptime_tiers(good: int, bad: int, tier: Tier) -> None:
    book = Book(breaker_failures=100_000)
    book.meet(ServerFault("x"), bad)
    book.meet(times=good)
    assert book.health.standing(book.x).tier is tier
    book.now += 400
    assert book.health.standing(book.x).tier is Tier.NORMAL


def test_thresholds_are_kept_apart_from_facts() -> None:
    book = Book(breaker_failures=1_000)
    book.meet(ServerFault("x"), 6)
    book.meet(times=94)
    book.health.thresholds = Thresholds(degraded_below=0.5, down_below=0.2)
    assert book.health.standing(book.x).tier is Tier.NORMAL
    book.health.thresholds = Thresholds(degraded_below=0.99, down_below=0.95)
    assert book.health.standing(book.x).tier is Tier.DOWN
    book.health.thresholds = Thresholds(outage_window=5, outage_min=1)
    book.meet(ServerFault("x"))
    assert book.health.standing(book.x).outage
    book.now += 6
    assert not book.health.standing(book.x).outage


def test_a_standing_is_as_new_as_the_last_outcome() -> None:
    book = Book()
    book.meet(ServerFault("x"), 3)
    assert book.health.standing(book.x).outage
    book.meet(times=4)
    assert not book.health.standing(book.x).outage
    assert book.health.standing(book.x).error_rate == pytest.approx(0.3)


STEPS: dict[str, ProviderError | None] = {
    "answers": None,
    "fails": ServerFault("x"),
    "is limited": RateLimited("slow", retry_after=0.5),
    "refuses the key": BadCredentials("no"),
    "refuses the request": InvalidRequest("yours"),
    "is left": Cancelled("gone"),
}


@given(
    st.sampled_from([None, 2]),
    st.lists(
        st.tuples(
            st.sampled_from([*STEPS, "fails", "answers", "begins", "ends"]),
            st.booleans(),
            st.sampled_from([0, 0, 0.3, 1, 6, 61, 301]),
        ),
        max_size=40,
    ),
)
@example(None, [(step, False, 0) for step in ("answers", "fails", "fails", "answers", "answers")])
def test_planning_sees_what_a_close_look_would_see(most: int | None, steps: list[tuple[str, bool, float]]) -> None:
    """Planning takes an endpoint for what it was last found to be for as long as nothing can have changed."""
    book, held = Book(max_concurrency=most), list[Ticket]()
    everyone = [book.x, book.y, book.q]
    for step, other, pause in steps:
        if step != "ends":
            held += filter(None, [book.health.admit(book.y if other else book.x, insist=True)])
        if step != "begins" and held:
            book.settle(held.pop(), STEPS.get(step))
        book.now += pause
        for endpoint, seen in zip(everyone, book.health.standings(everyone), strict=True):
            facts = book.health.facts(endpoint)
            close = judged(facts, book.health.thresholds, book.now)
            assert seen.unavailable == unavailability(endpoint, facts, book.now)[0]
            assert (seen.outage, seen.tier, seen.error_rate) == (close.outage, close.tier, close.error_rate)


# --- set aside --------------------------------------------------------------------------------------------


def test_a_rate_limit_cools_for_its_retry_after_and_the_longer_one_is_kept() -> None:
    book = Book()
    first, second, third = book.admit(), book.admit(), book.admit()
    book.settle(first, RateLimited("slow", retry_after=1))
    assert book.health.standing(book.x).until == book.now + 1
    book.settle(second, RateLimited("slow", retry_after=30))
    book.settle(third, RateLimited("slow", retry_after=1))
    assert (book.state(), book.health.standing(book.x).until) == ("cooling", book.now + 30)
    assert book.state(book.y) is None
    book.now += 30
    assert book.state() is None


def test_a_rate_limit_of_zero_cools_nothing_and_one_without_a_time_a_second() -> None:
    book = Book()
    book.meet(RateLimited("slow", retry_after=0))
    assert book.state() is None
    book.meet(RateLimited("slow"))
    assert book.health.standing(book.x).until == book.now + 1


@pytest.mark.parametrize("error", [BadCredentials, OutOfQuota])
def test_a_refused_key_puts_the_whole_provider_aside_and_one_request_tries_it_again(error: type[ProviderError]) -> None:
    book = Book()
    book.meet(error("no"))
    assert (book.state(), book.state(book.y), book.state(book.q)) == ("provider_put_aside",) * 2 + (None,)
    book.now += 60
    first = [ticket for _ in range(50) if (ticket := book.health.admit(book.y))]
    assert len(first) == 1
    assert book.state() == "provider_put_aside"
    book.settle(first[0])
    assert (book.state(), book.state(book.y)) == (None, None)


def test_a_retired_model_is_no_fault_of_the_provider() -> None:
    book = Book()
    book.meet(ModelUnavailable("retired"), 5)
    assert book.state() == "ejected"
    assert book.state(book.y) is None


# --- concurrency ------------------------------------------------------------------------------------------


def test_above_max_concurrency_nobody_is_admitted_not_even_by_insisting() -> None:
    book = Book(max_concurrency=2)
    held = [book.admit(), book.admit(book.y)]
    assert book.state() == "max_concurrency"
    assert book.health.admit(book.x) is None
    assert book.health.admit(book.x, insist=True) is None
    assert book.state(book.q) is None
    book.settle(held[0], Cancelled("gone"))
    assert book.state() is None
    assert book.health.in_flight() == 1


def test_insisting_overrides_everything_else() -> None:
    book = Book()
    book.eject()
    assert book.admit(insist=True).probe
    cool, aside = Book(), Book()
    cool.meet(RateLimited("slow", retry_after=9))
    cool.admit(insist=True)
    aside.meet(BadCredentials("no"))
    aside.admit(aside.y, insist=True)


# --- figures ----------------------------------------------------------------------------------------------


def test_only_answers_are_timed_and_for_five_minutes() -> None:
    book = Book()
    book.settle(book.admit(), ServerFault("in 2 ms"), first_token=0.002)
    assert book.health.standing(book.x).latency is None
    for seconds in (1.0, 2.0, 3.0):
        book.settle(book.admit(), first_token=seconds, usage=Usage(prompt=1, completion=int(seconds * 10)))
    book.now += 1
    standing = book.health.standing(book.x)
    assert standing.latency is not None
    assert standing.throughput is not None
    assert (standing.latency.p50, standing.latency.p99) == (2.0, 3.0)
    assert (standing.throughput.p50, standing.throughput.p99) == (20.0, 10.0), "what 99 % reach is the lower number"
    book.now += 301
    assert book.health.standing(book.x).latency is None


def test_how_much_of_its_prompts_an_endpoint_has_in_its_cache_is_measured_over_half_an_hour() -> None:
    book = Book()
    dear, free = world(offer("p"), offer("q", price=1)).endpoint("p"), book.x
    cheap = replace(dear, rates=replace(dear.rates, cache_read=Decimal("0.1")))

    def share() -> float:
        book.now += 1
        return book.health.standing(cheap).cached

    assert share() == 0
    book.settle(book.admit(cheap), usage=Usage(prompt=UNCACHED, cached=UNCACHED))
    assert share() == pytest.approx(1 / 2), "little traffic tells little"
    for _ in range(18):
        book.settle(book.admit(cheap), usage=Usage(prompt=UNCACHED, cached=UNCACHED // 2))
    assert share() == pytest.approx(10 / 20)
    book.settle(book.admit(free), usage=Usage(prompt=UNCACHED, cached=UNCACHED))
    assert book.health.standing(free).cached == 0, "cached or not is one price there"
    book.now += 1_860
    assert share() == 0


def test_malformed_tool_calls_are_counted_by_the_answer_over_half_an_hour() -> None:
    book = Book()

    def share() -> float:
        return book.health.standing(book.x).malformed

    book.settle(book.admit(), malformed=None)
    assert share() == 0
    book.settle(book.admit(), malformed=True)
    assert share() == 0.1, "one of few is taken for one of ten, and at once"
    for _ in range(19):
        book.settle(book.admit(), malformed=False)
    book.now += 1
    assert share() == 1 / 20
    book.settle(book.admit(book.y), ServerFault("x"), malformed=True)
    assert book.health.standing(book.y).malformed == 0, "what broke is judged as broken"
    book.now += 1_860
    assert share() == 0


def test_uptime_is_the_share_of_minutes_with_traffic_in_which_four_fifths_succeeded() -> None:
    book = Book(breaker_failures=10_000)
    book.now = 6_000.0
    assert book.health.uptime(book.x, 300) is None
    book.meet(times=9)
    assert book.health.uptime(book.x, 300) is None, "fewer than ten attempts in the minute"
    book.meet(times=1)
    book.now += 60
    book.meet(ServerFault("x"), 3)
    book.meet(times=7)
    assert book.health.uptime(book.x, 300) == 50.0
    book.now += 60
    book.meet(times=10)
    assert book.health.uptime(book.x, 60) == 100.0
    assert book.health.uptime(book.y, 60) is None


def test_asking_for_a_standing_changes_nothing() -> None:
    book = Book()
    book.eject()
    book.now += 5
    for _ in range(10):
        assert book.state() is None
    assert book.admit().probe
