"""What is aimed at, and how the gateway stands against it: one line each, for what was measured in this run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from tests.bench.gateways import LiteLlm, Portkey, TensorZero
from tests.bench.measure import LoadRow, SlowRow, StartRow, in_groups
from tests.bench.peers import Bare, Direct, Nginx, SharedTurnout, Turnout
from tests.bench.planning import PlanningRow
from tests.bench.tables import ratios

REQUEST, EVENT, STEADY = ("small", 32), ("stream", 32), ("steady", 64)
CPU = (
    (REQUEST, "CPU a request", Bare.name, 3.0),
    (EVENT, "CPU an event", Bare.name, 1.5),
    (REQUEST, "CPU a request", TensorZero.name, 0.75),
    (EVENT, "CPU an event", TensorZero.name, 0.85),
    (REQUEST, "CPU a request", Portkey.name, 1 / 8),
    (REQUEST, "CPU a request", LiteLlm.name, 1 / 80),
)
"""Case, what it is, a peer, and the most times that peer's CPU time that the gateway's may be."""
SHARED = 1.15
FLAT = 1.15
PLAN_US = 40.0
STREAM_KB = 60.0
START_SECONDS = 1.5
START_MB = 120.0
_UNLIKE = frozenset((Direct.name, Bare.name, Nginx.name, Turnout.name, SharedTurnout.name))
"""What is no gateway of another maker."""

Cases = dict[tuple[str, int], dict[str, LoadRow]]


def of_load(rows: Sequence[LoadRow]) -> list[str]:
    """CPU time against peers', requests a second, and added latency at a steady rate."""
    cases: Cases = {
        (group[0].case, group[0].connections): {row.peer: row for row in group if not row.errors}
        for group in in_groups(rows)
    }
    lines = [
        line for case, what, peer, most in CPU for line in _cpu(cases.get(case, {}), what, Turnout.name, peer, most)
    ]
    lines += _cpu(cases.get(REQUEST, {}), "CPU a request", SharedTurnout.name, Turnout.name, SHARED)
    return [*lines, *_rate(cases.get(REQUEST, {})), *_steady(cases.get(STEADY, {}))]


def _cpu(by_name: dict[str, LoadRow], what: str, ours: str, theirs: str, most: float) -> Iterable[str]:
    if ours in by_name and theirs in by_name and (found := ratios(by_name[ours], by_name[theirs])):
        name = "" if ours == Turnout.name else f"{ours}, "
        yield _verdict(f"{name}{what}", median(found), most, f"× {theirs}")


def _rate(by_name: dict[str, LoadRow]) -> Iterable[str]:
    others = {name: median(one.rate for one in row.rounds) for name, row in by_name.items() if name not in _UNLIKE}
    if Turnout.name in by_name and others:
        best = max(others, key=lambda name: others[name])
        ours = median(one.rate for one in by_name[Turnout.name].rounds)
        verdict = "met" if ours > others[best] else "MISSED"
        yield f"requests a second: {ours:,.0f}, aim above every other gateway ({best}: {others[best]:,.0f}): {verdict}"


def _steady(by_name: dict[str, LoadRow]) -> Iterable[str]:
    if {Direct.name, Turnout.name, TensorZero.name} <= by_name.keys():
        p99 = {name: median(one.p99_ms for one in row.rounds) for name, row in by_name.items()}
        ours, theirs = (p99[name] - p99[Direct.name] for name in (Turnout.name, TensorZero.name))
        yield _verdict("p99 added at 200 requests a second", ours, theirs, "ms")


def of_slow(rows: Sequence[SlowRow]) -> list[str]:
    """Memory of an idle stream."""
    found = [row for row in rows if row.peer == Turnout.name and not row.errors]
    held = [median(one.kilobytes for one in row.rounds) for row in found]
    return [_verdict("a slow stream", kilobytes, STREAM_KB, "kB") for kilobytes in held]


def of_catalogue(rows: Sequence[LoadRow]) -> list[str]:
    """CPU time with the largest catalogue by that with the smallest."""
    if len(rows) < 2 or rows[0].errors or rows[-1].errors:
        return []
    return [
        _verdict(f"CPU a request with {rows[-1].peer}", median(ratios(rows[-1], rows[0])), FLAT, f"× {rows[0].peer}")
    ]


def of_starts(rows: Sequence[StartRow]) -> list[str]:
    """Time to the first answer, and memory then."""
    lines: list[str] = []
    for row in rows:
        if row.peer == Turnout.name:
            lines.append(_verdict("start to first answer", median(row.seconds), START_SECONDS, "s"))
            lines.append(_verdict("memory at start", median(row.rss) / 1e6, START_MB, "MB"))
    return lines


def of_planning(rows: Sequence[PlanningRow]) -> list[str]:
    """The cost of a plan, and that it does not grow with the catalogue."""
    if not rows:
        return []
    worst = max(rows, key=lambda row: row.best)
    most = f"{rows[-1].models:,} models"
    return [
        _verdict(f"planning, {worst.models:,} models", worst.best, PLAN_US, "µs"),
        _verdict(f"planning, {most}", rows[-1].best / rows[0].best, FLAT, f"× {rows[0].models:,} models"),
    ]


def _verdict(what: str, value: float, most: float, unit: str) -> str:
    shape = ".4f" if most < 0.05 else ".2f"
    return f"{what}: {value:{shape}} {unit}, aim at most {most:{shape}}: {'met' if value <= most else 'MISSED'}"
