"""Tasks are held, named, and awaited; a failure is logged, not lost."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from providers.tasks import drain, spawn


async def test_a_failure_is_logged_with_the_tasks_name(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise KeyError("why")

    with caplog.at_level(logging.ERROR):
        spawn(fails(), "the failing one")
        await drain()
    assert "the failing one" in caplog.text
    assert "KeyError" in caplog.text


async def test_a_task_nobody_holds_is_not_lost_and_drain_waits_for_it_and_for_its_children() -> None:
    done: list[str] = []

    async def child() -> None:
        await asyncio.sleep(0.001)
        done.append("child")

    async def parent() -> None:
        await asyncio.sleep(0.001)
        spawn(child(), "child")
        done.append("parent")

    spawn(parent(), "parent")
    gc.collect()
    await drain()
    assert done == ["parent", "child"]


async def test_a_cancelled_task_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.sleep(1000), "sleeper")
    task.cancel()
    await drain()
    assert task.cancelled()
    assert caplog.text == ""
