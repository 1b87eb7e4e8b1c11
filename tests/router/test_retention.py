"""Old rows go, and a ledger that is away does not end that for good."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from router.retention import keep
from router.state.values import StateError


class Ledger:
    """Says what is asked of it; away at first."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.away = True

    async def prune(self, days: float) -> int:
        self.asked.append(days)
        if self.away:
            self.away = False
            raise StateError("it is away")
        return 3


async def test_rows_older_than_the_days_in_force_go_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ledger: Any = Ledger()
    days = iter([90.0, 90.0, 90.0, 7.0])
    task = asyncio.ensure_future(keep(ledger, lambda: next(days, 7.0), soon=0, every=0))
    async with asyncio.timeout(5):
        while len(ledger.asked) < 4:
            await asyncio.sleep(0)
    task.cancel()
    assert ledger.asked[0] == 90
    assert ledger.asked[3] == 7
    assert "it is away" in caplog.text
    assert "3 rows" in caplog.text
