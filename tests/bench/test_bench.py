"""The benchmark itself, in miniature: it runs, it counts, and it calls a wrong answer no result."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.bench.__main__ import NAMES, measured
from tests.bench.client import Expected, Wrong
from tests.bench.load import Round
from tests.bench.measure import QUICK, LoadRow
from tests.bench.report import Report, aims, show

MINIATURE = replace(QUICK, rounds=1, seconds=30.0, warm_up=0.05, most=50)
"""Ended by its fifty requests, not by its time."""


def quiet(what: str) -> None:
    pass


def row(peer: str, *cpu_us: float, errors: tuple[str, ...] = ()) -> LoadRow:
    rounds = tuple(Round(100, 1.0, cpu, 1.0, 2.0, 100, errors) for cpu in cpu_us)
    return LoadRow("small", "a short question", 32, 1, peer, rounds)


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
    assert aims([row("bare", 100, 200, 100), row("turnout", 210, 400, 230)]) == [
        "per request: 2.10 × bare, aim at most 3: met"
    ]


def test_a_run_with_errors_shows_no_figure_for_it() -> None:
    report = Report({}, {}, load=[row("bare", 100), row("turnout", 210, errors=("it broke",))])
    text = printed(report)
    assert report.errors == ["turnout: it broke"]
    assert "no result" in text
    assert "aim" not in text
    assert "210" not in text


def test_every_case_can_be_asked_for_alone() -> None:
    assert {"small", "prompt", "turns", "stream", "slow", "catalogue", "start"} == set(NAMES)
