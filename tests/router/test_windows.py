"""Windows that slide, percentiles by nearest rank, and both in bounded memory."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.speed import MOST_SAMPLES, Samples, Spread, spread
from router.window import Window


def test_a_window_slides_and_never_drops_to_nothing_at_an_edge() -> None:
    window = Window(1, 30)
    for tick in range(600):
        window.add(1_000 + tick / 10, (tick + 1) % 2, tick % 2)
        if tick >= 300:
            assert 290 <= window.good + window.bad <= 300
            assert abs(window.good - window.bad) <= 10


@given(
    st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60),
    st.sampled_from([(1, 5), (10, 3), (0.5, 8)]),
)
def test_a_window_holds_what_a_list_of_events_would(steps: list[tuple[float, bool]], shape: tuple[float, int]) -> None:
    width, slots = shape
    window, events, now = Window(width, slots), [], 100.0
    for pause, good in steps:
        now += pause
        window.add(now, int(good), int(not good))
        events.append((int(now / width), good))
        oldest = int(now / width) - slots
        held = [was_good for slot, was_good in events if slot > oldest]
        assert (window.good, window.bad) == (sum(held), len(held) - sum(held))
        per_slot = window.slots(now, width * slots)
        assert len(per_slot) == slots
        assert (sum(one for one, _ in per_slot), sum(other for _, other in per_slot)) == (window.good, window.bad)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    window = Window(1, 10)
    window.add(100, 1, 0)
    window.advance(50)
    window.add(50, 1, 0)
    assert window.good == 2
    window.advance(111)
    assert window.good == 0


def test_memory_is_bounded_whatever_the_traffic() -> None:
    window, samples = Window(1, 30), Samples()
    for step in range(5_000):
        window.add(step / 10, 1, 0)
        samples.add(step / 10, 1.0)
    assert sum(good + bad for good, bad in window.slots(500, 30)) <= 300
    assert sys.getsizeof(window._good) < 1_000
    assert len(samples._values) == MOST_SAMPLES


def test_percentiles_by_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert spread(values) == Spread(50, 75, 90, 99)
    assert spread(values, more_is_better=True) == Spread(51, 26, 11, 2)
    assert spread([7.0]) == Spread(7, 7, 7, 7)
    assert spread([]) is None


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_ordered_and_are_values_seen(values: list[float]) -> None:
    less, more = spread(values), spread(values, more_is_better=True)
    assert less is not None
    assert more is not None
    assert less.p50 <= less.p75 <= less.p90 <= less.p99
    assert more.p50 >= more.p75 >= more.p90 >= more.p99
    assert {less.p50, less.p99, more.p50, more.p99} <= set(values)


def test_samples_slide_out_of_their_window() -> None:
    samples = Samples()
    samples.add(0, 1.0)
    samples.add(100, 3.0)
    assert samples.spread(100, 300) == spread([1.0, 3.0])
    assert samples.spread(301.5, 300) == spread([3.0])
    assert samples.spread(401.5, 300) is None


def test_percentiles_are_computed_at_most_once_a_second() -> None:
    samples = Samples()
    samples.add(0, 1.0)
    first = samples.spread(0, 300)
    samples.add(0.5, 9.0)
    assert samples.spread(0.9, 300) is first
    assert samples.spread(1.0, 300) == pytest.approx(spread([1.0, 9.0]))
