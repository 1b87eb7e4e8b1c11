"""The machine: its cores and what runs on which, CPU time and memory of process trees, from /proc."""

from __future__ import annotations

import os
import platform
import resource
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_OPEN_FILES = 16_384


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core runs what; None where nothing is pinned."""

    peer: int | None = None
    load: int | None = None

    @classmethod
    def split(cls) -> Cores:
        """The first core for what is measured, the next for load and upstream; unpinned with only one core."""
        if not hasattr(os, "sched_setaffinity"):
            return cls()
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[1]) if len(free) > 1 else cls()


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This process on one core for a while."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_open_files() -> None:
    """Let this process and its children hold thousands of connections, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def cpu_seconds(root: int | None) -> float:
    """User and system time that a process and all below it have used, ended children included; 0 of None."""
    # utime, stime, cutime, cstime: fields 14 to 17, of which `_stat` leaves out the first two.
    return sum(sum(int(ticks) for ticks in stat[11:15]) for stat in _tree(root)) / _TICK


def rss_bytes(root: int | None) -> int:
    """Resident memory of a process and all below it; 0 of None."""
    return sum(int(stat[21]) for stat in _tree(root)) * _PAGE


def _tree(root: int | None) -> list[list[str]]:
    if root is None:
        return []
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid))}
    inside = {root}
    grown = True
    while grown:
        below = {pid for pid, stat in stats.items() if int(stat[1]) in inside}
        grown = not below <= inside
        inside |= below
    return [stats[pid] for pid in inside if pid in stats]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the second, a name, may hold anything); [] if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()


def describe(cores: Cores) -> dict[str, str]:
    """What a reader needs to judge the numbers by."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    pinned = "nothing pinned" if cores.peer is None else f"peer on {cores.peer}, load and upstream on {cores.load}"
    return {
        "cpu": _cpu_model(),
        "cores": f"{os.cpu_count()} ({pinned})",
        "system": f"{platform.system()} {platform.release()}",
        "python": _python(),
        "load average before": load,
    }


def _python() -> str:
    """Which Python this is, and whether its makers let it be optimised: that is worth a tenth or more."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    built = [
        f"{'with' if option in options else 'without'} {option}" for option in ("--enable-optimizations", "--with-lto")
    ]
    return f"{' '.join(sys.version.split())}, built {' and '.join(built)}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
