"""An upstream with peers before it, all in processes of their own, ended together; who does not start is left out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httptools

from tests.bench.cases import CASES
from tests.bench.client import Connection, Target, Wrong
from tests.bench.machine import Cores
from tests.bench.peers import Peer, Place, Started
from tests.bench.processes import START_SECONDS, NotStarted, Process, python
from tests.bench.registry import OURS


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement needs."""

    runner: asyncio.Runner
    cores: Cores
    folder: Path
    """Temporary; logs and configurations."""
    lost: dict[str, str] = field(default_factory=dict)
    """Other gateways that did not start, and why: they are left out from then on."""
    until: float = math.inf
    """When other gateways are left out, by `time.perf_counter`, so that the whole run ends in time."""

    def has(self, name: str) -> bool:
        """Whether a peer is still to be measured."""
        if name not in OURS and time.perf_counter() > self.until:
            self.lost.setdefault(name, "time was over: not in every table")
        return name not in self.lost


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
            for peer in self._wanted:
                self._start_or_lose(peer, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, peer: Peer, stack: ExitStack) -> Started:
        """One more peer, until `stack` is closed; it has answered a first question then. Raises NotStarted."""
        with ExitStack() as own:
            started = peer.start(self._url, Place(self._bench.folder, self._bench.cores.peer), own)
            self._bench.runner.run(_answered(peer.name, started.target))
            stack.enter_context(own.pop_all())
        return started

    def _start_or_lose(self, peer: Peer, stack: ExitStack) -> None:
        with self.losing(peer):
            if self._bench.has(peer.name):
                self.peers[peer.name] = self.start(peer, stack)

    @contextmanager
    def losing(self, peer: Peer) -> Iterator[None]:
        """What another gateway raises within is noted, and it is left out; what one of OURS raises stays raised."""
        try:
            yield
        except (NotStarted, Wrong, OSError) as error:
            if peer.name in OURS:
                raise
            self._bench.lost[peer.name] = f"it did not start: {error}"


async def _answered(name: str, target: Target) -> None:
    body = CASES[0].body(target.model)
    until = time.perf_counter() + START_SECONDS
    last = "no answer"
    while time.perf_counter() < until:
        try:
            status, answer = await _ask_once(target, body)
        except (OSError, httptools.HttpParserError) as error:
            last = repr(error)
        else:
            if status == 200:
                return
            last = f"status {status}: {answer[:300]!r}"
        await asyncio.sleep(0.01)
    raise NotStarted(f"{name} gave no proper answer: {last}")


async def _ask_once(target: Target, body: bytes) -> tuple[int, bytes]:
    async with asyncio.timeout(10):
        connection = await Connection.open(target)
        try:
            return await connection.ask(target.request(body))
        finally:
            connection.close()


def sandbox(*options: str) -> tuple[str, ...]:
    """The simulated provider, taking any key and model, so that one request fits every peer."""
    return ("tests.bench.upstream", *options)
