"""Two processes at once, and one that dies: budgets, leases and the ledger hold."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from config.schema import State
from router.state import connect
from router.state.values import Grant, Limits
from router.state.writer import LedgerWriter
from tests.contract.servers import RedisServer

BURST = """
import asyncio, sys
from decimal import Decimal
from config.schema import State
from router.state import connect
from router.state.values import Grant, Limits

async def main():
    store = connect(State(url=sys.argv[1]))
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    limits = Limits(Decimal("0.5"), "daily", 10_000)
    async def one(number):
        grant = await store.spend.admit("k", limits, Decimal("0.1"), f"{sys.argv[2]}-{number}", 60)
        await asyncio.sleep(0.01)
        if isinstance(grant, Grant):
            store.spend.settle(grant, Decimal("0.1"))
            return 1
        return 0
    print(sum(await asyncio.gather(*map(one, range(100)))), flush=True)
    await store.aclose()
asyncio.run(main())
"""

DIES = """
import asyncio, sys, time
from decimal import Decimal
import msgspec
from config.schema import State
from router.state import connect
from router.state.values import Limits, Row
from router.state.writer import LedgerWriter

async def main():
    store = connect(State(url=sys.argv[1], path=sys.argv[2]))
    await store.open()
    writer = LedgerWriter(store.ledger)
    await writer.start()
    await store.spend.admit("k", Limits(Decimal(1)), Decimal("0.4"), "r", 1.0)
    for number in range(300):
        writer.add(Row(f"gen-{number}", time.time(), "m", 200, msgspec.Raw(b"{}")))
    await asyncio.sleep(1.0)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""

ROOT = Path(__file__).parent.parent.parent


async def start(script: str, *words: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_a_burst_over_two_processes_does_not_overshoot(redis: RedisServer) -> None:
    processes = [await start(BURST, redis.url, name) for name in ("one", "two")]
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert sum(int(out) for out, _ in answers) == 5
    store = connect(State(url=redis.url))
    await store.open()
    usage = await store.spend.usage("k")
    assert (usage.total, usage.daily, usage.reserved) == (Decimal("0.5"), Decimal("0.5"), 0)
    await store.aclose()


async def test_a_process_killed_leaves_its_rows_a_mark_and_no_lasting_reservation(
    settings: State, caplog: pytest.LogCaptureFixture
) -> None:
    process = await start(DIES, settings.url, settings.path)
    os.kill(process.pid, signal.SIGKILL)
    await process.communicate()
    store = connect(settings)
    await store.open()
    writer = LedgerWriter(store.ledger)
    await writer.start()
    assert "without a shutdown" in caplog.text
    assert len(await store.ledger.recent(1000)) == 300
    async with asyncio.timeout(5):
        while not isinstance(await store.spend.admit("k", Limits(Decimal(1)), Decimal("0.9"), "s", 9), Grant):
            await asyncio.sleep(0.05)
    await writer.aclose()
    assert await store.ledger.begin("next") is False
    await store.aclose()
