"""Conversations and reasoning in Redis, beside a copy of this process's own for when Redis is away."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from providers.tasks import spawn
from router.state.memory import (
    REASONING_LONGEST,
    REASONING_SECONDS,
    STICKY_SECONDS,
    LocalReasoning,
    LocalSticky,
    owner_and_call,
)
from router.state.redis.guard import Away, Guard
from router.state.redis.link import Link
from router.state.redis.outbox import Outbox


def _name(kind: str, key: str) -> str:
    """What clients chose is only ever part of a name as a digest."""
    return f"turnout:{kind}:{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:40]}"


class _Reads:
    """What is asked for within one turn of the event loop travels as one command: half the CPU time under load."""

    def __init__(self, link: Link, guard: Guard) -> None:
        self._link = link
        self._guard = guard
        self._waiting: dict[str, asyncio.Future[bytes | None]] = {}

    async def get(self, name: str) -> bytes | None:
        """Raises Away."""
        if self._link.address.kind == "cluster":
            # There names live on different nodes.
            alone: bytes | None = await self._guard.call(lambda: self._link.command("GET", name))
            return alone
        answer = self._waiting.get(name)
        if answer is None:
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._send)
            answer = self._waiting[name] = loop.create_future()
        return await asyncio.shield(answer)

    def _send(self) -> None:
        asked, self._waiting = self._waiting, {}
        spawn(self._fetch(asked), "state: reads")

    async def _fetch(self, asked: dict[str, asyncio.Future[bytes | None]]) -> None:
        try:
            found = await self._guard.call(lambda: self._link.command("MGET", *asked))
        except Away as away:
            for answer in asked.values():
                answer.set_exception(away)
                # Whoever asked may be gone.
                answer.exception()
            return
        for answer, value in zip(asked.values(), found, strict=True):
            answer.set_result(value)


class _Texts:
    """Texts with a time to live."""

    def __init__(self, kind: str, seconds: float, link: Link, guard: Guard, outbox: Outbox) -> None:
        self._kind = kind
        self._milliseconds = int(seconds * 1000)
        self._link = link
        self._outbox = outbox
        self._reads = _Reads(link, guard)

    async def get(self, key: str) -> str | None:
        """Raises Away."""
        found = await self._reads.get(_name(self._kind, key))
        return None if found is None else bytes(found).decode(errors="surrogatepass")

    def put(self, key: str, text: str) -> None:
        name, value = _name(self._kind, key), text.encode(errors="surrogatepass")
        self._outbox.add(lambda: self._link.command("SET", name, value, "PX", self._milliseconds))


class RedisSticky:
    """`Sticky` in Redis."""

    def __init__(self, link: Link, guard: Guard, outbox: Outbox, local: LocalSticky) -> None:
        self._texts = _Texts("sticky", STICKY_SECONDS, link, guard, outbox)
        self._local = local

    async def get(self, conversation: str) -> str | None:
        try:
            return await self._texts.get(conversation) or await self._local.get(conversation)
        except Away:
            return await self._local.get(conversation)

    def put(self, conversation: str, endpoint: str) -> None:
        self._local.put(conversation, endpoint)
        self._texts.put(conversation, endpoint)


class RedisReasoning:
    """`Reasoning` in Redis."""

    def __init__(self, link: Link, guard: Guard, outbox: Outbox, local: LocalReasoning) -> None:
        self._texts = _Texts("reasoning", REASONING_SECONDS, link, guard, outbox)
        self._local = local

    async def get(self, owner: str, call: str) -> str | None:
        held = await self._local.get(owner, call)
        if held is not None:
            return held
        try:
            return await self._texts.get(owner_and_call(owner, call))
        except Away:
            return None

    def put(self, owner: str, calls: Sequence[str], text: str) -> None:
        self._local.put(owner, calls, text)
        if len(text) <= REASONING_LONGEST:
            for call in calls:
                self._texts.put(owner_and_call(owner, call), text)
