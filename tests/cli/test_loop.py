"""The clock of the loop that serves."""

from __future__ import annotations

import asyncio
import time

from router.cli.loop import Loop


def test_the_clock_is_as_fine_as_the_machines_and_timers_go_by_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            before = time.monotonic()
            now = loop.time()
            assert before <= now <= time.monotonic()
        rung: asyncio.Future[None] = loop.create_future()
        loop.call_at(loop.time() + 0.05, rung.set_result, None)
        began = loop.time()
        await rung
        assert loop.time() - began > 0.045

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
