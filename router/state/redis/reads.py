"""Reads texts from Redis: what is asked for within one turn of the event loop travels as one command."""

from __future__ import annotations

import asyncio

from providers.tasks import spawn
from router.state.redis.guard import Away, Guard
from router.state.redis.link import Link

Answers = list[asyncio.Future[str | None]]


class Reads:
    """`get` begins at once, whether or not its answer is awaited."""

    def __init__(self, link: Link, guard: Guard) -> None:
        self._link = link
        self._guard = guard
        self._waiting: dict[str, Answers] = {}

    def get(self, name: str) -> asyncio.Future[str | None]:
        """The text of a name; None where it has none, or Redis is away."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        answer: asyncio.Future[str | None] = loop.create_future()
        self._waiting.setdefault(name, []).append(answer)
        return answer

    def _send(self) -> None:
        asked, self._waiting = self._waiting, {}
        by_node: dict[str, dict[str, Answers]] = {}
        for name, answers in asked.items():
            by_node.setdefault(self._node(name), {})[name] = answers
        for some in by_node.values():
            spawn(self._fetch(some), "state: reads")

    def _node(self, name: str) -> str:
        """Names with the same are on one node."""
        if self._link.address.kind != "cluster":
            return ""
        return "fleet" if "{fleet}" in name else name

    async def _fetch(self, asked: dict[str, Answers]) -> None:
        try:
            found = await self._guard.call(lambda: self._link.command("MGET", *asked))
        except Away:
            found = [None] * len(asked)
        for answers, text in zip(asked.values(), found, strict=True):
            for answer in answers:
                if not answer.done():
                    answer.set_result(None if text is None else bytes(text).decode(errors="surrogatepass"))
