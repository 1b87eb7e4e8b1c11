"""RESULTS.md: what was measured when, and on what, the newest first."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.processes import ROOT
from tests.bench.report import NOTES, Report
from tests.bench.tables import Grid

FILE = Path(__file__).parent / "RESULTS.md"
TITLE = "# Results of the benchmark"
_INTRODUCTION = "Written by `make bench`, the newest first."


def save(report: Report, effort: str, file: Path = FILE) -> None:
    """Put a section on top of the file. `effort`: how thorough it was."""
    head = f"{TITLE}\n\n{_INTRODUCTION}\n"
    older = file.read_text().removeprefix(head) if file.exists() else ""
    today = datetime.now(UTC).date().isoformat()
    file.write_text(f"{head}\n## {today}, {effort}{_revision()}\n\n" + "\n".join(_lines(report)) + f"\n{older}")


def _lines(report: Report) -> Iterator[str]:
    yield from (f"- {key}: {value}" for key, value in report.machine.items())
    # Only the kind of reason: the rest of it names paths of this machine.
    yield from (f"- left out: {name}, as {why.partition(':')[0]}" for name, why in report.absent.items())
    for grid in report.grids():
        yield from _markdown(grid)
    yield from ("", NOTES, "")
    yield from (f"- {line}" for line in report.aims())
    if report.errors:
        yield f"- rounds that ended with a wrong answer or none: {len(report.errors)}"


def _markdown(grid: Grid) -> Iterator[str]:
    yield from ("", f"**{grid.title}**", "")
    yield _row(grid.columns)
    yield _row(["---", *["---:"] * (len(grid.columns) - 1)])
    yield from (_row(row) for row in grid.rows)


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _revision() -> str:
    """`, at COMMIT` where that is known."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", at {done.stdout.strip()}"
