"""`turnout serve`: the gateway on a port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import uvicorn
import uvloop

from config.check import is_loopback
from config.load import Loaded
from config.schema import Server as ServerSettings
from providers import tasks
from router import logs
from router.app import Gateway
from router.cli.options import config_option, load_or_exit
from router.edge.asgi import App
from router.edge.door import Door
from router.state.values import StateError

KEEPALIVE_SECONDS = 75
"""How long a client's idle connection is kept; longer than the 60 s of most proxies in front."""


AFTER_DRAIN = 2
"""Seconds that what was interrupted at the end of the drain has to say so."""


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
    run(loaded, host or server.host, server.port if port is None else port)


def refuse_unfit(loaded: Loaded, host: str | None, workers: int | None) -> None:
    """What the file alone could not tell: exit 2, nothing bound."""
    settings = loaded.settings
    if not loaded.usable:
        _refuse("no provider is on, so there is nobody to route to:", loaded.off)
    if settings.auth.mode == "open" and host and not is_loopback(host):
        _refuse(f"auth.mode is open, so --host must be loopback, not {host}: set auth.mode: keys first.", {})
    if (workers or settings.server.workers) > 1:
        _refuse("more than one worker needs a shared state, which this version does not have: use 1.", {})


def _refuse(says: str, reasons: dict[str, str]) -> None:
    click.echo(f"turnout: {says}", err=True)
    for slug, reason in reasons.items():
        click.echo(f"  {slug}: {reason}", err=True)
    sys.exit(2)


@dataclass
class Banner:
    """What is printed once the port is bound."""

    loaded: Loaded

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
        click.echo(f"  {len(settings.models)} models, {endpoints} endpoints")


class Server(uvicorn.Server):
    """uvicorn's server: says where it listens once it does, drains in good order, reloads on SIGHUP, exits with 0."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, banner: Banner | None = None) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._banner = banner

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._banner is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._banner.show(host, port)

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
            signal.SIGINT: self._stop,
            signal.SIGTERM: self._stop,
            signal.SIGHUP: self._reload,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
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
    logs.set_up()
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        failure = runner.run(_serve(loaded, host, port))
    if failure is not None:
        _refuse(failure, {})


async def _serve(loaded: Loaded, host: str, port: int) -> str | None:
    """Why it could not start, or None once it has served."""
    try:
        gateway = Gateway(loaded)
    except StateError as error:
        return str(error)
    requests = logs.RequestLog()
    gateway.observers.append(requests)
    config = server_config(gateway, loaded.settings.server, host, port)
    # What was loaded stays: full collections need not walk a large catalogue again and again.
    gc.collect()
    gc.freeze()
    # A request makes some thousand objects, nearly all freed by their last reference: looking for cycles can wait.
    gc.set_threshold(10_000, 20, 20)
    server = Server(config, gateway, Banner(loaded))
    try:
        await server.serve()
    except SystemExit:
        return str(gateway.failure) if gateway.failure is not None else f"cannot listen on {host}:{port}"
    finally:
        requests.flush()
    return None
