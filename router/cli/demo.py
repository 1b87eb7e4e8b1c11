"""`turnout demo`: three simulated providers, the gateway in front of them, and a scene to watch."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", metavar="P", type=click.IntRange(0, 65535), default=8080, help="Where the gateway listens.")
@click.option("--once", is_flag=True, help="Play the scene once; exit 0 only if everything in it succeeded.")
def demo(port: int, once: bool) -> None:
    """See it work: no keys, no Redis, no network."""
    raise click.ClickException("not built yet")
