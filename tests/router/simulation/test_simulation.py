"""A simulation: right by hand where a hand can compute it, deterministic, and by the gateway's own health."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.preferences import Preferences
from router.errors import UnknownModel
from router.simulation import behaviour, workload
from router.simulation.behaviour import Behaviour, BehaviourError, Behaviours, Wait
from router.simulation.report import Report, Waits
from router.simulation.run import PROGRESS, Case, run
from router.simulation.workload import Item, WorkloadError, synthetic
from tests.router.fakes import MODEL, World, offer, world

STEADY = Behaviour(ttft=Wait(p50=1, p95=1), tokens_per_second=100, error_after=0.5)
"""One second to the first token, then a hundred a second."""


def case(w: World, provider: dict[str, Any] | None = None) -> Case:
    return Case("test", w.settings, w.catalogue, Preferences.from_request(provider or {})[0])


def simulate(w: World, items: list[Item], *, provider: dict[str, Any] | None = None, **named: Behaviour) -> Report:
    return run(case(w, provider), items, Behaviours({"default": STEADY, **named}), seed=1)


def item(at: float = 0.0, prompt: int = 1_000, completion: int = 500, **fields: Any) -> Item:
    return Item(at=at, model=MODEL, prompt_tokens=prompt, completion_tokens=completion, **fields)


CHEAP_FIRST = {"sort": "price"}


# --- by hand ----------------------------------------------------------------------------------------------


def test_three_requests_at_one_provider_cost_and_last_what_a_hand_computes() -> None:
    w = world({**offer("a"), "price": {"prompt": "2", "completion": "10"}})
    report = simulate(w, [item(0), item(1), item(2, completion=900)])
    assert report.cost == Decimal(3 * 1_000 * 2 + 1_900 * 10) / 1_000_000
    assert report.first_token == Waits(1.0, 1.0)
    assert report.duration == Waits(6.0, 10.0)
    assert (report.requests, report.answered, report.attempts, report.saved) == (3, 3, 3, 0)
    assert report.shares == {"a": 1.0}


def test_a_failed_attempt_costs_its_time_and_falls_over() -> None:
    w = world(offer("a", 1), offer("b", 2))
    report = simulate(w, [item()], provider=CHEAP_FIRST, a=steady(outages=((0.0, 10.0),)))
    assert report.first_token == Waits(1.5, 1.5)
    assert report.duration == Waits(6.5, 6.5)
    assert (report.answered, report.attempts, report.saved) == (1, 2, 1)
    assert report.cost == Decimal(1_500 * 2) / 1_000_000
    assert report.shares == {"b": 1.0}


def steady(**fields: Any) -> Behaviour:
    return msgspec.structs.replace(STEADY, **fields)


def test_the_best_is_asked_once_more_before_the_model_is_left() -> None:
    w = world(offer("a"))
    pause = w.settings.retries.backoff
    report = simulate(w, [item()], a=steady(outages=((0.0, 0.5 + pause / 2),)))
    assert (report.answered, report.attempts) == (1, 2)
    assert report.first_token == Waits(0.5 + pause + 1, 0.5 + pause + 1)


def test_the_breaker_ejects_and_a_probe_brings_back() -> None:
    w = world(offer("a", 1), offer("b", 2))
    items = [item(float(second)) for second in range(200)]
    report = simulate(w, items, provider=CHEAP_FIRST, a=steady(outages=((0.0, 60.0),)))
    assert report.success == 1.0
    failures = report.attempts - report.answered
    assert 5 <= failures < 20, "ejected, a is only probed now and then"
    assert report.shares["a"] > 0.4, "after its outage it is the cheapest again"


def test_what_does_not_fit_goes_where_it_does() -> None:
    w = world(offer("a", 1, context_length=2_000), offer("b", 2))
    assert simulate(w, [item(prompt=50_000)], provider=CHEAP_FIRST).shares == {"b": 1.0}
    uncertain = simulate(w, [item(prompt=2_100, completion=10)], provider={"order": ["a"]})
    assert (uncertain.shares, uncertain.attempts) == ({"b": 1.0}, 2)


def test_without_fallbacks_and_without_anyone_requests_fail() -> None:
    w = world(offer("a", 1), offer("b", 2))
    down = steady(error_rate=1.0)
    alone = simulate(w, [item()], provider={**CHEAP_FIRST, "allow_fallbacks": False}, a=down)
    assert (alone.answered, alone.cost, alone.duration) == (0, 0, None)
    assert simulate(w, [item()], provider={"only": ["nobody"]}).success == 0.0
    assert simulate(w, [item(at=second) for second in range(30)], default=down).success == 0.0


def test_silence_beyond_the_patience_is_a_failure() -> None:
    w = world(offer("a", 1), offer("b", 2))
    patience = w.settings.timeouts.first_token
    silent = steady(ttft=Wait(p50=patience + 1, p95=patience + 1))
    report = simulate(w, [item()], provider=CHEAP_FIRST, a=silent)
    assert report.first_token == Waits(patience + 1, patience + 1)
    assert report.shares == {"b": 1.0}


def test_preferences_change_what_it_costs() -> None:
    w = world(offer("a", 1), offer("b", 4))
    items = synthetic([MODEL], 2_000, 10.0, 3)
    drawn, cheapest, dearest = (
        simulate(w, items, provider=provider) for provider in (None, CHEAP_FIRST, {"only": ["b"]})
    )
    assert drawn.shares["a"] == pytest.approx(16 / 17, abs=0.02)
    assert cheapest.cost < drawn.cost < dearest.cost
    assert float(dearest.cost / cheapest.cost) == pytest.approx(4)


def test_max_concurrency_holds() -> None:
    w = world(offer("a", 1), offer("b", 2), providers={"a": {"max_concurrency": 1}})
    report = simulate(w, [item(0), item(1), item(7)], provider=CHEAP_FIRST)
    assert report.shares == {"a": 2 / 3, "b": 1 / 3}


def test_an_unknown_model_is_said() -> None:
    with pytest.raises(UnknownModel, match="acme/won"):
        simulate(world(offer("a")), [Item(at=0, model="acme/won", prompt_tokens=1, completion_tokens=1)])


# --- chance -----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_report_and_another_another() -> None:
    w = world(offer("a", 1), offer("b", 1.2))
    behaviours = Behaviours({"default": Behaviour(error_rate=0.1)})
    items = synthetic([MODEL], 500, 20.0, 5)
    assert synthetic([MODEL], 500, 20.0, 5) == items
    assert run(case(w), items, behaviours, 5) == run(case(w), items, behaviours, 5)
    assert run(case(w), items, behaviours, 6) != run(case(w), items, behaviours, 5)


def test_errors_come_at_their_rate() -> None:
    w = world(offer("a"))
    items = [item(float(number), completion=1) for number in range(4_000)]
    report = simulate(w, items, provider={"allow_fallbacks": False}, a=steady(error_rate=0.02))
    failed = report.attempts - report.answered
    assert failed / report.attempts == pytest.approx(0.02, abs=0.007)


def test_waits_are_as_described() -> None:
    w = world(offer("a"))
    items = [item(number * 0.1) for number in range(4_000)]
    report = simulate(w, items, default=Behaviour(ttft=Wait(p50=0.8, p95=2.4)))
    assert report.first_token is not None
    assert report.first_token.p50 == pytest.approx(0.8, rel=0.06)
    assert report.first_token.p95 == pytest.approx(2.4, rel=0.1)


def test_progress_counts_every_request() -> None:
    told: list[int] = []
    items = synthetic([MODEL], PROGRESS + 7, 100.0, 1)
    run(case(world(offer("a"))), items, Behaviours(), 1, told.append)
    assert sum(told) == PROGRESS + 7


# --- files ------------------------------------------------------------------------------------------------


def test_a_workload_is_read_in_order_of_time(tmp_path: Path) -> None:
    file = tmp_path / "load.jsonl"
    line = '{"model": "m", "prompt_tokens": 1, "completion_tokens": 2%s}\n'
    file.write_text(line % ', "at": 9.5' + "\n" + line % ', "at": 0, "max_tokens": 5, "tools": true' + line % "")
    found = workload.read(file, rate=2.0)
    assert [one.at for one in found] == [0, 1.0, 9.5]
    assert found[0] == Item(at=0, model="m", prompt_tokens=1, completion_tokens=2, max_tokens=5, tools=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no request"),
        ('{"model": "m", "prompt_tokens": 1, "completion_tokens": 2}\n{"model": 3}', ":2: "),
        ('{"model": "m", "prompt_tokens": 1}', ":1: .*completion_tokens"),
        ('{"model": "m", "prompt_tokens": -1, "completion_tokens": 2}', ":1: .*negative"),
        ('{"model": "m", "prompt_tokens": 1, "completion_tokens": 2, "maxtokens": 3}', ":1: .*maxtokens"),
        ("\udcff", ":1: "),
    ],
)
def test_a_bad_workload_says_where(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "load.jsonl"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(WorkloadError, match=said):
        workload.read(file, 1.0)
    with pytest.raises(WorkloadError, match="No such file"):
        workload.read(tmp_path / "none", 1.0)


def test_behaviours_are_read_from_yaml_or_json_the_most_exact_name_first(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(f"default: {{error_rate: 0.5}}\na: {{tokens_per_second: 9}}\n{MODEL}@b: {{outages: [[1, 2]]}}\n")
    w = world(offer("a"), offer("b"), offer("c"))
    found = behaviour.read(file)
    assert found.of(w.endpoint("a")) == Behaviour(tokens_per_second=9)
    assert found.of(w.endpoint("b")) == Behaviour(outages=((1.0, 2.0),))
    assert found.of(w.endpoint("c")) == Behaviour(error_rate=0.5)
    assert found.unknown(w.catalogue) == []
    file.write_text('{"z": {}}')
    assert behaviour.read(file).unknown(w.catalogue) == ["z"]


@pytest.mark.parametrize(
    "text",
    ["a: {error_rate: 2}", "a: {ttft: {p50: 3, p95: 1}}", "a: {tokens_per_second: 0}", "a: {speed: 1}", "[1", "- 1"],
)
def test_a_bad_behaviour_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(text)
    with pytest.raises(BehaviourError, match=r"endpoints\.yaml: "):
        behaviour.read(file)
