"""Days, weeks, months and sums: Python and Lua agree, counters equal what was charged, whatever the order."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.state.periods import Figures, day_of, month_of, resets_at, week_of
from router.state.redis.scripts import _script
from router.state.spend import SpendBook
from router.state.values import Grant, Limits, Refusal, to_units, to_usd
from tests.contract.servers import Clock, RedisServer

times = st.integers(0, 4_102_444_800)
moneys = st.decimals(0, 1000, places=12)


@given(times)
def test_periods_end_where_the_calendar_says(at: int) -> None:
    moment = datetime.fromtimestamp(at, UTC)
    midnight = moment.replace(hour=0, minute=0, second=0)
    assert resets_at("daily", at) == (midnight + timedelta(days=1)).timestamp()
    assert resets_at("weekly", at) == (midnight + timedelta(days=7 - moment.weekday())).timestamp()
    first = (midnight.replace(day=28) + timedelta(days=4)).replace(day=1)
    assert resets_at("monthly", at) == first.timestamp()
    for reset, period in (("daily", day_of), ("weekly", week_of), ("monthly", month_of)):
        end = resets_at(reset, at)  # type: ignore[arg-type]
        assert end is not None
        assert period(end - 1) == period(at) == period(end) - 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=times)
def test_lua_counts_periods_as_python_does(redis: RedisServer, at: int) -> None:
    text = _script("lib").text.decode() + f"\nlocal p = periods({at})\nreturn {{p.day, p.week, p.month}}"
    reply = redis.command("EVAL", text, "0")
    assert [int(one) for one in re.findall(rb":(-?\d+)", reply)] == [day_of(at), week_of(at), month_of(at)]


@given(moneys)
def test_money_keeps_its_twelve_places(usd: Decimal) -> None:
    assert to_usd(to_units(usd)) == usd


@given(st.lists(st.tuples(moneys, st.integers(0, 40 * 86_400)), max_size=30), st.integers(0, 40 * 86_400))
def test_counters_are_the_sum_of_what_was_charged_in_their_period(
    charges: list[tuple[Decimal, int]], later: int
) -> None:
    start = 1_800_000_000
    figures = Figures()
    for usd, after in charges:
        figures.add(to_units(usd), start + after)
    now = max([start + after for _, after in charges] + [start + later])
    periods = ((None, lambda at: 0), ("daily", day_of), ("weekly", week_of), ("monthly", month_of))
    for reset, period in periods:
        expected = sum(to_units(usd) for usd, after in charges if period(start + after) == period(now))
        assert figures.within(reset, now) == expected  # type: ignore[arg-type]


steps = st.lists(
    st.tuples(st.sampled_from(["admit", "settle", "release", "wait"]), st.integers(0, 9), moneys), max_size=60
)


@given(steps)
def test_nothing_reserved_is_left_and_no_limit_passed_by_more_than_a_cost_above_its_estimate(
    script: list[tuple[str, int, Decimal]],
) -> None:
    clock = Clock()
    book = SpendBook(clock, clock)
    limits = Limits(Decimal(500), None, None)
    grants: dict[int, Grant] = {}
    charged = Decimal(0)
    for step, number, money in script:
        if step == "admit":
            answer = book.admit("k", limits, money, f"{number}-{clock.now}-{len(grants)}-{money}", 100.0)
            if isinstance(answer, Refusal):
                assert book.usage("k").total + book.usage("k").reserved + money > 500
            else:
                grants[number] = answer
        elif step == "wait":
            clock.now += float(number)
        elif grant := grants.pop(number, None):
            cost = Decimal(0) if step == "release" else min(money, grant.reserved)
            charged += cost if book.settle(grant, cost) else 0
            assert not book.settle(grant, cost)
        usage = book.usage("k")
        assert usage.total == charged
        assert usage.total + usage.reserved <= 500
    clock.now += 1000
    assert book.usage("k").reserved == 0
