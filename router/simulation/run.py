"""Serving a workload under one configuration: every plan, ticket and verdict is the gateway's own, only time is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from config.preferences import Preferences
from config.schema import Settings
from router.ask import NO_PREFERENCES
from router.catalogue import Catalogue
from router.health import Health
from router.learning import Learning
from router.offers import Offers
from router.plan import Context
from router.policy import STRATEGIES
from router.simulation.behaviour import Behaviours
from router.simulation.report import Report, Tally
from router.simulation.trip import Pause, Scene, Trip
from router.simulation.workload import Item

PROGRESS = 500
"""Requests between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried out: a configuration, and the `provider` object every request is sent with."""

    name: str
    settings: Settings
    catalogue: Catalogue
    provider: Preferences = NO_PREFERENCES


def run(
    case: Case,
    items: Sequence[Item],
    behaviours: Behaviours,
    seed: int,
    progress: Callable[[int], None] = lambda served: None,
) -> Report:
    """Serve every item; they are in order of time. Raises UnknownModel. The same arguments give the same report."""
    clock = _Clock()
    scene = _scene(case, behaviours, seed, clock)
    for number, item in enumerate(items):
        clock.advance(item.at or 0.0)
        clock.resume(number, Trip(scene, item, case.provider).go())
        if (number + 1) % PROGRESS == 0:
            progress(PROGRESS)
    clock.advance(math.inf)
    progress(len(items) % PROGRESS)
    return scene.tally.report(case.name)


def _scene(case: Case, behaviours: Behaviours, seed: int, clock: _Clock) -> Scene:
    health = Health(case.settings.health, clock.now)
    learning = Learning()
    context = Context(
        Offers(case.catalogue, case.settings.preferences),
        health.standings,
        Random(seed + 1),
        learned=learning.of,
        draw=STRATEGIES[case.settings.routing.strategy],
    )
    # Nature has a source of chance of its own, so that one draw more in a plan does not change what providers do.
    return Scene(case.settings, context, health, learning, behaviours, Random(seed), Tally(), clock.now)


class _Clock:
    """Simulated seconds, and the requests that wait for a time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._waiting: list[tuple[float, int, Pause]] = []

    def now(self) -> float:
        return self._now

    def advance(self, until: float) -> None:
        """Let everyone go on who waits for a time up to `until`, then it is `until`."""
        while self._waiting and self._waiting[0][0] <= until:
            self._now, number, trip = heappop(self._waiting)
            self.resume(number, trip)
        if until < math.inf:
            self._now = until

    def resume(self, number: int, trip: Pause) -> None:
        wake = next(trip, None)
        if wake is not None:
            heappush(self._waiting, (wake, number, trip))
