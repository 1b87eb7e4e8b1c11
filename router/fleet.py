"""One gateway among several: what it finds out about providers it tells the others, and the other way round."""

from __future__ import annotations

import asyncio

from router.health import Health
from router.state.base import HealthExchange

EVERY = 0.5
"""Seconds between two exchanges: what one replica learns the others use within two seconds."""


class Fleet:
    """Carries notes between this process's health and the exchange."""

    def __init__(self, health: Health, exchange: HealthExchange) -> None:
        self._health = health
        self._exchange = exchange
        health.tell = exchange.publish

    async def run(self) -> None:
        """For as long as the gateway serves."""
        while True:
            self.exchange()
            await asyncio.sleep(EVERY)

    def exchange(self) -> None:
        for note in self._health.untold():
            self._exchange.publish(note)
        for note in self._exchange.received():
            self._health.hear(note)
