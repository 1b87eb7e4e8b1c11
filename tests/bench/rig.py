"""An upstream with peers before it, all in processes of their own, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import Cores
from tests.bench.peers import Peer, Place, Started
from tests.bench.processes import Process, python


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs."""

    runner: asyncio.Runner
    cores: Cores
    folder: Path
    """Temporary; logs and configurations."""


class Rig:
    """A context manager; `peers` serve while it is entered."""

    def __init__(self, bench: Bench, upstream: Sequence[str], peers: Iterable[Peer] = ()) -> None:
        """`upstream` is a module to run and its arguments."""
        self.peers: dict[str, Started] = {}
        self._bench = bench
        self._command = python("-m", *upstream)
        self._wanted = peers
        self._stack = ExitStack()
        self._url = ""

    def __enter__(self) -> Rig:
        with ExitStack() as stack:
            process = Process(self._command, self._bench.folder / "upstream.log", self._bench.cores.load)
            self._url = stack.enter_context(process).url()
            self._stack = stack
            self.peers = {peer.name: self.start(peer, stack) for peer in self._wanted}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, peer: Peer, stack: ExitStack) -> Started:
        """One more peer, until `stack` is closed."""
        return peer.start(self._url, Place(self._bench.folder, self._bench.cores.peer), stack)


def sandbox(*options: str) -> tuple[str, ...]:
    """The simulated provider, taking any key and model, so that one request fits every peer."""
    return ("providers.sandbox", "--dialect", "moonshot", "--no-auth", "--no-check", "--loop", "uvloop", *options)
