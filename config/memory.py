"""Keeps a very large configuration from holding up the event loop while it is read or thrown away."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection inside. What was made there starts in the oldest generation.

    A large file makes a million objects and no garbage: looking for some, during or just after,
    takes longer than reading it and stops every thread.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if was_on:
            gc.enable()


def dismantle(entries: dict[Any, Any] | list[Any]) -> None:
    """Empties a container entry by entry, so that other threads get their turn between two of them.

    Dropping 20,000 endpoints in one piece holds them up for a tenth of a second.
    """
    if isinstance(entries, dict):
        while entries:
            entries.popitem()
    else:
        while entries:
            entries.pop()
