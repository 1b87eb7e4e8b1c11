"""`make bench`: what the gateway costs beside a direct call, a bare pass-through and other gateways, in one run."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import click
import uvloop
from rich.console import Console

from tests.bench import machine, measure
from tests.bench.cases import CASES
from tests.bench.client import Wrong
from tests.bench.effort import FULL, LATE_SECONDS, QUICK, Effort
from tests.bench.measure import Tell
from tests.bench.processes import NotStarted
from tests.bench.registry import REGISTRY, available
from tests.bench.report import Report, show
from tests.bench.results import save as save_results
from tests.bench.rig import Bench

NAMES = (*dict.fromkeys(case.name for case in CASES), "sizes", "hold", "slow", "catalogue", "start", "planning")


def measured(only: frozenset[str], names: frozenset[str], effort: Effort, tell: Tell) -> Report:
    """Run the cases and peers asked for (none named: all). Raises NotStarted, Wrong."""
    machine.raise_open_files()
    cores = machine.Cores.split()
    peers, absent = available(names, tell)
    report = Report(machine.describe(cores), absent)
    if not only or "planning" in only:
        report.planning += measure.plans(effort, tell)
    with (
        machine.pinned(cores.load),
        tempfile.TemporaryDirectory(prefix="turnout-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        bench = Bench(runner, cores, Path(folder), absent, time.perf_counter() + LATE_SECONDS)
        cases = [case for case in CASES if not only or case.name in only]
        report.load += measure.under_load(bench, cases, peers, effort, tell)
        if not only or "sizes" in only:
            report.sizes += measure.prompt_sizes(bench, effort, tell)
        if not only or "hold" in only:
            report.holds += measure.held_loops(bench, peers, effort, tell)
        if not only or "slow" in only:
            report.slow += measure.slow_streams(bench, peers, effort, tell)
        if not only or "catalogue" in only:
            rows, starts = measure.catalogue_sizes(bench, effort, tell)
            report.catalogue += rows
            report.starts += starts
        if not only or "start" in only:
            report.starts += measure.cold_starts(bench, peers, effort, tell)
    return report


@click.command()
@click.option("--quick", is_flag=True, help="About five minutes instead of about fifteen, and wider spreads.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only this case; may be repeated.")
@click.option("--peer", multiple=True, type=click.Choice(list(REGISTRY)), help="Only this peer; may be repeated.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write every round here.")
@click.option(
    "--save", is_flag=True, help="Also put the tables, dated, on top of tests/bench/RESULTS.md, unless the run failed."
)
def main(quick: bool, only: tuple[str, ...], peer: tuple[str, ...], file: Path | None, save: bool) -> None:
    """Measure on this machine, loopback only. Other gateways are installed on first use, each into its own folder.

    Exit 1 where an answer of this gateway was wrong: then it is no result.
    """
    begun = time.perf_counter()
    progress = Console(stderr=True)

    def tell(what: str) -> None:
        progress.print(f"{time.perf_counter() - begun:5.0f} s  {what}", style="dim", highlight=False)

    try:
        report = measured(frozenset(only), frozenset(peer), QUICK if quick else FULL, tell)
    except (NotStarted, Wrong) as error:
        raise click.ClickException(str(error)) from error
    tell("done")
    show(report, Console(highlight=False, width=None if sys.stdout.isatty() else 200))
    if file is not None:
        file.write_text(json.dumps(report.json(), indent=1))
    if save and not report.failed:
        save_results(report, ", only ".join(["quick" if quick else "full", *only]))
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
