"""Prometheus metrics: the only home of prometheus_client. Labels come from the catalogue and fixed sets."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from router.catalogue import Catalogue
from router.health import Health
from router.outcome import Outcome
from router.served import Served
from router.state.values import Status
from router.tally import MANY, Buckets, Pair, Pairs

NOBODY = "none"
"""The label where no endpoint was reached."""
_NOWHERE = (NOBODY, NOBODY)

DAY = 86_400.0
OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts attempts and requests. An observer."""

    def __init__(self, health: Health, in_flight: Callable[[], int], state: Callable[[], Status] = Status) -> None:
        """`state`: how the store is doing."""
        registry = self._registry = CollectorRegistry()
        self._health = health
        self._in_flight = in_flight
        self._state_of = state
        self._budgets = Budgets()
        self._counts = _Counts()
        registry.register(self._counts)
        by = ["model", "provider"]
        self.reloads = Counter("turnout_config_reloads", "Configuration reloads.", ["result"], registry=registry)
        self._uptime = Gauge(
            "turnout_endpoint_uptime_ratio",
            "Share of attempts that succeeded in 30 minutes.",
            by,
            registry=registry,
        )
        self._state = Gauge(
            "turnout_endpoint_state", "1 for the state an endpoint is in.", [*by, "state"], registry=registry
        )
        self._state_errors = Counter(
            "turnout_state_errors", "Operations on the shared state that failed.", registry=registry
        )
        self._state_up = Gauge("turnout_state_up", "1 while the shared state can be used.", registry=registry)
        self._budget = Gauge(
            "turnout_budget_used_ratio",
            "Share of its limit that the key nearest to it has used, of the keys used here in the last day.",
            registry=registry,
        )
        self._gauge = Gauge("turnout_in_flight", "Requests being served.", registry=registry)
        self._errors = 0
        """State errors already counted."""

    def served(self, served: Served) -> None:
        endpoint, counts, attempts = served.endpoint, self._counts, served.attempts
        straight = len(attempts) == 1 and attempts[0].endpoint is endpoint
        if not straight:
            self._attempted(attempts)
        pair = counts.pairs[_NOWHERE if endpoint is None else (endpoint.model_id, endpoint.provider.slug)]
        if straight:
            _note(pair, attempts[0])
        ends = pair.ends
        ends.append((served.status, served.duration, served.overhead))
        if len(ends) >= MANY:
            pair.add_up()
        if served.grant is not None:
            self._budgets.served(served)
        for rescued in served.decision.rescues:
            counts.rescues[served.decision.plan.models[0], rescued.how, rescued.result] += 1

    def _attempted(self, attempts: Sequence[Outcome]) -> None:
        for outcome in attempts:
            endpoint = outcome.endpoint
            pair = self._counts.pairs[endpoint.model_id, endpoint.provider.slug]
            _note(pair, outcome)
            if len(pair.tries) >= MANY:
                pair.add_up()
        self._fell_back([outcome for outcome in attempts if not outcome.beaten])

    def _fell_back(self, attempts: Sequence[Outcome]) -> None:
        for failed, then in pairwise(attempts):
            left = failed.endpoint
            by = (left.model_id, left.provider.slug, then.endpoint.provider.slug, failed.label)
            self._counts.fallbacks[by] += 1

    def render(self, catalogue: Catalogue) -> bytes:
        """The exposition, with the gauges as they stand now."""
        self._gauge.set(self._in_flight())
        status = self._state_of()
        self._state_up.set(status.ok)
        self._state_errors.inc(max(0, status.errors - self._errors))
        self._errors = max(self._errors, status.errors)
        self._budget.set(self._budgets.nearest(self._health.now()))
        self._uptime.clear()
        self._state.clear()
        for model in catalogue.models.values():
            for endpoint in model.endpoints:
                by = (model.id, endpoint.provider.slug)
                ratio = self._health.ratio(endpoint, 1800)
                if ratio is not None:
                    self._uptime.labels(*by).set(ratio)
                state = "off" if endpoint.provider.off else self._health.standing(endpoint).unavailable or "on"
                self._state.labels(*by, state).set(1)
        return generate_latest(self._registry)


def _note(pair: Pair, outcome: Outcome) -> None:
    error = outcome.error
    label = "success" if error is None else outcome.label
    pair.tries.append((label, outcome.first_token, outcome.usage, outcome.cost))
    if outcome.hedged:
        pair.hedges["lost" if outcome.beaten else "won" if error is None else "failed"] += 1


class _Counts(Collector):
    """What attempts and requests came to, told in Prometheus' terms when it is scraped."""

    def __init__(self) -> None:
        self.overhead = Buckets(OVERHEAD)
        self.pairs = Pairs(self.overhead)
        self.fallbacks: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self.rescues: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._created = time.time()

    def collect(self) -> Iterable[Metric]:
        self.pairs.add_up()
        yield from self._counters()
        yield from self._histograms()

    def _counters(self) -> Iterator[Metric]:
        counter, by, pairs = self._counter, ["model", "provider"], self.pairs.items()
        yield counter(
            "turnout_requests",
            "Requests answered.",
            [*by, "status"],
            (((*at, str(status)), count) for at, pair in pairs for status, count in pair.requests.items()),
        )
        yield counter(
            "turnout_attempts",
            "Attempts at an endpoint.",
            [*by, "outcome"],
            (((*at, label), count) for at, pair in pairs for label, count in pair.attempts.items()),
        )
        kinds = ("prompt", "cached", "reasoning", "completion")
        yield counter(
            "turnout_tokens",
            "Tokens used.",
            [*by, "kind"],
            (((*at, kind), getattr(pair, kind)) for at, pair in pairs for kind in kinds),
        )
        yield counter(
            "turnout_cost_usd", "Cost in USD, by our price.", by, ((at, float(pair.cost)) for at, pair in pairs)
        )
        yield counter(
            "turnout_fallbacks",
            "Requests that went on to another endpoint.",
            ["model", "from", "to", "reason"],
            self.fallbacks.items(),
        )
        yield counter(
            "turnout_rescues",
            "Streams that broke after content, and how it was tried to carry them on.",
            ["model", "how", "result"],
            self.rescues.items(),
        )
        yield counter(
            "turnout_hedges",
            "Second attempts started beside slow ones.",
            [*by, "result"],
            (((*at, result), count) for at, pair in pairs for result, count in pair.hedges.items()),
        )

    def _histograms(self) -> Iterator[Metric]:
        by = ["model", "provider"]
        seconds = [(at, pair.seconds) for at, pair in self.pairs.items()]
        first_token = [(at, pair.first_token) for at, pair in self.pairs.items()]
        yield self._histogram("turnout_request_seconds", "Whole requests.", by, _seen(seconds))
        yield self._histogram(
            "turnout_time_to_first_token_seconds", "Attempts, to the first content.", by, _seen(first_token)
        )
        overhead: list[tuple[tuple[str, ...], Buckets]] = [((), self.overhead)]
        yield self._histogram("turnout_overhead_seconds", "The part of a request that was ours.", [], overhead)

    def _counter(
        self, name: str, says: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]
    ) -> Metric:
        family = CounterMetricFamily(name, says, labels=labels)
        for labelled, value in values:
            if value:
                family.add_metric(labelled, value, created=self._created)
        return family

    def _histogram(
        self, name: str, says: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], Buckets]]
    ) -> Metric:
        family = HistogramMetricFamily(name, says, labels=labels)
        for labelled, held in values:
            bounds = [(_spelled(bound), count) for bound, count in held.cumulative()]
            family.add_metric(labelled, bounds, held.sum)
            family.add_sample(f"{name}_created", dict(zip(labels, labelled, strict=True)), self._created)
        return family


def _spelled(bound: float) -> str:
    return "+Inf" if bound == math.inf else repr(float(bound))


def _seen(values: Iterable[tuple[tuple[str, ...], Buckets]]) -> Iterator[tuple[tuple[str, ...], Buckets]]:
    """Those with a value in them: the others are not told of."""
    return ((labelled, held) for labelled, held in values if any(held.counts))


class Budgets:
    """How much of their limits keys have used. Keys are not labels: only the nearest to its limit is told of."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}
        """(share, when last used) by digest."""

    def served(self, served: Served) -> None:
        grant, limits = served.grant, served.request.caller.limits
        if grant is None or grant.remaining is None or limits is None or not limits.usd:
            return
        # What was reserved for the request is given back but for its cost.
        left = grant.remaining + grant.reserved - served.cost
        now = served.request.received + served.duration
        self._used[grant.key] = (float(1 - left / limits.usd), now)

    def nearest(self, now: float) -> float:
        """The highest share, 0 without any."""
        self._used = {key: used for key, used in self._used.items() if now - used[1] < DAY}
        return max((share for share, _ in self._used.values()), default=0.0)
