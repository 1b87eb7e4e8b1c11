"""What is counted of requests, and how a scrape tells it: as Prometheus' own client would."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from config.schema import Health as Thresholds
from providers.errors import Cancelled, ServerFault
from providers.usage import Usage
from router.decision import Decision
from router.health import Health
from router.metrics import Metrics
from router.outcome import Outcome
from router.request import Request
from router.served import Served
from router.tally import MANY, SECONDS
from tests.router.fakes import World, ask, offer, world


class Scene:
    """Metrics that are told of attempts and requests at two endpoints."""

    def __init__(self) -> None:
        self.world: World = world(offer("a"), offer("b"))
        self.metrics = Metrics(Health(Thresholds(), lambda: 1.0), lambda: 0)

    def attempt(self, tag: str, **fields: Any) -> Outcome:
        return Outcome("gen-1", self.world.endpoint(tag), 0.0, 1.0, **{"error": None, "stream": True, **fields})

    def request(self, *attempts: Outcome, status: int = 200, duration: float = 1.0) -> None:
        decision = Decision(ask(), self.world.plan(), list(attempts))
        if status == 200:
            decision.selected = attempts[-1].endpoint
        self.metrics.served(Served(Request("gen-1", {}, 0.0), decision, status, duration))

    def lines(self, metric: str) -> list[str]:
        """The samples of one metric."""
        text = self.metrics.render(self.world.catalogue).decode()
        return [line for line in text.split("\n") if line.startswith((f"{metric} ", f"{metric}{{"))]

    def family(self, metric: str) -> list[str]:
        """All that begins with a name, without the times at which counting began."""
        text = self.metrics.render(self.world.catalogue).decode()
        return [line for line in text.split("\n") if metric in line and "_created" not in line]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_value_on_a_bound_is_in_the_bucket_below_it_as_prometheus_has_it(scene: Scene) -> None:
    registry = CollectorRegistry()
    theirs = Histogram(
        "turnout_request_seconds", "Whole requests.", ["model", "provider"], buckets=SECONDS, registry=registry
    )
    for seconds in (0.0, 0.1, 0.1000001, 1, 1.5, 900, 901):
        scene.request(status=503, duration=seconds)
        theirs.labels("none", "none").observe(seconds)
    expected = [line for line in generate_latest(registry).decode().split("\n") if line and "_created" not in line]
    assert scene.family("turnout_request_seconds") == expected


def test_tokens_of_a_kind_nobody_used_and_costs_of_nothing_are_not_told(scene: Scene) -> None:
    scene.request(scene.attempt("a", usage=Usage(prompt=10, completion=5)))
    scene.request(scene.attempt("a", usage=Usage(prompt=1, cached=1)))
    assert scene.lines("turnout_tokens_total") == [
        'turnout_tokens_total{kind="prompt",model="acme/one",provider="a"} 11.0',
        'turnout_tokens_total{kind="cached",model="acme/one",provider="a"} 1.0',
        'turnout_tokens_total{kind="completion",model="acme/one",provider="a"} 5.0',
    ]
    assert scene.lines("turnout_cost_usd_total") == []


def test_costs_are_added_up_exactly(scene: Scene) -> None:
    for _ in range(10):
        scene.request(scene.attempt("a", usage=Usage(prompt=1), cost=Decimal("0.1")))
    assert scene.lines("turnout_cost_usd_total") == ['turnout_cost_usd_total{model="acme/one",provider="a"} 1.0']


def test_however_many_come_between_scrapes_all_are_counted_and_few_are_kept(scene: Scene) -> None:
    number = 2 * MANY + 3
    for place in range(number):
        usage = None if place % 2 else Usage(prompt=place, cached=1, completion=2)
        cost = Decimal("0.5") if usage else Decimal(0)
        scene.request(scene.attempt("a", first_token=0.3, usage=usage, cost=cost), duration=place / 100)
    (pair,) = scene.metrics._counts.pairs.values()
    assert len(pair.tries) < MANY
    assert len(pair.ends) < MANY
    totals = {line.split("{")[0]: line.rsplit(" ", 1)[1] for line in scene.lines("turnout_requests_total")}
    assert totals == {"turnout_requests_total": f"{number}.0"}
    (cost_told,) = scene.lines("turnout_cost_usd_total")
    used = range(0, number, 2)
    assert cost_told.endswith(f" {len(used) / 2}")
    tokens = scene.lines("turnout_tokens_total")
    assert {line.split('kind="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in tokens} == {
        "prompt": sum(used),
        "cached": len(used),
        "completion": 2 * len(used),
    }
    told = scene.lines("turnout_request_seconds_bucket")
    within = {line.split('le="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in told}
    assert within["1.0"] == 101
    assert within["+Inf"] == number


def test_attempts_are_counted_by_outcome_and_only_answers_have_a_first_token(scene: Scene) -> None:
    scene.request(scene.attempt("a", error=ServerFault("500")), status=500)
    scene.request(scene.attempt("b", first_token=0.2))
    assert scene.lines("turnout_attempts_total") == [
        'turnout_attempts_total{model="acme/one",outcome="server_fault",provider="a"} 1.0',
        'turnout_attempts_total{model="acme/one",outcome="success",provider="b"} 1.0',
    ]
    counts = scene.lines("turnout_time_to_first_token_seconds_count")
    assert counts == ['turnout_time_to_first_token_seconds_count{model="acme/one",provider="b"} 1.0']


def test_a_hedge_is_told_by_its_end_and_one_that_was_beaten_is_no_fallback(scene: Scene) -> None:
    beaten = scene.attempt("a", error=Cancelled("slower"))
    won = scene.attempt("b", hedged=True)
    scene.request(beaten, won)
    scene.request(scene.attempt("b", hedged=True, error=Cancelled("slower")), status=500)
    scene.request(scene.attempt("b", hedged=True, error=ServerFault("500")), status=500)
    assert [line.split("result=")[1] for line in scene.lines("turnout_hedges_total")] == [
        '"won"} 1.0',
        '"lost"} 1.0',
        '"failed"} 1.0',
    ]
    assert scene.lines("turnout_fallbacks_total") == []


def test_a_request_that_went_on_says_from_where_to_where_and_why(scene: Scene) -> None:
    scene.request(scene.attempt("a", error=ServerFault("500")), scene.attempt("b"))
    assert scene.lines("turnout_fallbacks_total") == [
        'turnout_fallbacks_total{from="a",model="acme/one",reason="server_fault",to="b"} 1.0'
    ]
    assert scene.lines("turnout_requests_total") == [
        'turnout_requests_total{model="acme/one",provider="b",status="200"} 1.0'
    ]


def test_every_counter_says_when_counting_began(scene: Scene) -> None:
    scene.request(scene.attempt("a", usage=Usage(prompt=1), cost=Decimal(1)))
    for name in ("requests", "attempts", "tokens", "cost_usd", "request_seconds", "overhead_seconds"):
        (line,) = scene.lines(f"turnout_{name}_created")
        assert float(line.rpartition(" ")[2]) > 1e9
