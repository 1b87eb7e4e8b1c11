"""Everything measured in one run: its tables, its aims, its errors, and how they are shown on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.bench import aims, tables
from tests.bench.planning import PlanningRow
from tests.bench.registry import FLOOR, OURS
from tests.bench.rows import HoldRow, LoadRow, SlowRow, StartRow, in_groups
from tests.bench.tables import FAILED, Grid

NOTES = """\
CPU is user + system time of a peer's whole process tree. Medians over rounds in which peers take turns, [least–most].
× NAME: the median of the rounds' own ratios to that peer's CPU time. First byte: of the answer's body, as the client
sees it. With one connection "added" is what the peer itself adds; with more it is mostly time in the queue of a peer
kept busy. Other gateways run as their makers ship them, one process on the same core: one model at the same upstream,
their log at errors only, nothing stored, no retries; this gateway with keys, four endpoints, its ledger and metrics.
Small questions beside large prompts name a model that nobody serves: each gateway answers them itself, so that what
waits is its own loop. Peers that are there only to be seen have fewer rounds. A Python built without optimisations is
slower, and so are turnout, bare and LiteLLM, which share it."""


@dataclass(slots=True)
class Report:
    """Everything measured in one run."""

    machine: dict[str, str]
    absent: dict[str, str]
    """Peers that were left out, and why."""
    load: list[LoadRow] = field(default_factory=list)
    sizes: list[LoadRow] = field(default_factory=list)
    holds: list[HoldRow] = field(default_factory=list)
    slow: list[SlowRow] = field(default_factory=list)
    catalogue: list[LoadRow] = field(default_factory=list)
    starts: list[StartRow] = field(default_factory=list)
    planning: list[PlanningRow] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """Every error, once each; a row with any is no result."""
        return list(dict.fromkeys(f"{row.peer}: {error}" for row in self._rows() for error in row.errors))

    @property
    def failed(self) -> bool:
        """Whether this gateway, or what it is measured by, answered wrong: then all of it is no result."""
        return any(row.errors for row in self._rows() if row.peer in OURS or row in self.catalogue)

    def _rows(self) -> list[LoadRow | HoldRow | SlowRow]:
        return [*self.load, *self.sizes, *self.holds, *self.slow, *self.catalogue]

    def grids(self) -> Iterator[Grid]:
        """Its tables, in order."""
        for rows in in_groups(self.load):
            yield tables.load_grid(rows, f"{rows[0].says}, {rows[0].load}", FLOOR)
        if self.sizes:
            yield tables.size_grid(self.sizes)
        if self.holds:
            yield tables.hold_grid(self.holds)
        if self.slow:
            yield tables.slow_grid(self.slow)
        if self.catalogue:
            yield tables.load_grid(self.catalogue, "size of the catalogue, 32 at once", self.catalogue[0].peer)
        if self.planning:
            yield tables.planning_grid(self.planning)
        if self.starts:
            yield tables.start_grid(self.starts)

    def aims(self) -> list[str]:
        """How this gateway stands against what it aims at."""
        of_prompts = [*aims.of_sizes(self.sizes), *aims.of_holds(self.holds)]
        of_rows = [*aims.of_load(self.load), *of_prompts, *aims.of_slow(self.slow), *aims.of_catalogue(self.catalogue)]
        return [*of_rows, *aims.of_planning(self.planning), *aims.of_starts(self.starts)]

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "errors": self.errors}


def show(report: Report, console: Console) -> None:
    """Print all tables, what was aimed at, and what went wrong."""
    for key, value in report.machine.items():
        console.print(f"{key}: {value}", style="dim")
    for name, why in report.absent.items():
        console.print(f"left out: {name}, as {why}", style="dim", markup=False)
    for grid in report.grids():
        console.print(_table(grid))
    console.print(NOTES, style="dim", markup=False)
    for line in report.aims():
        console.print(line, markup=False)
    for error in report.errors:
        console.print(f"ERROR {error}", style="bold red", markup=False)


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title, title_justify="left", title_style="bold", header_style="dim")
    for number, column in enumerate(grid.columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    for row in grid.rows:
        table.add_row(*[Text(cell, style="red" if cell == FAILED else "") for cell in row])
    return table
