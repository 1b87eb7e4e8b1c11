"""Prometheus metrics: the only home of prometheus_client. Labels come from the catalogue and fixed sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from router.catalogue import Catalogue
from router.health import Health
from router.outcome import Outcome
from router.served import Served
from router.state.values import Status

NOBODY = "none"
"""The label where no endpoint was reached."""

SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900)
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
        by = ["model", "provider"]

        def counter(name: str, says: str, labels: list[str]) -> Counter:
            return Counter(name, says, labels, registry=registry)

        self._requests = counter("turnout_requests", "Requests answered.", [*by, "status"])
        self._attempts = counter("turnout_attempts", "Attempts at an endpoint.", [*by, "outcome"])
        self._tokens = counter("turnout_tokens", "Tokens used.", [*by, "kind"])
        self._cost = counter("turnout_cost_usd", "Cost in USD, by our price.", by)
        self._fallbacks = counter(
            "turnout_fallbacks",
            "Requests that went on to another endpoint.",
            ["model", "from", "to", "reason"],
        )
        self._rescues = counter(
            "turnout_rescues",
            "Streams that broke after content, and how it was tried to carry them on.",
            ["model", "how", "result"],
        )
        self._hedges = counter("turnout_hedges", "Second attempts started beside slow ones.", [*by, "result"])
        self.reloads = counter("turnout_config_reloads", "Configuration reloads.", ["result"])
        self._seconds = Histogram("turnout_request_seconds", "Whole requests.", by, buckets=SECONDS, registry=registry)
        self._first_token = Histogram(
            "turnout_time_to_first_token_seconds",
            "Attempts, to the first content.",
            by,
            buckets=SECONDS,
            registry=registry,
        )
        self._overhead = Histogram(
            "turnout_overhead_seconds",
            "The part of a request that was ours.",
            buckets=OVERHEAD,
            registry=registry,
        )
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
        # A metric looks its child up by checking and converting every label, each time.
        self._counter = cache(_counter)
        self._histogram = cache(_histogram)

    def attempted(self, outcome: Outcome) -> None:
        endpoint = outcome.endpoint
        by = (endpoint.model_id, endpoint.provider.slug)
        self._counter(self._attempts, *by, outcome.label).inc()
        if outcome.first_token is not None:
            self._histogram(self._first_token, *by).observe(outcome.first_token)
        if outcome.hedged:
            self._counter(
                self._hedges, *by, "lost" if outcome.beaten else "won" if outcome.error is None else "failed"
            ).inc()
        usage = outcome.usage
        if usage is None:
            return
        for kind, tokens in (
            ("prompt", usage.prompt),
            ("cached", usage.cached),
            ("reasoning", usage.reasoning),
            ("completion", usage.completion),
        ):
            if tokens:
                self._counter(self._tokens, *by, kind).inc(tokens)
        if outcome.cost:
            self._counter(self._cost, *by).inc(float(outcome.cost))

    def served(self, served: Served) -> None:
        endpoint = served.endpoint
        by = (NOBODY, NOBODY) if endpoint is None else (endpoint.model_id, endpoint.provider.slug)
        self._counter(self._requests, *by, str(served.status)).inc()
        self._histogram(self._seconds, *by).observe(served.duration)
        self._overhead.observe(served.overhead)
        self._budgets.served(served)
        for rescued in served.decision.rescues:
            self._counter(self._rescues, served.decision.plan.models[0], rescued.how, rescued.result).inc()
        attempts = [outcome for outcome in served.attempts if not outcome.beaten]
        for failed, then in pairwise(attempts):
            self._counter(
                self._fallbacks,
                failed.endpoint.model_id,
                failed.endpoint.provider.slug,
                then.endpoint.provider.slug,
                failed.label,
            ).inc()

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


def _counter(metric: Counter, *labels: str) -> Counter:
    return metric.labels(*labels)


def _histogram(metric: Histogram, *labels: str) -> Histogram:
    return metric.labels(*labels)
