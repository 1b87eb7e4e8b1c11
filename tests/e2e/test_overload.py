"""More than may be served at once is refused at once, and what was admitted notices nothing."""

from __future__ import annotations

import asyncio
import time

from providers.sandbox import Answer, Slow
from tests.e2e.harness import Bench, Offer
from tests.e2e.talk import ask, complete, request, talk

LONG = Answer(content="station " * 60)
ADMITTED = 40


async def test_too_many_are_refused_quickly_and_the_streams_under_way_go_on(bench: Bench) -> None:
    box = await bench.box()
    box.answer(LONG)
    box.always(Slow(between=0.03))
    gateway = await bench.gateway([Offer(box, "only")], server={"max_in_flight": ADMITTED})
    streams = [asyncio.ensure_future(complete(gateway, stream=True)) for _ in range(ADMITTED)]
    await box.until(lambda: len(box.requests) == ADMITTED)
    took: list[float] = []

    async def refused() -> None:
        async with talk(gateway) as conversation:
            started = time.monotonic()
            await conversation.send(request(ask(True)))
            said = await conversation.said()
            took.append(time.monotonic() - started)
        assert said.status == 503
        assert int(said.headers["retry-after"]) >= 1
        assert said.json["error"]["code"] == 503

    for _ in range(20):
        await asyncio.gather(*(refused() for _ in range(10)))
    assert not any(stream.done() for stream in streams), "the load was over before it was measured"
    assert len(box.requests) == ADMITTED
    for said in await asyncio.gather(*streams):
        assert said.status == 200
        assert said.broke is None
        assert said.content == LONG.content
    assert (await complete(gateway)).status == 200
    took.sort()
    print(f"refused after {took[len(took) // 2] * 1000:.1f} ms (median), {took[-1] * 1000:.1f} ms at most")
    assert took[-1] < 1
