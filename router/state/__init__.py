"""The state layer's front door: a store for the configuration."""

from __future__ import annotations

import time
from pathlib import Path

from config.schema import State
from router.state.base import Store
from router.state.embedded import EmbeddedStore
from router.state.values import Clock


def connect(settings: State, password: str | None = None, *, clock: Clock | None = None) -> Store:
    """The store `state:` names, not yet opened. Call it inside the event loop that will use it.

    `clock`: unix seconds, for tests, in place of every clock. Raises StateError where the URL is none.
    """
    if settings.url == "memory:":
        path = Path(settings.path)
        return EmbeddedStore(path) if clock is None else EmbeddedStore(path, clock, clock)
    # Here, since redis-py takes a fifth of a second to import.
    from router.state.redis.address import parse
    from router.state.redis.store import RedisStore

    monotonic = time.monotonic if clock is None else clock
    return RedisStore(
        parse(settings.url),
        password,
        kept=settings.retention_days,
        required=settings.required,
        monotonic=monotonic,
        now=clock,
    )
