"""What is aimed at, and how the gateway stands against it: one line each, for what was measured in this run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from tests.bench.gateways import LiteLlm, Portkey, TensorZero
from tests.bench.peers import Bare, Direct, Nginx, PlainTurnout, SharedTurnout, Turnout
from tests.bench.planning import PlanningRow
from tests.bench.registry import OURS
from tests.bench.rows import HoldRow, LoadRow, SlowRow, StartRow, in_groups
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
PLAIN = 0.97
LINEAR = 1.3
HELD_MS = 50.0
FLAT = 1.15
PLAN_US = 40.0
STREAM_KB = 60.0
START_SECONDS = 1.5
START_MB = 120.0
_UNLIKE = frozenset((Nginx.name, *OURS))
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
    for case, what in ((REQUEST, "CPU a request"), (EVENT, "CPU an event")):
        lines += _plain(cases.get(case, {}), what)
    return [*lines, *_rate(cases.get(REQUEST, {})), *_steady(cases.get(STEADY, {}))]


def _cpu(by_name: dict[str, LoadRow], what: str, ours: str, theirs: str, most: float) -> Iterable[str]:
    if ours in by_name and theirs in by_name and (found := ratios(by_name[ours], by_name[theirs])):
        name = "" if ours == Turnout.name else f"{ours}, "
        yield _verdict(f"{name}{what}", median(found), most, f"× {theirs}")


def _plain(by_name: dict[str, LoadRow], what: str) -> Iterable[str]:
    """Without hedges and rescues. Nothing is measurable where the rounds lie on both sides of 1."""
    if {PlainTurnout.name, Turnout.name} <= by_name.keys():
        found = ratios(by_name[PlainTurnout.name], by_name[Turnout.name])
        met = median(found) >= PLAIN or min(found) <= 1 <= max(found)
        shown = f"{median(found):.2f} [{min(found):.2f}–{max(found):.2f}] × {Turnout.name}"
        aim = f"aim at least {PLAIN}, or rounds on both sides of 1"
        yield f"{PlainTurnout.name}, {what}: {shown}, {aim}: {_word(met)}"


def _rate(by_name: dict[str, LoadRow]) -> Iterable[str]:
    others = {name: median(one.rate for one in row.rounds) for name, row in by_name.items() if name not in _UNLIKE}
    if Turnout.name in by_name and others:
        ours = median(one.rate for one in by_name[Turnout.name].rounds)
        shown = ", ".join(f"{name} {others[name]:,.0f}" for name in sorted(others, key=lambda name: -others[name]))
        met = ours > max(others.values())
        yield f"requests a second: {ours:,.0f}, aim above every other gateway ({shown}): {_word(met)}"


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


def of_sizes(rows: Sequence[LoadRow]) -> list[str]:
    """CPU time of a byte more in the largest prompt by that in the middle: of what is added from size to size."""
    prompts = sorted((row for row in rows if row.peer == Turnout.name), key=lambda row: row.body_bytes)
    if len(prompts) < 3 or any(row.errors for row in prompts):
        return []
    middle, large = _slopes(*prompts[-3:-1]), _slopes(*prompts[-2:])
    found = median(two / one for one, two in zip(middle, large, strict=True) if one > 0)
    what = f"CPU a kB more up to {prompts[-1].says}"
    return [_verdict(what, found, LINEAR, f"× that up to {prompts[-2].says}")]


def _slopes(small: LoadRow, large: LoadRow) -> list[float]:
    """CPU time that each further byte costs, round by round."""
    added = large.body_bytes - small.body_bytes
    pairs = zip(small.rounds, large.rounds, strict=True)
    return [(more.cpu_us - less.cpu_us) / added for less, more in pairs]


def of_holds(rows: Sequence[HoldRow]) -> list[str]:
    """The longest wait of all rounds."""
    found = [max(one.held_ms for one in row.rounds) for row in rows if row.peer == Turnout.name and not row.errors]
    return [_verdict("longest wait of a small question for prompts of 8 MB", held, HELD_MS, "ms") for held in found]


def of_catalogue(rows: Sequence[LoadRow]) -> list[str]:
    """CPU time with each larger catalogue by that with the smallest."""
    if not rows or any(row.errors for row in rows):
        return []
    first = rows[0]
    return [
        _verdict(f"CPU a request with {row.peer}", median(ratios(row, first)), FLAT, f"× {first.peer}")
        for row in rows[1:]
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
    return f"{what}: {value:{shape}} {unit}, aim at most {most:{shape}}: {_word(value <= most)}"


def _word(met: bool) -> str:
    return "met" if met else "MISSED"
