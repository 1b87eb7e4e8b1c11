"""Limits: what is let in, what is charged, and when it is forgotten, the same on both stores."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from config.schema import State
from router.state import connect
from router.state.base import Store
from router.state.values import Grant, KeyUsage, Limits, Query, Refusal, Reset, Row
from tests.contract.servers import Clock

USD = Decimal
LEASE = 905.0
NONE = Limits()


def unix(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


async def admit(store: Store, request: str, limits: Limits, expected: str = "0.10", key: str = "k") -> Grant | Refusal:
    return await store.spend.admit(key, limits, USD(expected), request, LEASE)


async def granted(store: Store, request: str, limits: Limits = NONE, expected: str = "0.10", key: str = "k") -> Grant:
    grant = await admit(store, request, limits, expected, key)
    assert isinstance(grant, Grant)
    return grant


async def refused(store: Store, request: str, limits: Limits, expected: str = "0.10") -> Refusal:
    refusal = await admit(store, request, limits, expected)
    assert isinstance(refusal, Refusal)
    return refusal


async def usage(store: Store, key: str = "k") -> KeyUsage:
    await store.flush()
    return await store.spend.usage(key)


async def test_a_reservation_becomes_what_it_cost(store: Store) -> None:
    grant = await granted(store, "r", Limits(USD(1)))
    assert grant.remaining == USD("0.90")
    assert (await usage(store)).reserved == USD("0.10")
    store.spend.settle(grant, USD("0.034000000001"))
    cost = USD("0.034000000001")
    assert await usage(store) == KeyUsage(cost, cost, cost, cost, USD(0))


async def test_a_released_reservation_leaves_nothing(store: Store) -> None:
    store.spend.release(await granted(store, "r", Limits(USD(1))))
    assert await usage(store) == KeyUsage()


async def test_settling_again_charges_nothing(store: Store) -> None:
    grant = await granted(store, "r")
    for _ in range(3):
        store.spend.settle(grant, USD("0.05"))
    store.spend.release(grant)
    assert (await usage(store)).total == USD("0.05")


async def test_what_does_not_fit_beside_what_is_reserved_is_refused(store: Store) -> None:
    limits = Limits(USD("0.25"))
    first, _ = await granted(store, "1", limits), await granted(store, "2", limits)
    refusal = await refused(store, "3", limits)
    assert refusal == Refusal("usd", None, None, USD("0.05"))
    store.spend.release(first)
    await store.flush()
    await granted(store, "3", limits)


async def test_exactly_the_limit_may_be_spent(store: Store) -> None:
    limits = Limits(USD("0.50"))
    for number in range(5):
        store.spend.settle(await granted(store, str(number), limits), USD("0.10"))
    await store.flush()
    await refused(store, "6", limits)
    await granted(store, "free", limits, "0")


async def test_a_hundred_at_once_do_not_overshoot(store: Store) -> None:
    limits = Limits(USD("0.50"))
    answers = await asyncio.gather(*(admit(store, str(number), limits) for number in range(100)))
    assert sum(isinstance(one, Grant) for one in answers) == 5
    assert (await usage(store)).reserved == USD("0.50")


async def test_a_key_without_limits_is_counted_all_the_same(store: Store) -> None:
    store.spend.settle(await granted(store, "r"), USD(2))
    assert (await usage(store)).total == USD(2)
    assert (await usage(store, "another")) == KeyUsage()


async def test_a_reservation_ends_with_its_lease_and_its_request_is_charged_still(store: Store, clock: Clock) -> None:
    limits = Limits(USD("0.10"))
    grant = await granted(store, "r", limits)
    clock.now += LEASE - 1
    await refused(store, "s", limits)
    clock.now += 2
    assert (await usage(store)).reserved == 0
    await granted(store, "s", limits)
    for _ in range(2):
        store.spend.settle(grant, USD("0.08"))
    assert (await usage(store)).total == USD("0.08")


@pytest.mark.parametrize(
    ("reset", "now", "resets"),
    [
        ("daily", unix(2026, 11, 24, 23, 59, 50), unix(2026, 11, 25)),
        ("weekly", unix(2026, 11, 29, 23, 59, 50), unix(2026, 11, 30)),
        ("monthly", unix(2026, 12, 31, 23, 59, 50), unix(2027, 1, 1)),
        ("monthly", unix(2028, 2, 29, 23, 59, 50), unix(2028, 3, 1)),
    ],
)
async def test_a_limit_resets_at_midnight_utc(
    store: Store, clock: Clock, reset: Reset, now: float, resets: float
) -> None:
    clock.now = now
    limits = Limits(USD("0.10"), reset)
    store.spend.settle(await granted(store, "r", limits), USD("0.10"))
    await store.flush()
    assert await refused(store, "s", limits) == Refusal("usd", 10.0, resets, USD(0))
    clock.now = resets
    await granted(store, "s", limits)
    spent = await usage(store)
    assert spent.total == USD("0.10")
    assert spent.within(limits.reset) == 0


async def test_a_cost_belongs_to_the_day_its_request_began(store: Store, clock: Clock) -> None:
    clock.now = unix(2026, 11, 24, 23, 59, 59)
    late = [await granted(store, str(number)) for number in range(50)]
    clock.now = unix(2026, 11, 25, 0, 0, 1)
    store.spend.settle(await granted(store, "today"), USD("0.01"))
    for grant in late:
        store.spend.settle(grant, USD("0.02"))
    assert await usage(store) == KeyUsage(USD("0.01"), USD("1.01"), USD("1.01"), USD("1.01"), USD(0))


async def test_a_minute_rolls(store: Store, clock: Clock) -> None:
    limits = Limits(rpm=3)
    for number, later in enumerate((0, 20, 20)):
        clock.now += later
        await granted(store, str(number), limits)
    assert await refused(store, "4", limits) == Refusal("rpm", 20.0)
    clock.now += 19.9
    assert (await refused(store, "4", limits)).retry_after == pytest.approx(0.1, abs=0.002)
    clock.now += 0.1
    await granted(store, "4", limits)
    assert (await refused(store, "5", limits)).retry_after == pytest.approx(20, abs=0.002)


async def test_refused_requests_count_towards_neither(store: Store, clock: Clock) -> None:
    both = Limits(USD("0.10"), None, 2)
    await granted(store, "1", both)
    for number in range(10):
        assert (await refused(store, f"poor{number}", both)).limit == "usd"
    await granted(store, "2", both, "0")
    for number in range(10):
        assert (await refused(store, f"fast{number}", both, "0")).limit == "rpm"
    assert (await usage(store)).reserved == USD("0.10")
    clock.now += 60
    await granted(store, "3", both, "0")


async def test_a_steady_rate_below_the_limit_is_never_refused(store: Store, clock: Clock) -> None:
    limits = Limits(rpm=20)
    for number in range(60):
        await granted(store, str(number), limits, "0")
        clock.now += 3.01


async def test_a_raised_or_lowered_rate_holds_at_once(store: Store) -> None:
    for number in range(3):
        await granted(store, str(number), Limits(rpm=3), "0")
    await refused(store, "a", Limits(rpm=3), "0")
    await granted(store, "b", Limits(rpm=4), "0")
    await refused(store, "c", Limits(rpm=2), "0")


async def test_keys_that_look_alike_are_apart(store: Store) -> None:
    await granted(store, "1", Limits(USD("0.10")), key="a:b")
    await granted(store, "2", Limits(USD("0.10")), key="a")
    assert (await usage(store, "a")).reserved == USD("0.10")


async def test_a_restart_finds_what_was_spent_as_the_ledger_has_it(settings: State, clock: Clock) -> None:
    clock.now = unix(2026, 11, 24, 12)
    for days_ago, cost in ((40, "1"), (20, "0.5"), (1, "0.25"), (0, "0.125")):
        now, clock.now = clock.now, clock.now - days_ago * 86_400
        store = connect(settings, clock=clock)
        await store.open()
        grant = await granted(store, f"gen-{days_ago}")
        store.spend.settle(grant, USD(cost))
        row = Row(grant.request, grant.at, "m", 200, msgspec.Raw(b"{}"), key="k", cost=USD(cost))
        for _ in range(2):
            await store.ledger.append([row])
        await store.aclose()
        clock.now = now
    store = connect(settings, clock=clock)
    await store.open()
    assert await usage(store) == KeyUsage(USD("0.125"), USD("0.375"), USD("0.875"), USD("1.875"), USD(0))
    assert [one.cost for one in await store.ledger.totals(Query(0.0, ("key",)))] == [USD("1.875")]
    await store.aclose()
