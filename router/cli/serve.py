"""`turnout serve`: the gateway on a port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import click
import uvicorn

from config.check import is_loopback
from config.fault import ConfigError
from config.load import Loaded, load
from config.schema import Server as ServerSettings
from providers import tasks
from router import logs
from router.app import Gateway
from router.cli.listen import bind
from router.cli.loop import Loop
from router.cli.options import config_option, load_or_exit
from router.cli.workers import Seat, Supervisor
from router.edge.asgi import App
from router.edge.door import Door
from router.siblings import Siblings, bury
from router.state.values import StateError

KEEPALIVE_SECONDS = 75
"""How long a client's idle connection is kept; longer than the 60 s of most proxies in front."""


AFTER_DRAIN = 2
"""Seconds that what was interrupted at the end of the drain has to say so."""
UNTIL_KILLED = 10
"""Seconds more that a worker has to write down what it did."""


@click.command()
@config_option
@click.option("--host", metavar="H", help="Instead of server.host.")
@click.option("--port", metavar="P", type=click.IntRange(0, 65535), help="Instead of server.port.")
@click.option("--workers", metavar="N", type=click.IntRange(1), help="Instead of server.workers.")
def serve(config: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve completions."""
    loaded = load_or_exit(config, 2)
    refuse_unfit(loaded, host, workers)
    server = loaded.settings.server
    place = (host or server.host, server.port if port is None else port)
    several = workers or server.workers
    if several > 1:
        sys.exit(run_workers(loaded, *place, several))
    run(loaded, *place)


def refuse_unfit(loaded: Loaded, host: str | None, workers: int | None) -> None:
    """What the file alone could not tell: exit 2, nothing bound."""
    settings = loaded.settings
    if not loaded.usable:
        _refuse("no provider is on, so there is nobody to route to:", loaded.off)
    if settings.auth.mode == "open" and host and not is_loopback(host):
        _refuse(f"auth.mode is open, so --host must be loopback, not {host}: set auth.mode: keys first.", {})
    if (workers or settings.server.workers) > 1 and settings.state.url == "memory:":
        _refuse("more than one worker needs a shared state: set state.url to a Redis URL, or use --workers 1.", {})


def _refuse(says: str, reasons: dict[str, str]) -> NoReturn:
    click.echo(f"turnout: {says}", err=True)
    for slug, reason in reasons.items():
        click.echo(f"  {slug}: {reason}", err=True)
    sys.exit(2)


@dataclass
class Banner:
    """What is printed once the port is bound."""

    loaded: Loaded
    workers: int = 1

    def show(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        base = f"http://{shown}:{port}"
        settings = self.loaded.settings
        endpoints = sum(len(model.endpoints) for model in settings.models.values())
        click.echo(f"Turnout serves {self.loaded.path}")
        click.echo(f"  base URL   {base}/v1")
        click.echo(f"  dashboard  {base}/dashboard")
        for slug in settings.providers:
            reason = self.loaded.off.get(slug)
            click.echo(f"  {slug:<10} {'on' if reason is None else f'off: {reason}'}")
        workers = "" if self.workers == 1 else f", {self.workers} workers"
        click.echo(f"  {len(settings.models)} models, {endpoints} endpoints{workers}")


class Server(uvicorn.Server):
    """uvicorn's server: says where it listens once it does, drains in good order, reloads on SIGHUP, exits with 0."""

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, listening: Callable[[str, int], None] | None = None
    ) -> None:
        """`listening`: told host and port once requests are served."""
        super().__init__(config)
        self._gateway = gateway
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._listening is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._listening(host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let requests finish for `drain_seconds`, then end the rest with an error they can read."""
        self._gateway.draining = True
        seconds = self._gateway.core.setup.settings.server.drain_seconds
        deadline = asyncio.get_running_loop().call_later(seconds, self._gateway.core.interrupt_all)
        try:
            await super().shutdown(sockets)
        finally:
            deadline.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM drains, a second one ends it now. (uvicorn's own would raise them once more at
        the end, and the exit code would not be 0.)"""
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], object]] = {
            signal.SIGINT: self.stop,
            signal.SIGTERM: self.stop,
            signal.SIGHUP: self._reload,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        # A worker is started with these held back until there is someone to hear them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Drain, or, told so again, end now."""
        self.force_exit = self.should_exit
        self.should_exit = True

    def _reload(self) -> None:
        tasks.spawn(self._gateway.reloader.told(), "reload on SIGHUP")


def server_config(app: App, settings: ServerSettings, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    """The HTTP server, set up as the door wants it."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Door,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds) + AFTER_DRAIN,
        backlog=2048,
    )


def run(loaded: Loaded, host: str, port: int) -> None:
    """Serve until a signal says stop."""
    _set_up()
    _refuse_if(_served(loaded, Listening(host, port, Banner(loaded).show)))


def run_workers(loaded: Loaded, host: str, port: int, count: int) -> int:
    """Serve with so many processes until a signal says stop. Returns the exit code."""
    _set_up()
    try:
        places = bind(host, port, count)
    except OSError as error:
        _refuse(f"cannot listen on {host}:{port}: {error.strerror}.", {})
    bound = places[0][0].getsockname()
    patience = loaded.settings.server.drain_seconds + AFTER_DRAIN + UNTIL_KILLED
    with tempfile.TemporaryDirectory(prefix="turnout-") as folder:
        supervisor = Supervisor(
            places,
            lambda seat: _work(loaded, seat, Path(folder)),
            lambda serial: bury(Path(folder), serial),
            patience,
        )
        return supervisor.run(lambda: Banner(loaded, count).show(*bound[:2]))


def _work(loaded: Loaded, seat: Seat, folder: Path) -> int:
    """One worker's life. Returns its exit code."""

    def listening(host: str, port: int) -> None:
        # Nobody waits for a worker that takes another's place.
        with contextlib.suppress(BrokenPipeError):
            os.write(seat.ready, b"1")
        os.close(seat.ready)

    listen = Listening("", 0, listening, seat.sockets, seat.supervisor, folder, seat.serial)
    failure = _served(_afresh(loaded) if seat.successor else loaded, listen)
    if failure is not None:
        click.echo(f"turnout: {failure}", err=True)
    return 0 if failure is None else 2


def _afresh(loaded: Loaded) -> Loaded:
    """For a worker that takes another's place: the file as it is now, if it can be served. Where Redis is away, the
    others serve without it, and so does this one."""
    try:
        now = load(loaded.path, os.environ)
    except ConfigError:
        now = loaded
    settings = (now if now.usable else loaded).settings
    state = settings.state.model_copy(update={"required": False})
    return replace(now if now.usable else loaded, settings=settings.model_copy(update={"state": state}))


def _set_up() -> None:
    logs.set_up()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    # What was loaded stays: full collections need not walk a large catalogue again and again, nor workers copy it.
    gc.collect()
    gc.freeze()
    # A request makes some thousand objects, nearly all freed by their last reference: looking for cycles can wait.
    gc.set_threshold(10_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a process listens, and what it is among others."""

    host: str
    port: int
    told: Callable[[str, int], None]
    """Called with host and port once requests are served."""
    sockets: Sequence[socket.socket] = ()
    """Bound already; none: `host` and `port` are to be."""
    supervisor: int | None = None
    """A descriptor that becomes readable when the supervisor is gone."""
    folder: Path | None = None
    """Where workers tell each other their metrics."""
    serial: int = 0


def _refuse_if(failure: str | None) -> None:
    if failure is not None:
        _refuse(failure, {})


def _served(loaded: Loaded, listening: Listening) -> str | None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(_serve(loaded, listening))


async def _serve(loaded: Loaded, listening: Listening) -> str | None:
    """Why it could not start, or None once it has served."""
    try:
        gateway = Gateway(loaded)
    except StateError as error:
        return str(error)
    if listening.folder is not None:
        gateway.siblings = Siblings(listening.folder, listening.serial, gateway.render)
    requests = logs.RequestLog()
    gateway.recorder.writers.append(requests)
    gc.collect()
    gc.freeze()
    config = server_config(gateway, loaded.settings.server, listening.host, listening.port)
    server = Server(config, gateway, listening.told)
    if listening.supervisor is not None:
        _stop_when_alone(server, listening.supervisor)
    try:
        await server.serve(list(listening.sockets) or None)
    except SystemExit:
        return str(gateway.failure) if gateway.failure is not None else _cannot_listen(listening)
    finally:
        requests.flush()
    return None


def _stop_when_alone(server: Server, descriptor: int) -> None:
    loop = asyncio.get_running_loop()

    def alone() -> None:
        loop.remove_reader(descriptor)
        server.stop()

    loop.add_reader(descriptor, alone)


def _cannot_listen(listening: Listening) -> str:
    return f"cannot listen on {listening.host}:{listening.port}"
