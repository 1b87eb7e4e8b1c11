"""The default draw: by the inverse square of the expected cost, and anew for every retry."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from msgspec.structs import replace

from router.facts import Standing
from router.policy.weighted import weights
from tests.router.fakes import World, first_chances, offer, tags, world

SEEDS = 3_000


def chi_square(counts: Counter[str], shares: dict[str, float]) -> float:
    total = sum(counts.values())
    return sum((counts[name] - share * total) ** 2 / (share * total) for name, share in shares.items())


def example() -> World:
    """A at $1, B at $2, C at $3 per million; B in outage."""
    w = world(offer("a", 1), offer("b", 2), offer("c", 3))
    w.standings["b"] = Standing(outage=True)
    return w


def test_the_example_of_the_contract_exactly() -> None:
    plan = example().plan()
    chances = {endpoint.tag: chance for endpoint, chance in first_chances(plan).items()}
    assert chances == pytest.approx({"a": 0.9, "c": 0.1})


def test_the_example_of_the_contract_as_drawn() -> None:
    w = example()
    plans = [tags(w.plan(seed)) for seed in range(SEEDS)]
    assert {plan[-1] for plan in plans} == {"b"}
    # 10.83: one in a thousand by chance, with one degree of freedom; the seeds are fixed.
    assert chi_square(Counter(plan[0] for plan in plans), {"a": 0.9, "c": 0.1}) < 10.83


def test_every_retry_is_drawn_again_from_those_left() -> None:
    w = world(offer("a", 1), offer("b", 2), offer("c", 3))
    weights = {"a": 1.0, "b": 1 / 4, "c": 1 / 9}
    shares = {}
    for order in permutations("abc"):
        share, left = 1.0, sum(weights.values())
        for name in order:
            share *= weights[name] / left
            left -= weights[name]
        shares["".join(order)] = share
    counts = Counter("".join(tags(w.plan(seed))) for seed in range(SEEDS))
    assert chi_square(counts, shares) < 20.5  # five degrees of freedom, one in a thousand


def test_errors_make_an_endpoint_dearer() -> None:
    w = world(offer("a", 1), offer("b", 1))
    w.standings["a"] = Standing(error_rate=0.25)
    chances = {endpoint.tag: chance for endpoint, chance in first_chances(w.plan()).items()}
    assert chances["b"] / chances["a"] == pytest.approx((1 + 8 * 0.25) ** 2)


def test_a_free_endpoint_is_first_and_two_free_ones_share() -> None:
    w = world(offer("free", 0), offer("gratis", 0), offer("dear", 0.01))
    firsts = Counter(tags(w.plan(seed))[0] for seed in range(200))
    assert set(firsts) == {"free", "gratis"}
    assert all(tags(w.plan(seed))[-1] == "dear" for seed in range(200))


def test_prices_many_orders_of_magnitude_apart_are_drawn_without_loss() -> None:
    w = world(offer("a", 0), offer("b", "0.000000001"), offer("c", 10_000), offer("d", 10_000))
    lasts = Counter(tags(w.plan(seed))[-1] for seed in range(200))
    assert 60 < lasts["c"] < 140
    assert lasts["c"] + lasts["d"] == 200


def test_chances_sum_to_one_and_follow_sort_and_order() -> None:
    w = world(offer("a", 1), offer("b", 2), offer("c", 3))
    assert sum(first_chances(w.plan()).values()) == pytest.approx(1)
    sort = first_chances(w.plan(provider={"sort": "price"}))
    assert {endpoint.tag: chance for endpoint, chance in sort.items() if chance} == {"a": 1.0}
    order = first_chances(w.plan(provider={"order": ["c"]}))
    assert {endpoint.tag: chance for endpoint, chance in order.items()} == {"c": 1.0}
    assert first_chances(w.plan(provider={"only": ["nobody"]})) == {}


def test_the_weight_is_what_the_contract_says() -> None:
    w = world(offer("a", 2))
    candidate = replace(w.plan().stages[0].candidates[0], expected_cost=0.5, standing=Standing(error_rate=0.1))
    assert weights([candidate])[0] == pytest.approx(1 / (0.5 * (1 + 8 * 0.1)) ** 2)
