"""Prometheus metrics: the only home of prometheus_client. Labels come from the catalogue and fixed sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from router.catalogue import Catalogue
from router.health import Health
from router.outcome import Outcome
from router.served import Served

NOBODY = "none"
"""The label where no endpoint was reached."""

SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900)
OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts attempts and requests. An observer."""

    def __init__(self, health: Health, in_flight: Callable[[], int]) -> None:
        registry = self._registry = CollectorRegistry()
        self._health = health
        self._in_flight = in_flight
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
        self._gauge = Gauge("turnout_in_flight", "Requests being served.", registry=registry)
        # A metric looks its child up by checking and converting every label, each time.
        self._counter = cache(_counter)
        self._histogram = cache(_histogram)

    def attempted(self, outcome: Outcome) -> None:
        endpoint = outcome.endpoint
        by = (endpoint.model_id, endpoint.provider.slug)
        self._counter(self._attempts, *by, outcome.label).inc()
        if outcome.first_token is not None:
            self._histogram(self._first_token, *by).observe(outcome.first_token)
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
        for failed, then in zip(served.attempts, served.attempts[1:], strict=False):
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


def _counter(metric: Counter, *labels: str) -> Counter:
    return metric.labels(*labels)


def _histogram(metric: Histogram, *labels: str) -> Histogram:
    return metric.labels(*labels)
