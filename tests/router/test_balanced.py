"""The balanced draw: price, speed and reliability, each in its direction, and everyone keeps a little."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from router.facts import Standing
from router.plan import make
from router.policy import REGISTRY, STRATEGIES, Candidate
from router.policy.balanced import EDGE, EXPLORATION, MOST_EXPLORATION, Balanced
from router.speed import Spread
from router.tokens import Estimate
from tests.router.fakes import MODEL, ask, first_chances, offer, world

POLICY = Balanced()
ENDPOINT = world(offer("a")).endpoint("a")


def candidate(cost: float, speed: float | None = None, errors: float = 0.0, count: int = 100) -> Candidate:
    throughput = None if speed is None else Spread(speed, speed, speed, speed, count)
    return Candidate(ENDPOINT, Standing(error_rate=errors, throughput=throughput), cost)


costs = st.floats(1e-6, 1.0)
candidates = st.builds(candidate, costs, st.none() | st.floats(0.1, 1_000), st.floats(0, 1), st.integers(0, 512))
several = st.lists(candidates, min_size=2, max_size=8)


@given(st.lists(candidates, min_size=1, max_size=30))
def test_shares_are_a_distribution_and_everyone_keeps_the_exploration(some: list[Candidate]) -> None:
    shares = POLICY.chances(some)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= min(EXPLORATION, MOST_EXPLORATION / len(some)) * 0.999


@given(several, st.floats(0.1, 1))
def test_cheaper_is_never_less(some: list[Candidate], cut: float) -> None:
    first = some[0]
    better = [replace(first, expected_cost=first.expected_cost * cut), *some[1:]]
    assert POLICY.chances(better)[0] >= POLICY.chances(some)[0] * (1 - 1e-9)


@given(several, costs, st.floats(0.1, 1_000), st.floats(1, 10), st.integers(0, 512))
def test_faster_is_never_less(some: list[Candidate], cost: float, speed: float, gain: float, count: int) -> None:
    slow = [candidate(cost, speed, count=count), *some]
    fast = [candidate(cost, speed * gain, count=count), *some]
    assert POLICY.chances(fast)[0] >= POLICY.chances(slow)[0] * (1 - 1e-9)


@given(several, st.floats(0, 1))
def test_more_errors_are_never_more(some: list[Candidate], errors: float) -> None:
    first = some[0]
    worse = [
        replace(first, standing=replace(first.standing, error_rate=max(errors, first.standing.error_rate))),
        *some[1:],
    ]
    assert POLICY.chances(worse)[0] <= POLICY.chances(some)[0] * (1 + 1e-9)


@given(several, st.floats(0, 1))
def test_more_malformed_tool_calls_are_never_more(some: list[Candidate], share: float) -> None:
    first = some[0]
    worse = [replace(first, standing=replace(first.standing, malformed=share)), *some[1:]]
    assert POLICY.chances(worse)[0] <= POLICY.chances(some)[0] * (1 + 1e-9)


@given(several, st.randoms(use_true_random=False))
def test_the_order_of_the_catalogue_does_not_matter(some: list[Candidate], rng: Random) -> None:
    order = list(range(len(some)))
    rng.shuffle(order)
    assert POLICY.chances([some[index] for index in order]) == pytest.approx([POLICY.chances(some)[i] for i in order])


def test_one_percent_of_errors_counts_like_eight_percent_of_price() -> None:
    assert POLICY.chances([candidate(1.0, errors=0.01), candidate(1.08)]) == pytest.approx([0.5, 0.5])


def test_one_malformed_answer_in_twenty_counts_like_five_percent_of_price() -> None:
    garbling = Candidate(ENDPOINT, Standing(malformed=0.05), 1.0)
    assert POLICY.chances([garbling, candidate(1.05)]) == pytest.approx([0.5, 0.5])
    others = set(REGISTRY) - {"balanced"}
    for name in others:
        chances = REGISTRY[name].chances
        assert chances([garbling, candidate(1.0)]) == chances([candidate(1.0), candidate(1.0)]), name


def test_four_times_as_fast_is_worth_twice_the_price() -> None:
    shares = POLICY.chances([candidate(2.0, 80, count=10**9), candidate(1.0, 20, count=10**9)])
    assert shares == pytest.approx([0.5, 0.5], rel=1e-3)


def test_past_the_competitive_edge_the_share_drops_fast() -> None:
    inside = POLICY.chances([candidate(1.0), candidate(EDGE)])[1]
    past = POLICY.chances([candidate(1.0), candidate(2 * EDGE)])[1]
    assert inside > 0.35
    assert EXPLORATION < past < 0.02


def test_an_endpoint_that_nobody_measured_starts_as_a_typical_peer_and_moves_to_its_own() -> None:
    peers = [candidate(1.0, speed) for speed in (20, 50, 125)]
    unseen = POLICY.chances([candidate(1.0), *peers])
    assert unseen[0] == pytest.approx(unseen[2]), "as the median one"
    shares = [POLICY.chances([candidate(1.0, 200, count=count), *peers])[0] for count in (0, 5, 20, 500)]
    assert shares[0] < shares[1] < shares[2] < shares[3]


def test_draws_follow_the_shares_and_a_retry_the_shares_of_those_left() -> None:
    some = [candidate(1.0), candidate(1.1), candidate(1.2)]
    rng = Random(5)
    drawn = [POLICY.order(some, POLICY.chances(some), rng) for _ in range(4_000)]
    firsts = Counter(some.index(order[0]) for order in drawn)
    assert [firsts[index] / 4_000 for index in range(3)] == pytest.approx(POLICY.chances(some), abs=0.03)
    after_first = Counter(some.index(order[1]) for order in drawn if order[0] is some[0])
    left = POLICY.chances(some[1:])
    assert after_first[1] / after_first.total() == pytest.approx(left[0], abs=0.04)


def test_the_file_chooses_the_strategy_and_order_and_sort_overrule_it() -> None:
    w = world(offer("cheap", 1), offer("fast", 1.3))
    w.standings["cheap"] = Standing(throughput=Spread(5, 5, 5, 5, 500))
    w.standings["fast"] = Standing(throughput=Spread(100, 100, 100, 100, 500))

    def chances(strategy: str, **provider: object) -> dict[str, float]:
        plan = make(ask(provider=provider), replace(w.context(), draw=STRATEGIES[strategy]))
        return {endpoint.tag: round(share, 2) for endpoint, share in first_chances(plan).items()}

    assert chances("price")["cheap"] > 0.6
    assert chances("balanced")["fast"] > 0.95
    assert chances("balanced", sort="price") == {"cheap": 1.0, "fast": 0.0}
    assert chances("balanced", order=["cheap"]) == {"cheap": 1.0}
    assert make(ask(), replace(w.context(), draw="balanced")).strategy == "balanced"
    assert set(STRATEGIES.values()) <= set(REGISTRY)


def test_prices_go_by_how_much_of_its_prompts_an_endpoint_lately_had_in_its_cache() -> None:
    price = {"prompt": "2", "completion": "0", "cache_read": "0.2"}
    w = world(
        {**offer("caching"), "price": price},
        {**offer("plain"), "price": {"prompt": "1", "completion": "0"}},
        context_length=10_000_000,
    )
    w.standings["caching"] = Standing(cached=0.75)

    def costs(**how: Any) -> dict[str, float]:
        asked = replace(ask(provider=how.get("provider")), prompt=Estimate(1_000_000))
        context = replace(w.context(), draw=how["draw"], stuck=how.get("stuck"), cached=how.get("cached", 0))
        stage = make(asked, context).stages[0]
        return {one.endpoint.tag: round(one.expected_cost, 6) for one in stage.candidates}

    assert costs(draw="balanced") == {"caching": 0.65, "plain": 1.0}
    assert costs(draw="weighted") == {"caching": 2.0, "plain": 1.0}
    assert costs(draw="balanced", provider={"sort": "price"}) == {"caching": 2.0, "plain": 1.0}
    home = costs(draw="balanced", stuck=(MODEL, "caching"), cached=1_000_000)
    assert home == {"caching": 0.2, "plain": 1.0}, "what is known of the conversation itself goes before"
