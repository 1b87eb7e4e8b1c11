"""A provider that is down for a while and then healthy: nobody notices, and it is in use again soon.

TURNOUT_OUTAGE=60 plays it for real: down for 60 seconds, 20 requests four seconds apart. Without it the same is played
twenty times faster, ejections included.
"""

from __future__ import annotations

import asyncio
import os

from providers.sandbox import Answer, server_error
from tests.e2e.harness import Bench, Offer
from tests.e2e.talk import complete

SECONDS = float(os.environ.get("TURNOUT_OUTAGE", "3"))
SPEED = 60 / SECONDS


async def test_an_outage_of_a_minute_is_nobodys_but_the_providers(bench: Bench) -> None:
    flaky, steady = await bench.box(), await bench.box()
    for box in (flaky, steady):
        box.answer(Answer(content="All aboard."))
    gateway = await bench.gateway(
        [Offer(flaky, "flaky", "1"), Offer(steady, "steady", "9")],
        preferences={"default": {"sort": "price"}},
        health={"breaker_ejection": 5 / SPEED, "breaker_ejection_max": 20 / SPEED, "outage_window": max(1, 30 / SPEED)},
    )
    loop = asyncio.get_running_loop()
    begun = loop.time()
    flaky.always(server_error())
    loop.call_later(SECONDS, flaky.always, None)
    served: list[tuple[float, str]] = []
    for number in range(30):
        await asyncio.sleep(max(0.0, begun + number * 4 / SPEED - loop.time()))
        said = await complete(gateway, stream=number % 2 == 0)
        assert said.content == "All aboard."
        provider = said.events[0]["provider"] if number % 2 == 0 else said.json["provider"]
        served.append((loop.time() - begun, provider))
    assert {provider for at, provider in served if at < SECONDS} == {"Steady"}
    back = next(at for at, provider in served if provider == "Flaky")
    assert back <= SECONDS + 30 / SPEED + 4 / SPEED
    # Once ejected, a probe now and then is all it costs.
    assert len(flaky.requests) + len(steady.requests) <= 30 * 1.5
    print(f"down {SECONDS:g} s; in use again {back - SECONDS:.1f} s after; {len(flaky.requests)} calls to it")
