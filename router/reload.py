"""Taking up a changed configuration without dropping a request: validated whole, then swapped at once."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from config.fault import ConfigError
from config.load import Loaded, load

log = logging.getLogger("turnout")

LOOK_EVERY = 2.0
"""Seconds between two looks at the files. Looking, unlike waiting for the kernel to tell, also sees a symlink swapped
above the file (as Kubernetes does it) and works on every file system."""

Signature = tuple[tuple[int, int, int] | None, ...]


def signature(paths: tuple[Path, ...]) -> Signature:
    """What changes when any of the files does, or a symlink on the way to it."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Reloader:
    """Reloads when told to, or when a file changed. A bad configuration leaves the old one serving."""

    def __init__(
        self,
        loaded: Loaded,
        apply: Callable[[Loaded], None],
        counted: Callable[[str], None],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`apply` swaps; `counted` is told `success` or `failure`."""
        self._loaded = loaded
        self._apply = apply
        self._counted = counted
        self._environ = environ
        self._seen = signature(loaded.files)
        self._busy = asyncio.Lock()

    async def watch(self) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if signature(self._loaded.files) != self._seen:
                await self.reload()

    async def told(self) -> None:
        """Reload because somebody said so."""
        await self.reload()

    async def reload(self) -> bool:
        """Read the file again; whether it was taken up."""
        async with self._busy:
            self._seen = signature(self._loaded.files)
            try:
                # In a thread: a catalogue of 20,000 endpoints takes seconds to read.
                loaded = await asyncio.to_thread(load, self._loaded.path, self._environ)
            except ConfigError as error:
                return self._refused([str(fault) for fault in error.faults])
            if not loaded.usable:
                return self._refused([f"{slug} is off: {reason}" for slug, reason in loaded.off.items()])
            self._apply(loaded)
            self._loaded = loaded
            self._seen = signature(loaded.files)
            self._counted("success")
            log.info("configuration reloaded from %s", loaded.path)
            return True

    def _refused(self, faults: list[str]) -> bool:
        self._counted("failure")
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        log.error("configuration not reloaded, the old one serves on: %s", shown)
        return False
