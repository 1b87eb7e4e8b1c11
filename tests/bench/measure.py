"""The measurements: each takes a bench, the peers and an effort, and gives rows; rounds of peers take turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

from tests.bench import hold, machine, planning, slow
from tests.bench.cases import CASES, SIZES, WHOLE, Case
from tests.bench.client import Connection, Target
from tests.bench.effort import Effort
from tests.bench.gateways import TensorZero
from tests.bench.hold import Hold
from tests.bench.load import Load, Round, run
from tests.bench.peers import Bare, Direct, Peer, PlainTurnout, Started, Turnout
from tests.bench.planning import PlanningRow
from tests.bench.rig import Bench, Rig, sandbox
from tests.bench.rows import HoldRow, LoadRow, SlowRow, StartRow
from tests.bench.slow import Held

Tell = Callable[[str], None]
EVERY_ROUND = frozenset((Direct.name, Bare.name, Turnout.name, PlainTurnout.name, TensorZero.name))
"""Whom the aims are about in every case; the others have fewer rounds where no aim is about them."""


def under_load(bench: Bench, cases: Sequence[Case], peers: Sequence[Peer], effort: Effort, tell: Tell) -> list[LoadRow]:
    """Closed-loop load, case after case; within a case peers take turns round by round."""
    rows: list[LoadRow] = []
    for options, group in groupby(cases, key=lambda case: case.upstream):
        with Rig(bench, sandbox(*options), peers) as rig:
            for case in group:
                tell(f"{case.says}, {case.load}")
                rows += _in_turns(bench, _all(bench, case, rig.peers, effort), effort)
    return rows


@dataclass(frozen=True, slots=True)
class _Entry:
    """One that takes turns: its name in the table, what it is asked, and how often."""

    name: str
    case: Case
    started: Started
    rounds: int


def _all(bench: Bench, case: Case, peers: dict[str, Started], effort: Effort) -> list[_Entry]:
    return [
        _Entry(name, case, started, effort.rounds if case.main or name in EVERY_ROUND else effort.few)
        for name, started in peers.items()
        if bench.has(name)
    ]


def _in_turns(bench: Bench, entries: Sequence[_Entry], effort: Effort) -> list[LoadRow]:
    done: list[list[Round]] = [[] for _ in entries]
    for number in range(effort.rounds):
        for entry, rounds in zip(entries, done, strict=True):
            failed = rounds and rounds[-1].errors  # what has failed may take its time to fail again
            if number < entry.rounds and not failed:
                load = _load(entry.case, entry.started.target, effort)
                rounds.append(bench.runner.run(run(load, entry.started.pid)))
    return [_row(entry, rounds) for entry, rounds in zip(entries, done, strict=True)]


def _row(entry: _Entry, rounds: Sequence[Round]) -> LoadRow:
    case = entry.case
    size = len(case.body(entry.started.target.model))
    return LoadRow(case.name, case.says, case.load, case.connections, case.units, entry.name, tuple(rounds), size)


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
        for number in range(effort.slow_rounds):
            for peer in peers:
                done = rounds[peer.name]
                few = number > 0 and peer.name not in EVERY_ROUND
                if few or not bench.has(peer.name) or (done and done[-1].errors):
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
        rows = _in_turns(bench, _all(bench, case, peers, effort), effort)
    return rows, starts


def prompt_sizes(bench: Bench, effort: Effort, tell: Tell) -> list[LoadRow]:
    """Ever larger prompts through this gateway and through the floor, the sizes taking turns too."""
    tell("prompts of 1 kB to 8 MB")
    with Rig(bench, sandbox(*WHOLE), (Bare(), Turnout())) as rig:
        entries = [entry for case in SIZES for entry in _all(bench, case, rig.peers, effort)]
        return _in_turns(bench, entries, effort)


def held_loops(bench: Bench, peers: Sequence[Peer], effort: Effort, tell: Tell) -> list[HoldRow]:
    """How long a small question waits for a large prompt: here, and in the gateway that the aims are about."""
    tell("small questions beside prompts of 8 MB")
    rounds: dict[str, list[Hold]] = {}
    asked = [peer for peer in peers if peer.name in (Turnout.name, TensorZero.name)]
    with Rig(bench, sandbox(*WHOLE), asked) as rig:
        for _ in range(effort.rounds):
            for name, started in rig.peers.items():
                held = bench.runner.run(hold.run(started.target, 2 * effort.seconds))
                rounds.setdefault(name, []).append(held)
    return [HoldRow(name, tuple(done)) for name, done in rounds.items()]


def cold_starts(bench: Bench, peers: Sequence[Peer], effort: Effort, tell: Tell) -> list[StartRow]:
    """From the start of a peer's process to its first correct answer, and its memory then. Raises Wrong."""
    rows: list[StartRow] = []
    with Rig(bench, sandbox(*WHOLE)) as rig:
        for peer in peers:
            if peer.name != Direct.name and bench.has(peer.name):
                tell(f"cold starts of {peer.name}")
                with rig.losing(peer):
                    times = effort.starts if peer.name in EVERY_ROUND else 1
                    rows.append(_starts(bench, rig, peer, times))
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
