"""Several processes' metrics as one: Prometheus' text format, merged by what each metric means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal

_EXACT = Context(prec=80)
"""Sums must not depend on their order: a counter that went down by a rounding would look reset."""


def _sum(values: Sequence[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
    return total


def _mean(values: Sequence[Decimal]) -> Decimal:
    return _sum(values) / len(values)


GAUGES: dict[str, Callable[[Sequence[Decimal]], Decimal]] = {
    "turnout_in_flight": _sum,
    "turnout_state_up": min,
    "turnout_endpoint_uptime_ratio": _mean,
}
"""How gauges of several processes are one. Others are as high as the highest: a state is 1 where any process has it."""


@dataclass(slots=True)
class _Family:
    """One metric: its comments, its kind, and by sample the values of each process."""

    comments: list[str] = field(default_factory=list)
    kind: str = "untyped"
    samples: dict[str, list[Decimal]] = field(default_factory=dict)

    def rule(self, name: str) -> Callable[[Sequence[Decimal]], Decimal]:
        if self.kind in ("counter", "histogram", "summary"):
            return _sum
        return min if name.endswith("_created") else GAUGES.get(name, max)


def merge(live: Iterable[str], ended: Iterable[str] = (), *, exact: bool = False) -> str:
    """The expositions of processes that run, and the last ones of those that have ended, which still count for
    counters and histograms but say nothing of now. `exact`: numbers with every digit, to be merged again."""
    families: dict[str, _Family] = {}
    for text in live:
        _read(text, families, now=True)
    for text in ended:
        _read(text, families, now=False)
    return "".join(_written(name, family, exact) for name, family in families.items() if family.samples)


def _read(text: str, families: dict[str, _Family], *, now: bool) -> None:
    seen: set[str] = set()
    current, counts = _Family(), False
    for line in text.split("\n"):
        if line.startswith("# "):
            _, what, name, *rest = line.split(" ", 3)
            current = families.setdefault(name, _Family())
            if name not in seen and not current.samples and len(current.comments) < 2:
                current.comments.append(line)
            if what == "TYPE":
                seen.add(name)
                current.kind = rest[0]
                counts = now or current.kind != "gauge" or name.endswith("_created")
        elif line and counts:
            sample, _, value = line.rpartition(" ")
            current.samples.setdefault(sample, []).append(Decimal(value))


def _written(name: str, family: _Family, exact: bool) -> str:
    rule, spell = family.rule(name), str if exact else _spelled
    samples = (f"{sample} {spell(rule(values))}" for sample, values in family.samples.items())
    return "\n".join([*family.comments, *samples, ""])


def _spelled(value: Decimal) -> str:
    if value.is_nan():
        return "NaN"
    return repr(float(value)) if value.is_finite() else f"{'-' if value < 0 else '+'}Inf"
