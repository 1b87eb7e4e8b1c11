"""What was measured, as tables of text: medians over the rounds, with the least and the most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.peers import Turnout
from tests.bench.planning import ENDPOINTS, PlanningRow
from tests.bench.rows import HoldRow, LoadRow, SlowRow, StartRow
from tests.bench.slow import PACE

FAILED = "no result"


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of as many cells as there are columns; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def ratios(row: LoadRow, floor: LoadRow) -> list[float]:
    """CPU time of one by the other's, round by round; rounds in which the other shows none are left out."""
    pairs = zip(row.rounds, floor.rounds, strict=False)
    return [ours.cpu_us / theirs.cpu_us for ours, theirs in pairs if theirs.cpu_us]


def load_grid(rows: Sequence[LoadRow], title: str, floor_name: str) -> Grid:
    unit = "event" if rows[0].units > 1 else "request"
    present = {row.peer for row in rows}
    references = [name for name in dict.fromkeys((floor_name, Turnout.name)) if name in present]
    relative = tuple(f"× {name}" for name in references)
    columns = ("", f"CPU µs / {unit}", *relative, "requests/s", "first byte p50 ms", "added", "p99 ms")
    sound = {row.peer: row for row in rows if not row.errors}
    return Grid(title, columns, tuple(_load_cells(row, sound, references, len(columns)) for row in rows))


def _load_cells(row: LoadRow, sound: dict[str, LoadRow], references: list[str], width: int) -> tuple[str, ...]:
    if row.errors:
        return _failed(row.peer, width)
    p50, direct = median(one.p50_ms for one in row.rounds), sound.get("direct")
    added = None if direct is None or direct is row else p50 - median(one.p50_ms for one in direct.rounds)
    relative = [spread(ratios(row, sound[name]), _hundredths) if name in sound else "" for name in references]
    return (
        row.peer,
        spread([one.cpu_us / row.units for one in row.rounds], _tenths),
        *relative,
        spread([one.rate for one in row.rounds], _whole),
        spread([one.p50_ms for one in row.rounds], _hundredths),
        "" if added is None else _hundredths(added),
        spread([one.p99_ms for one in row.rounds], _hundredths),
    )


def slow_grid(rows: Sequence[SlowRow]) -> Grid:
    title = f"{rows[0].streams:,} slow streams at once, an event each {PACE:g} s"
    columns = ("", "kB each", "CPU µs / event", "delay p50 ms", "delay p99 ms", "added p99")
    direct = next((row for row in rows if row.peer == "direct" and not row.errors), None)
    return Grid(title, columns, tuple(_slow_cells(row, direct, len(columns)) for row in rows))


def _slow_cells(row: SlowRow, direct: SlowRow | None, width: int) -> tuple[str, ...]:
    if row.errors:
        return _failed(row.peer, width)
    p99 = median(one.p99_ms for one in row.rounds)
    added = None if direct is None or direct is row else p99 - median(one.p99_ms for one in direct.rounds)
    return (
        row.peer,
        spread([one.kilobytes for one in row.rounds], _tenths),
        spread([one.cpu_us for one in row.rounds], _tenths),
        spread([one.p50_ms for one in row.rounds], _hundredths),
        spread([one.p99_ms for one in row.rounds], _hundredths),
        "" if added is None else _hundredths(added),
    )


def size_grid(rows: Sequence[LoadRow]) -> Grid:
    """`rows`: of each size the floor, then what is measured against it."""
    columns = ("", "CPU µs / request", "CPU µs / kB", f"× {rows[0].peer}", "requests/s", "first byte p50 ms")
    floors = {row.says: row for row in rows if row.peer == rows[0].peer and not row.errors}
    return Grid(
        "prompts by size, one at a time",
        columns,
        tuple(_size_cells(row, floors.get(row.says), len(columns)) for row in rows),
    )


def _size_cells(row: LoadRow, floor: LoadRow | None, width: int) -> tuple[str, ...]:
    name = f"{row.says}, {row.peer}"
    if row.errors:
        return _failed(name, width)
    return (
        name,
        spread([one.cpu_us for one in row.rounds], _tenths),
        spread([one.cpu_us / row.body_bytes * 1e3 for one in row.rounds], _hundredths),
        "" if floor is None else spread(ratios(row, floor), _hundredths),
        spread([one.rate for one in row.rounds], _whole),
        spread([one.p50_ms for one in row.rounds], _hundredths),
    )


def hold_grid(rows: Sequence[HoldRow]) -> Grid:
    columns = ("", "small alone p50 ms", "beside p99 ms", "longest", "longest beyond alone", "small", "large")
    return Grid(
        "small questions beside prompts of 8 MB", columns, tuple(_hold_cells(row, len(columns)) for row in rows)
    )


def _hold_cells(row: HoldRow, width: int) -> tuple[str, ...]:
    if row.errors:
        return _failed(row.peer, width)
    return (
        row.peer,
        spread([one.alone_ms for one in row.rounds], _hundredths),
        spread([one.p99_ms for one in row.rounds], _hundredths),
        spread([one.longest_ms for one in row.rounds], _hundredths),
        spread([one.held_ms for one in row.rounds], _hundredths),
        _whole(sum(one.questions for one in row.rounds)),
        _whole(sum(one.prompts for one in row.rounds)),
    )


def start_grid(rows: Sequence[StartRow]) -> Grid:
    cells = [(row.peer, spread(row.seconds, _hundredths), spread([s / 1e6 for s in row.rss], _tenths)) for row in rows]
    return Grid("from start to the first answer", ("", "seconds", "memory MB"), tuple(cells))


def planning_grid(rows: Sequence[PlanningRow]) -> Grid:
    first = rows[0]
    cells = [
        (f"{row.models:,} models", f"{row.best:.1f}", spread(row.rounds, _tenths), f"{row.best / first.best:.2f}")
        for row in rows
    ]
    title = f"planning a request for a model with {ENDPOINTS} endpoints, in this process"
    return Grid(title, ("", "CPU µs, best", "all rounds", f"× {first.models:,} models"), tuple(cells))


def _failed(peer: str, width: int) -> tuple[str, ...]:
    return (peer, FAILED, *[""] * (width - 2))


def spread(values: Sequence[float], shape: Callable[[float], str]) -> str:
    """Median, least and most; "" where there is nothing to say."""
    if not any(values):
        return ""
    if len(values) == 1:
        return shape(values[0])
    return f"{shape(median(values))} [{shape(min(values))}–{shape(max(values))}]"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _hundredths(value: float) -> str:
    return f"{value:,.2f}"
