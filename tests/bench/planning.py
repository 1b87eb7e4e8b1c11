"""What it costs to plan a request, in this process: ten endpoints of a model, in catalogues of different size."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from config.schema import Health as Thresholds
from router.health import Health
from router.plan import make
from tests.router.fakes import World, ask, offer, world

ENDPOINTS = 10
"""Of the model that is asked for."""


@dataclass(frozen=True, slots=True)
class PlanningRow:
    """One catalogue: how many models it has, and CPU µs a plan in each round."""

    models: int
    rounds: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.rounds)


def measured(sizes: tuple[int, ...], rounds: int, plans: int) -> list[PlanningRow]:
    """`plans` plans a round, the catalogues in turns."""
    planners = {size: _planner(_world(size)) for size in sizes}
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, plan in planners.items():
            taken[size].append(_microseconds(plan, plans))
    return [PlanningRow(size, tuple(values)) for size, values in taken.items()]


def _world(models: int) -> World:
    offers = [offer(f"provider-{number}", 1 + number / 10) for number in range(ENDPOINTS)]
    others = {f"acme/other-{number}": {"endpoints": offers[:2]} for number in range(models - 1)}
    return world(*offers, models=others)


def _planner(planned: World) -> Callable[[], object]:
    health = Health(Thresholds(), time.monotonic)
    context = planned.context(standings=health.standings)
    asked = ask()
    return lambda: make(asked, context)


def _microseconds(plan: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        plan()
    return (time.process_time() - start) / times * 1e6
