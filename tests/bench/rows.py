"""What was measured: a row for each peer in each case, with every round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.bench.hold import Hold
from tests.bench.load import Round
from tests.bench.slow import Held


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One peer in one case, or one size of catalogue."""

    case: str
    says: str
    load: str
    """How hard it was pressed, for people."""
    connections: int
    units: int
    """What the CPU time of a request is divided by."""
    peer: str
    rounds: tuple[Round, ...]
    body_bytes: int = 0
    """Of a request."""

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(error for one in self.rounds for error in one.errors)


@dataclass(frozen=True, slots=True)
class SlowRow:
    """One peer that holds many slow streams."""

    peer: str
    streams: int
    rounds: tuple[Held, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(error for one in self.rounds for error in one.errors)


@dataclass(frozen=True, slots=True)
class HoldRow:
    """One peer that is asked small questions beside large prompts."""

    peer: str
    rounds: tuple[Hold, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(error for one in self.rounds for error in one.errors)


@dataclass(frozen=True, slots=True)
class StartRow:
    """From nothing to the first correct answer: seconds and bytes of each start."""

    peer: str
    seconds: tuple[float, ...]
    rss: tuple[int, ...]


def in_groups(rows: Sequence[LoadRow]) -> Iterator[list[LoadRow]]:
    """The rows of each case together."""
    for _, group in groupby(rows, key=lambda row: (row.case, row.connections)):
        yield list(group)
