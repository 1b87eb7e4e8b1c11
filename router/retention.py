"""Forgets what the ledger need no longer keep, now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from router.state.base import Ledger
from router.state.values import StateError

EVERY = 3600.0
SOON = 60.0
"""Seconds after the start, so that starting is not held up."""

_log = logging.getLogger("turnout")


async def keep(ledger: Ledger, days: Callable[[], float], soon: float = SOON, every: float = EVERY) -> None:
    """For as long as the gateway serves. Several gateways may do so at once. `soon`, `every`: seconds."""
    await asyncio.sleep(soon)
    while True:
        try:
            gone = await ledger.prune(days())
        except StateError as error:
            _log.warning("old rows of the ledger stay for now: %s", error)
        else:
            if gone:
                _log.info("%d rows of the ledger were older than %g days and are gone", gone, days())
        await asyncio.sleep(every)
