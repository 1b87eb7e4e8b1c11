"""One worker among several on a machine: whichever is asked for metrics tells those of all."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from router.exposition import merge

PATIENCE = 1.0
"""Seconds a sibling has to answer; of one that does not, what it told last counts."""
REMEMBERED = 64
"""Workers that ended lately, by which a figure read just before is not counted twice."""
_ENDED = "ended.prom"
_MARK = "#ended "

_log = logging.getLogger("turnout")


class Siblings:
    """This worker's figures for the others, and theirs for whoever asks this one.

    In `folder` there is a socket a worker, what each told last, and `ended.prom`, the sum of those that have
    ended. Whatever was told is in a file first, so a counter never goes down when a worker is killed; what was
    counted since the last time anyone asked is lost with it.
    """

    def __init__(self, folder: Path, serial: int, render: Callable[[], bytes]) -> None:
        """`serial`: no other worker ever had it. `render`: this process's own exposition."""
        self._folder = folder
        self._serial = serial
        self._render = render
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer siblings. Raises OSError."""
        path = self._folder / f"{self._serial}.sock"
        self._server = await asyncio.start_unix_server(self._answer, path)

    async def aclose(self) -> None:
        """Leave the last figures behind."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._told()

    def _told(self) -> str:
        text = self._render().decode()
        _replace(self._folder / f"{self._serial}.prom", text)
        return text

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self._told().encode())
            await writer.drain()
        except OSError as error:
            _log.debug("a sibling asked for metrics and left: %s", error)
        finally:
            writer.close()

    async def exposition(self) -> bytes:
        """The figures of all workers."""
        own = self._told()
        others = sorted({path.stem for path in self._folder.iterdir() if path.stem.isdigit()} - {str(self._serial)})
        live = dict(zip(others, await asyncio.gather(*map(self._ask, others)), strict=True))
        silent = {serial: _read(self._folder / f"{serial}.prom") for serial, text in live.items() if text is None}
        # Last, so that whoever is gone from the folder by now is in it.
        ended = _read(self._folder / _ENDED)
        counted = _counted(ended)
        return merge(
            [own, *(text for serial, text in live.items() if text is not None and serial not in counted)],
            [ended, *(text for serial, text in silent.items() if serial not in counted)],
        ).encode()

    async def _ask(self, serial: str) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_unix_connection(self._folder / f"{serial}.sock")
                try:
                    return (await reader.read()).decode() or None
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None


def bury(folder: Path, serial: int) -> None:
    """Add what an ended worker told last to the sum of those before it."""
    (folder / f"{serial}.sock").unlink(missing_ok=True)
    last = folder / f"{serial}.prom"
    text = _read(last)
    if text:
        before = _read(folder / _ENDED)
        counted = [*_counted(before), str(serial)][-REMEMBERED:]
        _replace(folder / _ENDED, f"{_MARK}{' '.join(counted)}\n{merge([], [before, text], exact=True)}")
    last.unlink(missing_ok=True)


def _counted(ended: str) -> list[str]:
    first = ended.partition("\n")[0]
    return first.removeprefix(_MARK).split() if first.startswith(_MARK) else []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)
