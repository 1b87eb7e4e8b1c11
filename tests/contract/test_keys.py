"""Keys made at run time: kept, found, changed and seen by other processes, the same on both stores."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

from config.schema import State
from router.state import connect
from router.state.base import Store
from router.state.values import KeyRecord, Limits

KEY = KeyRecord("h" * 64, "laptop", "sk-to-…abcd", 1_800_000_000.0)


async def until(what: object, seconds: float = 5.0) -> None:
    """Wait for `what()` to hold."""
    assert callable(what)
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.02)


async def test_a_key_is_kept_whole(store: Store) -> None:
    full = replace(
        KEY, disabled=True, expires=1.5, limit=Decimal("20.5"), reset="daily", rpm=60, models=("a/*",), updated=2.0
    )
    await store.keys.put(full)
    assert store.keys.known(KEY.hash) == full
    assert await store.keys.by_digest(KEY.hash) == full
    assert await store.keys.all() == [full]
    assert full.limits == Limits(Decimal("20.5"), "daily", 60)


async def test_an_unknown_key_is_none(store: Store) -> None:
    assert store.keys.known("x") is None
    assert await store.keys.by_digest("x") is None
    assert await store.keys.delete("x") is False


async def test_keys_come_oldest_first_and_are_replaced_by_hash(store: Store) -> None:
    await store.keys.put(replace(KEY, hash="b", created=2.0))
    await store.keys.put(replace(KEY, hash="a", created=3.0))
    await store.keys.put(replace(KEY, hash="b", created=2.0, name="renamed"))
    assert [(one.hash, one.name) for one in await store.keys.all()] == [("b", "renamed"), ("a", "laptop")]


async def test_a_deleted_key_is_gone_at_once(store: Store) -> None:
    await store.keys.put(KEY)
    assert await store.keys.delete(KEY.hash) is True
    assert store.keys.known(KEY.hash) is None
    assert await store.keys.by_digest(KEY.hash) is None


async def test_what_another_process_does_to_keys_is_seen(store: Store, settings: State) -> None:
    other = connect(settings)
    await other.open()
    try:
        await other.keys.put(KEY)
        assert await store.keys.by_digest(KEY.hash) == KEY
        disabled = replace(KEY, disabled=True)
        await other.keys.put(disabled)
        await until(lambda: store.keys.known(KEY.hash) == disabled)
        await other.keys.delete(KEY.hash)
        await until(lambda: store.keys.known(KEY.hash) is None)
    finally:
        await other.aclose()


def test_a_key_is_usable_until_it_expires_or_is_disabled() -> None:
    assert KEY.usable(1e12)
    assert replace(KEY, expires=5.0).usable(4.9)
    assert not replace(KEY, expires=5.0).usable(5.0)
    assert not replace(KEY, disabled=True).usable(0.0)
