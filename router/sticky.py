"""Keeping a conversation with the endpoint that has its prompt in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from providers.splice import each_raw_item, raw_members
from router.ask import Ask
from router.catalogue import Endpoint
from router.outcome import Outcome
from router.request import Request
from router.state.base import Sticky


@dataclass(frozen=True, slots=True)
class Stuck:
    """Where a conversation stands."""

    conversation: str
    """What it is remembered by; a digest, so no store holds a client's words."""
    endpoint: tuple[str, str] | None = None
    """(model id, tag) of who served it last, if that is remembered."""
    cached: int = 0
    """Tokens that should be in that endpoint's cache."""


class Stickiness:
    """Looks a conversation up before planning, and remembers who served it."""

    def __init__(self, store: Sticky) -> None:
        self._store = store

    async def find(self, ask: Ask, request: Request) -> Stuck:
        conversation = _conversation(ask, request)
        found = await self._store.get(conversation)
        if found is None:
            return Stuck(conversation)
        model_id, tag, cached = found.split("\n")
        return Stuck(conversation, (model_id, tag), int(cached))

    def remember(self, ask: Ask, stuck: Stuck, outcome: Outcome) -> None:
        """After a success: always for a named session, else only where the provider used its cache."""
        usage = outcome.usage
        if outcome.error is not None or usage is None or outcome.estimated:
            return
        if ask.session or usage.cached:
            self._store.put(stuck.conversation, _spelled(outcome.endpoint, usage.prompt))


def _spelled(endpoint: Endpoint, prompt: int) -> str:
    cached = 0 if endpoint.rates.cache_read is None else prompt
    return f"{endpoint.model_id}\n{endpoint.tag}\n{cached}"


def _conversation(ask: Ask, request: Request) -> str:
    """Account, model, and the session; without one the first system and the first other message."""
    parts = [request.caller.digest.encode(), ask.models[0].encode()]
    if ask.session:
        parts.append(ask.session.encode("utf-8", "replace"))
    else:
        parts += _opening(ask.body.values["messages"])
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(b"%d:" % len(part) + part)
    return made.hexdigest()


def _opening(messages: bytes) -> list[bytes]:
    system: bytes | None = None
    for message in each_raw_item(messages):
        if raw_members(message).get("role") not in (b'"system"', b'"developer"'):
            return [system or b"", message]
        system = message if system is None else system
    return [system or b""]
