"""The bench every end-to-end test stands on, and Redis servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract.servers import RedisServer
from tests.e2e.harness import Bench


@pytest.fixture
async def bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Bench]:
    async with Bench(tmp_path, caplog) as bench:
        yield bench


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server of the test's own, that may be frozen and killed. Its writes survive it."""
    server = RedisServer("--appendonly", "yes")
    yield server
    server.close()
