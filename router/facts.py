"""What was seen of an endpoint and of our account at its provider, and how that stands once it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from msgspec import Struct
from msgspec.structs import force_setattr

from router.catalogue import Endpoint
from router.speed import Samples, Spread
from router.window import Window


class Tier(IntEnum):
    """How an endpoint stands by its uptime."""

    NORMAL = 0
    DEGRADED = 1
    DOWN = 2


class Standing(Struct, frozen=True, gc=False):
    """An endpoint as the plan sees it."""

    unavailable: str | None = None
    """`ejected`, `cooling`, `provider_put_aside` or `max_concurrency`; None: may be tried."""
    until: float = 0.0
    """When `unavailable` ends, on the health's clock."""
    outage: bool = False
    tier: Tier = Tier.NORMAL
    error_rate: float = 0.0
    latency: Spread | None = None
    """Seconds to the first token over five minutes."""
    throughput: Spread | None = None
    """Output tokens a second over five minutes, waiting included."""
    cached: float = 0.0
    """Share of its prompts' tokens that it had in its cache, over half an hour."""
    malformed: float = 0.0
    """Share of the answers calling tools whose arguments were malformed, over half an hour."""
    troubled: bool = False
    """It is out of the plan or goes back in its order; follows from the others."""

    def __post_init__(self) -> None:
        troubled = self.unavailable is not None or self.outage or self.tier is not Tier.NORMAL
        force_setattr(self, "troubled", troubled)


@dataclass(slots=True, eq=False)
class Account:
    """One provider: our account there, and what is under way."""

    in_flight: int = 0
    aside_until: float = 0.0
    aside_reason: str | None = None
    endpoints: list[Facts] = field(default_factory=list)

    def put_aside(self, until: float) -> None:
        """Nobody there is to be tried before."""
        self.aside_until = until
        for facts in self.endpoints:
            facts.clear_until = 0.0


@dataclass(slots=True, eq=False)
class Facts:
    """One endpoint: what was seen."""

    account: Account = field(default_factory=Account)
    failures: int = 0
    """In a row."""
    ejections: int = 0
    ejected_until: float | None = None
    probing: Ticket | None = None
    """The probe that is to decide an ejection."""
    leave: bool = False
    """Other replicas leave the probe to this one."""
    cool_until: float = 0.0
    recent: Window = field(default_factory=lambda: Window(1, 30))
    """What "outage" is judged by. Like the other windows right only after `write_down`."""
    lately: Window = field(default_factory=lambda: Window(10, 30))
    """Five minutes: what the uptime tier and the error rate are judged by."""
    minutes: Window = field(default_factory=lambda: Window(60, 1440))
    """A day: what is shown."""
    latency: Samples = field(default_factory=Samples)
    first_byte: Samples = field(default_factory=Samples)
    """The same of answers that are not streamed: nearly all of their time."""
    throughput: Samples = field(default_factory=lambda: Samples(more_is_better=True))
    prompts: Window = field(default_factory=lambda: Window(60, 30))
    """Half an hour of prompt tokens: "good" are those that were cached."""
    calls: Window = field(default_factory=lambda: Window(60, 30))
    """Half an hour of answers that called tools: "bad" are those with malformed arguments."""
    judged: Standing = field(default_factory=Standing)
    judged_at: int = -1
    """The second in which `judged` was made; -1: something happened since."""
    clear_until: float = 0.0
    """Until then it may be tried and stands as `judged`, whoever looks; 0.0: it has to be looked at."""
    untold_good: int = 0
    """Attempts of this process that other replicas have not been told of."""
    untold_bad: int = 0
    second: int = 0
    successes: int = 0
    """Those of `second`, not yet in the windows: these slide by whole seconds, so one entry a second does."""
    cached: int = 0
    """Prompt tokens of `successes`."""
    uncached: int = 0

    def write_down(self) -> None:
        """Enter what was only counted so far into the windows."""
        if self.successes:
            good, self.successes = self.successes, 0
            self.untold_good += good
            self._enter(self.second, good, 0)
        if self.cached or self.uncached:
            self.prompts.add(self.second, self.cached, self.uncached)
            self.cached = self.uncached = 0

    def succeeded(self, now: float) -> None:
        """An attempt of this process ended well."""
        second = int(now)
        if second != self.second:
            self.write_down()
            self.second, self.clear_until = second, 0.0
        self.successes += 1
        if self.judged.troubled or self.judged.error_rate:
            # What stands well stands no better for it, and figures of speed may be a second old.
            self.judged_at, self.clear_until = -1, 0.0

    def called(self, now: float, malformed: bool) -> None:
        """An answer of this process called tools."""
        self.calls.add(now, not malformed, malformed)
        if malformed:
            self.judged_at, self.clear_until = -1, 0.0

    def failed(self, now: float) -> None:
        """An attempt of this process ended badly."""
        self.untold_bad += 1
        self.count(now, 0, 1)

    def count(self, now: float, good: int, bad: int) -> None:
        """So many attempts, of whichever process."""
        self.write_down()
        self.judged_at, self.clear_until = -1, 0.0
        self._enter(now, good, bad)

    def _enter(self, now: float, good: int, bad: int) -> None:
        for window in (self.recent, self.lately, self.minutes):
            window.add(now, good, bad)


class Ticket(Struct, frozen=True, eq=False, gc=False):
    """Leave to make one attempt. Given back by `Health.settle`."""

    endpoint: Endpoint
    probe: bool
    begun: Callable[[Ticket], None] | None = None
    """Owed a call when a stream has content."""
