"""Conversations and reasoning in Redis, beside a copy of this process's own, which is what requests are served from."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable, Sequence

import msgspec

from router.state.memory import (
    REASONING_LONGEST,
    REASONING_SECONDS,
    STICKY_SECONDS,
    LocalReasoning,
    LocalSticky,
    owner_and_call,
)
from router.state.redis.exchange import MOVES, REPLICAS
from router.state.redis.guard import Guard
from router.state.redis.link import Argument, Link
from router.state.redis.outbox import Outbox
from router.state.redis.reads import Reads
from router.state.redis.scripts import REMEMBER

MOST = 10_000
"""Texts that wait to be sent at most."""
TEXTS_A_SEND = 16

_moves = msgspec.msgpack.Decoder(tuple[list[str], list[str]])


class RedisSticky:
    """`Sticky` in Redis. The copy follows what other replicas put, as they are told of it with every pulse."""

    def __init__(self, link: Link, guard: Guard, outbox: Outbox, reads: Reads, local: LocalSticky) -> None:
        self._link = link
        self._guard = guard
        self._outbox = outbox
        self._reads = reads
        self._local = local
        self._news: dict[str, str] = {}

    def known(self, conversation: str) -> str | None:
        return self._local.known(conversation)

    def ask(self, conversation: str) -> Awaitable[str | None] | None:
        return self._reads.get(_name_of(conversation)) if self._guard.reason is None else None

    def put(self, conversation: str, endpoint: str, *, moved: bool = True) -> None:
        self._local.put(conversation, endpoint)
        if self._guard.reason is None and len(self._news) < MOST:
            self._news[conversation] = endpoint
            self._outbox.add(self._tell, urgent=moved)

    async def _tell(self) -> None:
        news, self._news = self._news, {}
        keys = [MOVES, REPLICAS, *map(_name_of, news)]
        moves = msgspec.msgpack.encode((list(news), list(news.values())))
        await self._link.script(REMEMBER, keys, [int(STICKY_SECONDS * 1000), moves])

    def hear(self, moves: bytes) -> None:
        """What replicas put, this one too: what is last in everybody's order is what all come to agree on."""
        try:
            conversations, endpoints = _moves.decode(moves)
        except msgspec.DecodeError:
            return
        for conversation, endpoint in zip(conversations, endpoints, strict=True):
            if self._local.known(conversation) != endpoint:
                self._local.put(conversation, endpoint)


def _name_of(conversation: str) -> str:
    return f"turnout:{{fleet}}:sticky:{conversation}"


class RedisReasoning:
    """`Reasoning` in Redis."""

    def __init__(self, link: Link, guard: Guard, outbox: Outbox, reads: Reads, local: LocalReasoning) -> None:
        self._link = link
        self._guard = guard
        self._outbox = outbox
        self._reads = reads
        self._local = local
        self._news: dict[str, str] = {}

    def known(self, owner: str, call: str) -> str | None:
        return self._local.known(owner, call)

    def ask(self, owner: str, calls: Sequence[str]) -> Awaitable[list[str | None]] | None:
        if self._guard.reason is not None:
            return None
        return asyncio.gather(*(self._reads.get(_digest(owner, call)) for call in calls))

    def put(self, owner: str, calls: Sequence[str], text: str) -> None:
        self._local.put(owner, calls, text)
        if self._guard.reason is None and len(text) <= REASONING_LONGEST and len(self._news) < MOST:
            for call in calls:
                self._news[_digest(owner, call)] = text
            self._outbox.add(self._tell)

    async def _tell(self) -> None:
        news = list(self._news.items())
        self._news = {}
        for start in range(0, len(news), TEXTS_A_SEND):
            await self._link.commands(_set(news[start : start + TEXTS_A_SEND]))


def _set(news: Iterable[tuple[str, str]]) -> list[list[Argument]]:
    # Names on any node of a cluster, since texts may be long.
    milliseconds = int(REASONING_SECONDS * 1000)
    return [["SET", name, text.encode(errors="surrogatepass"), "PX", milliseconds] for name, text in news]


def _digest(owner: str, call: str) -> str:
    """What clients chose is only ever part of a name as a digest."""
    key = owner_and_call(owner, call).encode(errors="surrogatepass")
    return f"turnout:reasoning:{hashlib.sha256(key).hexdigest()[:40]}"
