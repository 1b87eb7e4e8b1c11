"""The ledger's writer: batches, outages, bounds and the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec
import pytest

from router.state import writer
from router.state.base import Store
from router.state.values import Row, StateError
from router.state.writer import LedgerWriter
from tests.contract.servers import Clock
from tests.contract.test_keys import until


def row(number: int, at: float = 1.0) -> Row:
    return Row(f"gen-{number}", at, "m", 200, msgspec.Raw(b"{}"))


class Stub:
    """A ledger whose failures are scripted."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.failure: str | None = None
        self.ended = False
        self.unclean = False

    async def append(self, rows: Sequence[Row]) -> None:
        await asyncio.sleep(0)
        if self.failure:
            raise StateError(self.failure)
        self.rows += [one.id for one in rows]

    async def begin(self, replica: str) -> bool:
        return self.unclean

    async def end(self, replica: str) -> None:
        self.ended = True


async def test_rows_are_stored_within_a_second(store: Store, clock: Clock) -> None:
    one = LedgerWriter(store.ledger)
    await one.start()
    for number in range(1200):
        one.add(row(number, clock.now))
    await until(lambda: one.waiting == 0, 3.0)
    await one.flush()
    assert len(await store.ledger.recent(2000)) == 1200
    await one.aclose()


async def test_what_waits_at_the_end_is_stored(store: Store, clock: Clock) -> None:
    one = LedgerWriter(store.ledger)
    await one.start()
    for number in range(700):
        one.add(row(number, clock.now))
    await one.aclose()
    assert len(await store.ledger.recent(2000)) == 700
    assert await store.ledger.begin("next") is False


@pytest.fixture
def stub() -> Stub:
    return Stub()


def over(stub: Stub) -> LedgerWriter:
    return LedgerWriter(stub)  # type: ignore[arg-type]


async def test_an_outage_keeps_the_rows_in_order_and_is_logged_once(
    stub: Stub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "EVERY", 0.01)
    caplog.set_level(logging.INFO)
    one = over(stub)
    await one.start()
    stub.failure = "the disk is full."
    for number in range(5):
        one.add(row(number))
    await until(lambda: bool(caplog.records))
    for _ in range(10):
        await one.flush()
    stub.failure = None
    await until(lambda: len(stub.rows) == 5)
    assert stub.rows == [f"gen-{number}" for number in range(5)]
    await one.aclose()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert stub.ended


async def test_rows_waiting_are_bounded(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST", 10)
    one = over(stub)
    for number in range(15):
        one.add(row(number))
    await one.flush()
    assert stub.rows == [f"gen-{number}" for number in range(5, 15)]
    assert one.lost == 5


async def test_an_end_with_the_ledger_away_is_bounded_and_leaves_the_mark(
    stub: Stub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DRAIN", 0.05)
    one = over(stub)
    await one.start()
    stub.failure = "away."
    one.add(row(1))
    await one.aclose()
    assert not stub.ended


async def test_an_unclean_shutdown_is_said_at_the_next_start(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    stub.unclean = True
    one = over(stub)
    await one.start()
    await one.aclose()
    assert "without a shutdown" in caplog.text
