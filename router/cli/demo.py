"""`turnout demo`: three simulated providers, the gateway in front of them, and a scene to watch."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import click
import httpx
from rich.console import Console

from router.cli.scene.client import Client, NotAnsweredError
from router.cli.scene.rig import Rig, rig
from router.cli.scene.screen import Screen
from router.cli.scene.script import MODEL, QUESTION, SCRIPT, Script, user
from router.cli.scene.steps import Scene

DEFAULT_PORT = 8080
INTERRUPTED = 130
"""Exit status of a `--once` that a signal ended."""
BETWEEN_REQUESTS = 1.0
"""Seconds; the traffic that keeps the dashboard alive."""


@click.command()
@click.option("--port", metavar="P", type=click.IntRange(0, 65535), help=f"Where the gateway listens: {DEFAULT_PORT}.")
@click.option("--once", is_flag=True, help="Play the scene once; exit 0 only if everything in it succeeded.")
def demo(port: int | None, once: bool) -> None:
    """See it work: no keys, no Redis, no network."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False)
    listener = listen(port, once, console)
    try:
        good = asyncio.run(present(console, listener, once=once))
    except KeyboardInterrupt:  # where there are no signal handlers, and of those who press it twice
        good = None
    if good is None or not once:
        console.print("\nStopped.")
    if once:
        sys.exit(INTERRUPTED if good is None else not good)


def listen(port: int | None, once: bool, console: Console) -> socket.socket:
    """A socket bound on loopback. Without a port: any free one for `--once`, else 8080 if it is free."""
    if port is not None:
        return _bound(port)
    if once:
        return _bound(0)
    try:
        return _bound(DEFAULT_PORT)
    except click.ClickException:
        listener = _bound(0)
        console.print(f"Port {DEFAULT_PORT} is taken, so the gateway is on {listener.getsockname()[1]}.")
        return listener


def _bound(port: int) -> socket.socket:
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio turns Nagle's delay off for no other
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise click.ClickException(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}. Try another --port."
        ) from None
    return listener


async def present(console: Console, listener: socket.socket, *, once: bool, script: Script = SCRIPT) -> bool | None:
    """Play the scene, and unless `once`, stay up until SIGINT or SIGTERM.

    Whether everything in it succeeded; None where a signal ended it before it was over. `script` is what the
    providers say: whatever differs from SCRIPT must be noticed.
    """
    good: bool | None = None
    with tempfile.TemporaryDirectory(prefix="turnout-demo-") as folder, _logging_to(Path(folder) / "turnout.log"):
        async with (
            rig(listener, Path(folder)) as running,
            httpx.AsyncClient(timeout=30, trust_env=False) as http,
            _until_signal(),
        ):
            client = Client(http, running.base_url, MODEL)
            screen = Screen(console)
            screen.opening(running)
            good = await Scene(running, client, screen, script).play()
            screen.closing(running, MODEL, good)
            if not once:
                screen.line("Ctrl-C to stop", "bold")
                await _keep_going(running, client, script)
    return good


@contextlib.asynccontextmanager
async def _until_signal() -> AsyncIterator[None]:
    """Ends what is inside on SIGINT or SIGTERM; what is around it goes on, so that all is closed in order."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        async with asyncio.timeout(None) as limit:
            with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt it is
                for number in numbers:
                    loop.add_signal_handler(number, _expire, limit)
            yield
    except TimeoutError:
        pass
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)


def _expire(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())


@contextlib.contextmanager
def _logging_to(file: Path) -> Iterator[None]:
    """The gateway's log would run through the scene."""
    handler = logging.FileHandler(file, encoding="utf-8")
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


async def _keep_going(running: Rig, client: Client, script: Script) -> None:
    """Gentle traffic, until cancelled."""
    running.say(script.thinking)
    while True:
        with contextlib.suppress(NotAnsweredError, httpx.HTTPError):
            await client.ask({"messages": [user(QUESTION)]})
        running.forget()
        await asyncio.sleep(BETWEEN_REQUESTS)
