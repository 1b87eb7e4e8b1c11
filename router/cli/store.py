"""The state layer for commands that look or change something and are done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from config.load import Loaded
from router.state import connect
from router.state.base import Store
from router.state.values import StateError

T = TypeVar("T")


def with_store(loaded: Loaded, work: Callable[[Store], Awaitable[T]]) -> T:
    """`work` on the configured store, opened and closed around it; exit 2 where it cannot be used."""

    async def run() -> T:
        password = loaded.state_password
        store = connect(loaded.settings.state, password.reveal() if password else None)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.flush()
            await store.aclose()

    try:
        return asyncio.run(run())
    except StateError as error:
        click.echo(f"turnout: {error}", err=True)
        sys.exit(2)
