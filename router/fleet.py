"""One gateway among several: what it finds out about providers it tells the others, and the other way round."""

from __future__ import annotations

import asyncio

from router.health import Health
from router.state.base import HealthExchange

EVERY = 0.5
"""Seconds between two exchanges: what one replica learns the others use within two seconds."""


class Fleet:
    """Carries notes between this process's health and the exchange, and asks for leave to probe."""

    def __init__(self, health: Health, exchange: HealthExchange) -> None:
        self._health = health
        self._exchange = exchange
        self._probed: list[tuple[str, str]] = []
        self._over: list[tuple[str, str]] = []
        health.tell = exchange.publish
        health.ask_leave = exchange.take_probe
        health.probed = self._probed.append

    async def run(self) -> None:
        """For as long as the gateway serves."""
        while True:
            self.exchange()
            await asyncio.sleep(EVERY)

    def exchange(self) -> None:
        """Say and hear what is new, and give back the probes that are over."""
        # One round late, so that the others have heard how a probe went before they may make one.
        for key in self._over:
            self._exchange.end_probe(key)
        self._over = list(self._probed)
        self._probed.clear()
        for note in self._health.untold():
            self._exchange.publish(note)
        for note in self._exchange.received():
            self._health.hear(note)
