"""The simulated provider as the benchmark's upstream: any key, any model, and a health check for those who insist."""

from __future__ import annotations

import asyncio

import click
import uvloop

from providers.sandbox.__main__ import serve
from providers.sandbox.answer import Answer
from providers.sandbox.connection import Received
from providers.sandbox.reply import Script, script_of
from providers.sandbox.server import Sandbox
from providers.sandbox.timing import Slow


class Upstream(Sandbox):
    """Some gateways serve nothing until their upstream has answered GET /health with 200."""

    def perform(self, received: Received) -> tuple[Script, bytes]:
        script, number = super().perform(received)
        if received.path == "/health":
            script = script_of(self.provider.json_reply(200, b"{}"))
        return script, number


@click.command()
@click.option("--content", default="", help="What to answer.")
@click.option("--events", type=int, default=0, help="Answer this many deltas of ` token` instead.")
@click.option("--between", type=float, default=0.0, help="Seconds between deltas.")
def main(content: str, events: int, between: float) -> None:
    """Serve on a free port, and print where."""
    box = Upstream("moonshot", key=None, check=False, record=False)
    fragments = (" token",) * events
    box.answer(Answer(content="".join(fragments), content_fragments=fragments) if events else Answer(content=content))
    if between:
        box.always(Slow(0.0, between))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(box))


if __name__ == "__main__":
    main()
