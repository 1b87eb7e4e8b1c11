"""The benchmark itself, in miniature: it runs, it counts, and it calls a wrong answer no result."""

from __future__ import annotations

import asyncio
import io
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from click.testing import CliRunner
from rich.console import Console

from tests.bench import __main__ as command
from tests.bench import planning
from tests.bench.__main__ import NAMES, measured
from tests.bench.aims import of_catalogue, of_holds, of_load, of_sizes
from tests.bench.cases import WHOLE
from tests.bench.client import Expected, Wrong
from tests.bench.effort import QUICK
from tests.bench.hold import Hold
from tests.bench.load import Round
from tests.bench.machine import Cores, describe
from tests.bench.peers import Direct, Peer, Place, Started
from tests.bench.processes import NotStarted
from tests.bench.report import Report, show
from tests.bench.results import TITLE, save
from tests.bench.rig import Bench, Rig, sandbox
from tests.bench.rows import HoldRow, LoadRow

MINIATURE = replace(QUICK, rounds=1, seconds=30.0, warm_up=0.05, most=50)
"""Ended by its fifty requests, not by its time."""


def quiet(what: str) -> None:
    pass


def row(peer: str, *cpu_us: float, errors: tuple[str, ...] = ()) -> LoadRow:
    rounds = tuple(Round(100, 1.0, cpu, 1.0, 2.0, 100, errors) for cpu in cpu_us)
    return LoadRow("small", "a short question", "32 at once", 32, 1, peer, rounds)


def printed(report: Report) -> str:
    console = Console(file=io.StringIO(), width=160)
    show(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_peers_are_measured_against_each_other_and_every_answer_is_checked() -> None:
    report = measured(frozenset(("small",)), frozenset(("direct", "bare", "turnout")), MINIATURE, quiet)
    assert not report.errors
    assert {(row.peer, row.connections) for row in report.load} == {
        (peer, connections) for peer in ("direct", "bare", "turnout") for connections in (1, 32, 256)
    }
    assert all(one.requests == 50 for row in report.load for one in row.rounds)
    assert "a short question, 256 at once" in printed(report)


def test_a_wrong_answer_is_told_from_a_right_one() -> None:
    expected = Expected(b"token", 2, b"[DONE]")
    expected.check(200, b"token token [DONE]\n\n")
    for status, body in ((500, b"token token [DONE]"), (200, b"token [DONE]"), (200, b"token token")):
        with pytest.raises(Wrong):
            expected.check(status, body)


def test_the_ratio_is_taken_round_by_round() -> None:
    assert of_load([row("bare", 100, 200, 100), row("turnout", 210, 400, 230)]) == [
        "CPU a request: 2.10 × bare, aim at most 3.00: met"
    ]


def sized(*cpu_us: float) -> list[LoadRow]:
    """Two rounds of each size, in kilobytes 1, 101 and 201."""
    return [
        replace(row("turnout", cpu, cpu), body_bytes=1_000 + number * 100_000, says=f"number {number}")
        for number, cpu in enumerate(cpu_us)
    ]


def test_what_a_byte_more_costs_may_not_grow_with_the_prompt() -> None:
    assert of_sizes(sized(300, 400, 500)) == [
        "CPU a kB more up to number 2: 1.00 × that up to number 1, aim at most 1.30: met"
    ]
    assert of_sizes(sized(300, 400, 540))[0].endswith("1.40 × that up to number 1, aim at most 1.30: MISSED")
    assert of_sizes([*sized(300, 400, 500), row("bare", 1, 1)]) == of_sizes(sized(300, 400, 500))


def test_the_longest_wait_of_all_rounds_is_how_long_the_loop_was_held() -> None:
    rounds = tuple(Hold(alone_ms=1.0, p99_ms=3.0, longest_ms=longest, questions=9, prompts=2) for longest in (31, 61))
    assert of_holds([HoldRow("tensorzero", rounds), HoldRow("turnout", rounds)]) == [
        "longest wait of a small question for prompts of 8 MB: 60.00 ms, aim at most 50.00: MISSED"
    ]


@pytest.mark.parametrize(
    ("plain", "verdict"), [((97, 98), "met"), ((94, 95), "MISSED"), ((94, 95, 101), "met"), ((103, 104), "met")]
)
def test_hedges_and_rescues_cost_nothing_if_the_rounds_cannot_tell(plain: tuple[float, ...], verdict: str) -> None:
    (line,) = of_load([row("turnout", *[100] * len(plain)), row("turnout-plain", *plain)])
    assert line.startswith("turnout-plain, CPU a request: ")
    assert line.endswith(verdict)


def test_no_variant_of_this_gateway_counts_as_another() -> None:
    names = ("direct", "bare", "turnout", "turnout-plain", "turnout+redis", "nginx", "smg", "litellm")
    (line,) = [line for line in of_load([row(name, 100) for name in names]) if line.startswith("requests a second")]
    assert line == "requests a second: 100, aim above every other gateway (smg 100, litellm 100): MISSED"


def test_each_larger_catalogue_is_judged_by_the_smallest() -> None:
    rows = [row("10 endpoints", 100), row("2,000 endpoints", 120), row("20,000 endpoints", 110)]
    assert [line.rpartition(": ")[2] for line in of_catalogue(rows)] == ["MISSED", "met"]


def test_prompts_of_every_size_are_measured_and_small_questions_beside_the_largest() -> None:
    effort = replace(MINIATURE, seconds=0.05, most=2, rounds=1)
    report = measured(frozenset(("sizes", "hold")), frozenset(("turnout",)), effort, quiet)
    assert not report.errors
    assert [row.body_bytes // 1_000 for row in report.sizes if row.peer == "turnout"] == [1, 10, 100, 1_000, 8_000]
    assert all(len(row.rounds) == 1 for row in report.sizes)
    (held,) = report.holds[0].rounds
    assert held.questions > 0
    assert held.prompts > 0
    assert len(report.aims()) == 2


def test_a_late_run_goes_on_without_other_gateways(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        bench = Bench(runner, Cores(), tmp_path, until=0.0)
        assert bench.has("turnout")
        assert not bench.has("litellm")
    assert bench.lost == {"litellm": "time was over: not in every table"}


def test_the_report_says_how_its_python_was_built() -> None:
    assert "--enable-optimizations" in describe(Cores())["python"]


def test_a_run_with_errors_shows_no_figure_for_it() -> None:
    report = Report({}, {}, load=[row("bare", 100), row("turnout", 210, errors=("it broke",))])
    text = printed(report)
    assert report.errors == ["turnout: it broke"]
    assert "no result" in text
    assert "aim" not in text
    assert "210" not in text


def test_every_case_can_be_asked_for_alone() -> None:
    assert set(NAMES) == {
        *("small", "prompt", "turns", "stream", "steady"),
        *("sizes", "hold", "slow", "catalogue", "start", "planning"),
    }


class Refuses:
    """A peer that never starts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        return None

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        raise NotStarted(f"{place.folder} is no place for it")


def rigged(peer: Peer, lost: dict[str, str]) -> set[str]:
    """The names of those that serve, of `peer` and the direct call."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bench = Bench(runner, Cores(), Path(folder), lost)
        with Rig(bench, sandbox(*WHOLE), [peer, Direct()]) as rig:
            return set(rig.peers)


def test_another_gateway_that_does_not_start_is_left_out_and_told() -> None:
    lost: dict[str, str] = {}
    assert rigged(Refuses("tensorzero"), lost) == {"direct"}
    assert lost["tensorzero"].startswith("it did not start: ")


def test_this_gateway_has_to_start() -> None:
    with pytest.raises(NotStarted):
        rigged(Refuses("turnout"), {})


def test_only_a_wrong_answer_of_this_gateway_makes_the_run_fail() -> None:
    assert not Report({}, {}, load=[row("litellm", 1, errors=("it broke",))]).failed
    assert Report({}, {}, load=[row("turnout", 1, errors=("it broke",))]).failed


@pytest.mark.parametrize(("errors", "times"), [((), 1), (("it broke",), 0)])
def test_only_a_sound_run_is_saved(errors: tuple[str, ...], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Report] = []
    report = Report({}, {}, load=[row("turnout", 1, errors=errors)])
    monkeypatch.setattr(command, "measured", lambda *_: report)
    monkeypatch.setattr(command, "save_results", lambda report, effort: saved.append(report))
    result = CliRunner().invoke(command.main, ["--save"])
    assert (len(saved), result.exit_code) == (times, 1 - times)


def test_results_are_saved_the_newest_first_and_name_no_path(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    rows = [row("bare", 100, 100), row("turnout", 200, 200), row("litellm", 1, errors=("/home/me broke",))]
    for cpu in ("older", "newer"):
        save(Report({"cpu": cpu}, {"smg": "it did not start: /home/me/smg"}, load=rows), "quick", file)
    text = file.read_text()
    assert text.count(TITLE) == 1
    assert text.index("- cpu: newer") < text.index("- cpu: older")
    assert "- left out: smg, as it did not start\n" in text
    assert "| turnout | 200.0 [200.0–200.0] | 2.00 [2.00–2.00] | 1.00 [1.00–1.00] |" in text
    assert "/home" not in text


def test_a_steady_rate_is_kept_and_a_late_request_has_waited() -> None:
    effort = replace(MINIATURE, most=20)
    report = measured(frozenset(("steady",)), frozenset(("direct",)), effort, quiet)
    (only,) = report.load[0].rounds
    assert only.requests == 20
    assert only.seconds >= 19 / 200


def test_planning_is_measured_in_a_small_and_a_large_catalogue() -> None:
    rows = planning.measured((10, 40), rounds=2, plans=5)
    assert [row.models for row in rows] == [10, 40]
    assert all(row.best > 0 and len(row.rounds) == 2 for row in rows)
