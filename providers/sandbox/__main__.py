"""One simulated provider as a process: prints `ready <base url>` and serves until it is ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import cast

import click
import uvloop

from providers.sandbox.answer import Answer
from providers.sandbox.samples import THINKING
from providers.sandbox.server import REGISTRY, Dialect, Sandbox
from providers.sandbox.timing import Slow

_FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


async def serve(box: Sandbox) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with box:
        click.echo(f"ready {box.base_url}")
        await stop.wait()


@click.command()
@click.option("--dialect", type=click.Choice(sorted(REGISTRY)), default="moonshot", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=0, show_default=True, help="0: any free one.")
@click.option("--key", default="", help="The accepted key; by default sk-sandbox-<dialect>.")
@click.option("--no-auth", is_flag=True, help="Accept any key, or none.")
@click.option("--no-check", is_flag=True, help="Skip the provider's own validation of requests.")
@click.option("--content", help="Text to answer; by default a sample with reasoning.")
@click.option("--events", type=int, help="Answer this many deltas of ` token` instead.")
@click.option("--first-token", type=float, default=0.0, help="Seconds before the first delta.")
@click.option("--between", type=float, default=0.0, help="Seconds between deltas.")
@click.option("--loop", "engine", type=click.Choice(["asyncio", "uvloop"]), default="uvloop", show_default=True)
def main(
    dialect: str,
    host: str,
    port: int,
    key: str,
    no_auth: bool,
    no_check: bool,
    content: str | None,
    events: int | None,
    first_token: float,
    between: float,
    engine: str,
) -> None:
    """Serve one simulated provider. It keeps no record of requests."""
    box = Sandbox(cast(Dialect, dialect), host, port, key=None if no_auth else key, check=not no_check, record=False)
    box.answer(_answer(content, events))
    if first_token or between:
        box.always(Slow(first_token, between))
    with asyncio.Runner(loop_factory=_FACTORIES[engine]) as runner:
        runner.run(serve(box))


def _answer(content: str | None, events: int | None) -> Answer:
    if events is not None:
        return Answer(content=" token" * events, content_fragments=(" token",) * events)
    return THINKING if content is None else Answer(content=content)


if __name__ == "__main__":
    main()
