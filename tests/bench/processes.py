"""Child processes: started on their core, waited for until they say where they listen, ended with certainty."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench import machine

START_SECONDS = 90.0
ROOT = Path(__file__).parents[2]


class NotStarted(Exception):
    """A process ended, or stayed silent, before it could be used; says which, and the end of what it wrote."""


class Process:
    """One child. A context manager: it is ended on the way out."""

    def __init__(
        self, command: Sequence[str], log: Path, core: int | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """What it writes goes to `log`. `environ` is added to this process's own."""
        self.started = time.perf_counter()
        self._name = " ".join(command)
        self._log = log
        with log.open("wb") as out:
            self._child = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
                preexec_fn=partial(machine.pin, core),
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(5)
        self._child.kill()
        self._child.wait()

    def url(self) -> str:
        """The first http URL it writes. Raises NotStarted."""
        while (found := re.search(r"http://\S+", self._log.read_text(errors="replace"))) is None:
            self._wait_a_little("named no URL")
        return found.group()

    def listening(self, url: str) -> str:
        """Wait until something accepts connections at `url`. Raises NotStarted."""
        address = (urlsplit(url).hostname, urlsplit(url).port)
        while True:
            with suppress(OSError), socket.create_connection(address, 1.0):
                return url
            self._wait_a_little(f"does not listen at {url}")

    def _wait_a_little(self, lacks: str) -> None:
        ended = self._child.poll() is not None
        if ended or time.perf_counter() - self.started > START_SECONDS:
            tail = self._log.read_text(errors="replace")[-2_000:]
            raise NotStarted(f"`{self._name}` {'ended' if ended else lacks}:\n{tail}")
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(0.002)


def python(*arguments: str) -> list[str]:
    """A command line for this interpreter."""
    return [sys.executable, *arguments]
