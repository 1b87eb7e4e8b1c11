"""What was measured, as tables: medians over the rounds, with the least and the most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import LoadRow, SlowRow, StartRow, in_groups
from tests.bench.peers import FLOOR, Turnout
from tests.bench.slow import PACE

AIM_REQUEST = 3.0
AIM_EVENT = 1.5
"""Most times the bare pass-through that the gateway may cost."""
AIMED_AT = {("small", 32): ("per request", AIM_REQUEST), ("stream", 32): ("per event", AIM_EVENT)}

NOTES = """\
CPU is user + system time of a peer's whole process tree. Medians over rounds in which peers take turns, [least–most].
× bare: the median of the rounds' own ratios. First byte: of the answer's body, as the client sees it. With one
connection "added" is what the peer itself adds; with more it is mostly time in the queue of a peer kept busy."""


@dataclass(slots=True)
class Report:
    """Everything measured in one run."""

    machine: dict[str, str]
    absent: dict[str, str]
    """Peers that were left out, and why."""
    load: list[LoadRow] = field(default_factory=list)
    slow: list[SlowRow] = field(default_factory=list)
    catalogue: list[LoadRow] = field(default_factory=list)
    starts: list[StartRow] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """Every error; with any, this is no result."""
        rows: list[LoadRow | SlowRow] = [*self.load, *self.slow, *self.catalogue]
        return [f"{row.peer}: {error}" for row in rows for error in row.errors]

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "errors": self.errors}


def show(report: Report, console: Console) -> None:
    """Print all tables, what was aimed at, and what went wrong."""
    for key, value in report.machine.items():
        console.print(f"{key}: {value}", style="dim")
    for name, why in report.absent.items():
        console.print(f"left out: {name}, as {why}", style="dim")
    for rows in in_groups(report.load):
        console.print(_load_table(rows, f"{rows[0].says}, {rows[0].connections} at once", FLOOR))
    if report.slow:
        console.print(_slow_table(report.slow))
    if report.catalogue:
        console.print(_load_table(report.catalogue, "size of the catalogue, 32 at once", report.catalogue[0].peer))
    if report.starts:
        console.print(_start_table(report.starts))
    console.print(NOTES, style="dim", markup=False)
    for line in aims(report.load):
        console.print(line)
    for error in report.errors:
        console.print(f"ERROR {error}", style="bold red", markup=False)


def aims(rows: Sequence[LoadRow]) -> list[str]:
    """How the gateway stands against what it aims at."""
    lines = []
    for group in in_groups(rows):
        what, most = AIMED_AT.get((group[0].case, group[0].connections), ("", 0.0))
        by_name = {row.peer: row for row in group if not row.errors}
        if not most or not {FLOOR, Turnout.name} <= by_name.keys():
            continue
        if ratios := _ratios(by_name[Turnout.name], by_name[FLOOR]):
            verdict = "met" if median(ratios) <= most else "MISSED"
            lines.append(f"{what}: {median(ratios):.2f} × {FLOOR}, aim at most {most:g}: {verdict}")
    return lines


def _ratios(row: LoadRow, floor: LoadRow) -> list[float]:
    return [ours.cpu_us / theirs.cpu_us for ours, theirs in zip(row.rounds, floor.rounds, strict=True) if theirs.cpu_us]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _spread(values: Sequence[float], shape: Callable[[float], str]) -> str:
    """Median, least and most; "" where there is nothing to say."""
    if not any(values):
        return ""
    if len(values) == 1:
        return shape(values[0])
    return f"{shape(median(values))} [dim]\\[{shape(min(values))}–{shape(max(values))}][/]"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _hundredths(value: float) -> str:
    return f"{value:,.2f}"


def _load_table(rows: Sequence[LoadRow], title: str, floor_name: str) -> Table:
    unit = "event" if rows[0].units > 1 else "request"
    table = _table(
        title, "", f"CPU µs / {unit}", f"× {floor_name}", "requests/s", "first byte p50 ms", "added", "p99 ms"
    )
    sound = {row.peer: row for row in rows if not row.errors}
    floor, direct = sound.get(floor_name), sound.get("direct")
    for row in rows:
        if row.errors:
            table.add_row(row.peer, f"[red]{len(row.errors)} errors: no result[/]")
            continue
        p50 = median(one.p50_ms for one in row.rounds)
        added = None if direct is None or direct is row else p50 - median(one.p50_ms for one in direct.rounds)
        table.add_row(
            row.peer,
            _spread([one.cpu_us / row.units for one in row.rounds], _tenths),
            _spread(_ratios(row, floor), _hundredths) if floor is not None else "",
            _spread([one.rate for one in row.rounds], _whole),
            _spread([one.p50_ms for one in row.rounds], _hundredths),
            "" if added is None else _hundredths(added),
            _spread([one.p99_ms for one in row.rounds], _hundredths),
        )
    return table


def _slow_table(rows: Sequence[SlowRow]) -> Table:
    title = f"{rows[0].streams:,} slow streams at once, an event each {PACE:g} s"
    table = _table(title, "", "kB each", "CPU µs / event", "delay p50 ms", "delay p99 ms", "added p99")
    direct = next((row for row in rows if row.peer == "direct" and not row.errors), None)
    for row in rows:
        if row.errors:
            table.add_row(row.peer, f"[red]{len(row.errors)} errors: no result[/]")
            continue
        p99 = median(one.p99_ms for one in row.rounds)
        table.add_row(
            row.peer,
            _spread([one.kilobytes for one in row.rounds], _tenths),
            _spread([one.cpu_us for one in row.rounds], _tenths),
            _spread([one.p50_ms for one in row.rounds], _hundredths),
            _spread([one.p99_ms for one in row.rounds], _hundredths),
            "" if direct in (None, row) else _hundredths(p99 - median(one.p99_ms for one in direct.rounds)),
        )
    return table


def _start_table(rows: Sequence[StartRow]) -> Table:
    table = _table("from start to the first answer", "", "seconds", "memory MB")
    for row in rows:
        table.add_row(row.peer, _spread(row.seconds, _hundredths), _spread([size / 1e6 for size in row.rss], _tenths))
    return table
