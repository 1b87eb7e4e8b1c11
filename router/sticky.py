"""Keeping a conversation with the endpoint that has its prompt in the cache."""

from __future__ import annotations

from collections.abc import Awaitable
from hashlib import blake2b

import msgspec

from router.ask import Ask
from router.catalogue import Endpoint
from router.outcome import Outcome
from router.request import Request
from router.state.base import Sticky


class Stuck(msgspec.Struct, frozen=True):
    """Where a conversation stands."""

    conversation: str
    """What it is remembered by; a digest, so no store holds a client's words."""
    endpoint: tuple[str, str] | None = None
    """(model id, tag) of who served it last, if that is remembered."""
    cached: int = 0
    """Tokens that should be in that endpoint's cache."""
    asked: Awaitable[str | None] | None = None
    """What other replicas remember of it, where they were asked: for `told`."""


class Stickiness:
    """Looks a conversation up before planning, and remembers who served it."""

    def __init__(self, store: Sticky) -> None:
        self._store = store

    def find(self, ask: Ask, request: Request) -> Stuck:
        """From what this process knows, without waiting. Of what it does not know and others may, they are asked."""
        conversation, goes_on = _conversation(ask, request)
        found = self._store.known(conversation)
        if found is not None:
            return _stuck(conversation, found)
        return Stuck(conversation, asked=self._store.ask(conversation) if goes_on else None)

    async def told(self, stuck: Stuck) -> Stuck:
        """The same once the others have answered, if they were asked."""
        found = None if stuck.asked is None else await stuck.asked
        return stuck if found is None else _stuck(stuck.conversation, found)

    def remember(self, ask: Ask, stuck: Stuck, outcome: Outcome) -> None:
        """After a success: always for a named session, else only where the provider used its cache."""
        usage = outcome.usage
        if outcome.error is not None or usage is None or outcome.estimated:
            return
        if ask.session or usage.cached:
            moved = outcome.endpoint.key != stuck.endpoint
            self._store.put(stuck.conversation, _spelled(outcome.endpoint, usage.prompt), moved=moved)


def _spelled(endpoint: Endpoint, prompt: int) -> str:
    cached = 0 if endpoint.rates.cache_read is None else prompt
    return f"{endpoint.model_id}\n{endpoint.tag}\n{cached}"


def _stuck(conversation: str, found: str) -> Stuck:
    model_id, tag, cached = found.split("\n")
    return Stuck(conversation, (model_id, tag), int(cached))


def _conversation(ask: Ask, request: Request) -> tuple[str, bool]:
    """Account, model, and the session; without one what the conversation opened with. And whether it may have begun
    before this request."""
    opening, model = ask.opening, ask.models[0]
    known_by = f"session {ask.session}" if opening is None else f"opening {opening.digest}"
    spelled = f"{request.caller.digest} {len(model)}:{model} {known_by}".encode("utf-8", "replace")
    return blake2b(spelled, digest_size=16).hexdigest(), opening is None or opening.goes_on
