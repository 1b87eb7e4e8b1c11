"""How long an event loop is held: a process of its own sends large prompts, small questions are asked meanwhile.

The questions name a model that nobody serves: the gateway answers them itself, so that what waits is its own loop, and
neither the upstream nor the sender, which are as busy with the large prompts, has a part in it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import uvloop

from tests.bench.cases import CASES, SIZES
from tests.bench.client import PATIENCE, Connection, Target, Wrong
from tests.bench.load import percentile
from tests.bench.processes import python

LARGE = SIZES[-1]
_NOBODY = "nobody/serves-this"


@dataclass(frozen=True, slots=True)
class Hold:
    """One round, in milliseconds until the first byte of a small answer. With any error it is no result."""

    alone_ms: float = 0.0
    """Median, while nothing else was asked."""
    p99_ms: float = 0.0
    """Beside large prompts, as is the longest."""
    longest_ms: float = 0.0
    questions: int = 0
    prompts: int = 0
    """Large ones answered meanwhile."""
    errors: tuple[str, ...] = ()

    @property
    def held_ms(self) -> float:
        """The longest that a question waited beyond what it takes alone."""
        return self.longest_ms - self.alone_ms


async def run(target: Target, seconds: float) -> Hold:
    """A third of the time alone, then as long again and more beside large prompts. Never raises for a wrong answer."""
    try:
        async with asyncio.timeout(seconds + 2 * PATIENCE):
            return await _measured(target, seconds)
    except Exception as error:  # whatever it is, it is reported and ends the round
        return Hold(errors=(repr(error),))


async def _measured(target: Target, seconds: float) -> Hold:
    connection = await Connection.open(target)
    request = target.request(CASES[0].body(_NOBODY))
    alone = await _ask(connection, request, _until(seconds / 3))
    arguments = json.dumps({**asdict(target), "seconds": seconds * 2 / 3})
    sender = await asyncio.create_subprocess_exec(
        *python("-m", "tests.bench.hold", arguments), stdout=asyncio.subprocess.PIPE
    )
    assert sender.stdout is not None
    try:
        await sender.stdout.readline()  # it has had its first answer: what is made once is made
        last = asyncio.ensure_future(sender.stdout.readline())
        beside = await _ask(connection, request, last.done)
        prompts = json.loads(await last)
    finally:
        if sender.returncode is None:
            sender.kill()
        await sender.wait()
        connection.close()
    if not isinstance(prompts, int):
        raise Wrong(prompts)
    return Hold(percentile(alone, 0.5), percentile(beside, 0.99), beside[-1], len(beside), prompts)


def _until(seconds: float) -> Callable[[], bool]:
    moment = time.perf_counter() + seconds
    return lambda: time.perf_counter() > moment


async def _ask(connection: Connection, request: bytes, enough: Callable[[], bool]) -> list[float]:
    """Milliseconds until each answer began, in order of size; at least one. Raises Wrong, and what `ask` raises."""
    waits: list[float] = []
    while not waits or not enough():
        asked = time.perf_counter()
        status, answer = await connection.ask(request)
        if not 400 <= status < 500:
            raise Wrong(f"status {status} for a model that nobody serves: {answer[:300]!r}")
        waits.append((connection.first - asked) * 1e3)
    return sorted(waits)


async def _send(target: Target, seconds: float) -> None:
    """Large prompts one after the other: an empty line after the first, then how many, or what went wrong, as JSON."""
    connection = await Connection.open(target)
    request = target.request(LARGE.body(target.model))
    count = 0
    try:
        LARGE.expected.check(*await connection.ask(request))
        print(flush=True)
        enough = _until(seconds)
        while not count or not enough():
            LARGE.expected.check(*await connection.ask(request))
            count += 1
    except Exception as error:
        print(f"\n{json.dumps(repr(error))}", flush=True)
    else:
        print(json.dumps(count), flush=True)


def main() -> None:
    given = json.loads(sys.argv[1])
    target = Target(given["base_url"], given["model"], tuple((name, value) for name, value in given["headers"]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_send(target, given["seconds"]))


if __name__ == "__main__":
    main()
