"""The measurements: each takes a bench, the peers and an effort, and gives rows; rounds of peers take turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

from tests.bench import machine, planning, slow
from tests.bench.cases import CASES, WHOLE, Case
from tests.bench.client import Connection, Target
from tests.bench.load import Load, Round, run
from tests.bench.peers import Peer, Started, Turnout
from tests.bench.planning import PlanningRow
from tests.bench.rig import Bench, Rig, sandbox
from tests.bench.slow import Held

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done. Seconds and counts."""

    rounds: int
    seconds: float
    """Of load in a round; three times as long at a steady rate, for the sake of its p99."""
    warm_up: float
    streams: int = 1_000
    """Slow streams at once."""
    slow_rounds: int = 2
    slow_seconds: float = 3.0
    sizes: tuple[int, ...] = (10, 2_000, 20_000)
    """Endpoints in the catalogue."""
    starts: int = 3
    plans: int = 2_000
    """Plans made in a round."""
    most: int | None = None
    """Requests a round at most."""


FULL = Effort(rounds=5, seconds=0.9, warm_up=0.2)
QUICK = Effort(
    rounds=2, seconds=0.4, warm_up=0.1, slow_rounds=1, slow_seconds=1.5, sizes=(10, 2_000), starts=1, plans=500
)


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
class StartRow:
    """From nothing to the first correct answer: seconds and bytes of each start."""

    peer: str
    seconds: tuple[float, ...]
    rss: tuple[int, ...]


def under_load(bench: Bench, cases: Sequence[Case], peers: Sequence[Peer], effort: Effort, tell: Tell) -> list[LoadRow]:
    """Closed-loop load, case after case; within a case peers take turns round by round."""
    rows: list[LoadRow] = []
    for options, group in groupby(cases, key=lambda case: case.upstream):
        with Rig(bench, sandbox(*options), peers) as rig:
            for case in group:
                tell(f"{case.says}, {case.load}")
                rows += _in_turns(bench, case, rig.peers, effort)
    return rows


def _in_turns(bench: Bench, case: Case, peers: dict[str, Started], effort: Effort) -> list[LoadRow]:
    rounds: dict[str, list[Round]] = {name: [] for name in peers}
    for _ in range(effort.rounds):
        for name, started in peers.items():
            done = rounds[name]
            if not done or not done[-1].errors:  # what has failed may take its time to fail again
                done.append(bench.runner.run(run(_load(case, started.target, effort), started.pid)))
    return [
        LoadRow(case.name, case.says, case.load, case.connections, case.units, name, tuple(done))
        for name, done in rounds.items()
    ]


def _load(case: Case, target: Target, effort: Effort) -> Load:
    return Load(
        target=target,
        body=case.body(target.model),
        expected=case.expected,
        connections=case.connections,
        seconds=effort.seconds if case.rate is None else 3 * effort.seconds,
        warm_up=effort.warm_up,
        most=effort.most,
        rate=case.rate,
    )


def slow_streams(bench: Bench, peers: Sequence[Peer], effort: Effort, tell: Tell) -> list[SlowRow]:
    """Many streams that are mostly silent; each peer is started anew for each round, as memory is not given back."""
    rounds: dict[str, list[Held]] = {peer.name: [] for peer in peers}
    plan = slow.Plan(effort.streams, effort.slow_seconds)
    with Rig(bench, plan.upstream) as rig:
        for _ in range(effort.slow_rounds):
            for peer in peers:
                done = rounds[peer.name]
                if peer.name in bench.lost or (done and done[-1].errors):
                    continue
                tell(f"{effort.streams:,} slow streams through {peer.name}")
                with rig.losing(peer), ExitStack() as stack:
                    started = rig.start(peer, stack)
                    done.append(bench.runner.run(slow.run(plan, started.target, started.pid)))
    return [SlowRow(name, plan.streams, tuple(done)) for name, done in rounds.items() if done]


def catalogue_sizes(bench: Bench, effort: Effort, tell: Tell) -> tuple[list[LoadRow], list[StartRow]]:
    """The same requests with ever more endpoints configured: what of the cost and of the start grows with them."""
    tell("catalogues of " + ", ".join(f"{size:,}" for size in effort.sizes) + " endpoints")
    case = next(case for case in CASES if case.connections == 32)
    names = {size: f"{size:,} endpoints" for size in effort.sizes}
    with Rig(bench, sandbox(*WHOLE)) as rig, ExitStack() as stack:
        peers: dict[str, Started] = {}
        starts: list[StartRow] = []
        for size, name in names.items():
            seconds, rss, peers[name] = _first_answer(bench, rig, Turnout(size), stack)
            starts.append(StartRow(name, (seconds,), (rss,)))
        rows = _in_turns(bench, case, peers, effort)
    return rows, starts


def cold_starts(bench: Bench, peers: Sequence[Peer], effort: Effort, tell: Tell) -> list[StartRow]:
    """From the start of a peer's process to its first correct answer, and its memory then. Raises Wrong."""
    rows: list[StartRow] = []
    with Rig(bench, sandbox(*WHOLE)) as rig:
        for peer in peers:
            if peer.name != "direct" and peer.name not in bench.lost:
                tell(f"cold starts of {peer.name}")
                with rig.losing(peer):
                    rows.append(_starts(bench, rig, peer, effort.starts))
    return rows


def _starts(bench: Bench, rig: Rig, peer: Peer, times: int) -> StartRow:
    seconds: list[float] = []
    memory: list[int] = []
    for _ in range(times):
        with ExitStack() as stack:
            took, rss, _ = _first_answer(bench, rig, peer, stack)
        seconds.append(took)
        memory.append(rss)
    return StartRow(peer.name, tuple(seconds), tuple(memory))


def plans(effort: Effort, tell: Tell) -> list[PlanningRow]:
    """The time of the router's planning alone, in catalogues of few and of many models."""
    tell("planning")
    return planning.measured((10, 2_000), max(3, effort.rounds), effort.plans)


def _first_answer(bench: Bench, rig: Rig, peer: Peer, stack: ExitStack) -> tuple[float, int, Started]:
    start = time.perf_counter()
    started = rig.start(peer, stack)
    bench.runner.run(_ask_once(CASES[0], started.target))
    seconds = time.perf_counter() - start
    return seconds, machine.rss_bytes(started.pid), started


async def _ask_once(case: Case, target: Target) -> None:
    connection = await Connection.open(target)
    async with asyncio.timeout(10):
        case.expected.check(*await connection.ask(target.request(case.body(target.model))))
    connection.close()


def in_groups(rows: Sequence[LoadRow]) -> Iterator[list[LoadRow]]:
    """The rows of each case together."""
    for _, group in groupby(rows, key=lambda row: (row.case, row.connections)):
        yield list(group)
