"""`turnout serve`: the gateway on a port."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

import click
import uvicorn

from config.load import Loaded
from config.schema import Server as ServerSettings
from router.app import Gateway
from router.cli.options import config_option, load_or_exit
from router.edge.asgi import App
from router.edge.door import Door

KEEPALIVE_SECONDS = 75
"""How long a client's idle connection is kept; longer than the 60 s of most proxies in front."""


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


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


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
    """uvicorn's server, which says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, banner: Banner) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._banner = banner

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(None)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._banner.show(host, port)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._gateway.draining = True
        await super().shutdown(None)


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
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        backlog=2048,
    )


def run(loaded: Loaded, host: str, port: int) -> None:
    """Serve until a signal says stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    gateway = Gateway(loaded)
    config = server_config(gateway, loaded.settings.server, host, port)
    Server(config, gateway, Banner(loaded)).run()
