"""The memory of reasoning: kept from answers by tool-call id, handed to attempts whose request lacks some of it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence

import msgspec

from providers.conversation import is_plain
from providers.reasoning_memory import NO_NAMES, asked_for, kept
from router.ask import Ask
from router.request import Request
from router.served import Served
from router.state.base import Reasoning

BLOCK = "block:"
"""What the name of a signed block begins with; all others are tool-call ids."""


class Recalled(msgspec.Struct, frozen=True):
    """What is remembered of a conversation."""

    thoughts: Mapping[str, str] = {}
    """By tool-call id."""
    origins: Mapping[str, str] = {}
    """Who issued a signed block: the provider's slug, by the block's identity."""
    missing: tuple[str, ...] = ()
    """Names of which other replicas were asked, with `asked`: for `told`."""
    asked: Awaitable[Sequence[str | None]] | None = None


NOTHING = Recalled()


class Memory:
    """Asks the store before a request is sent, and is an observer of what was answered. One client's memory is never
    another's."""

    def __init__(self, store: Reasoning) -> None:
        self._store = store

    def recall(self, ask: Ask, request: Request) -> Recalled:
        """From what this process knows, without waiting; NOTHING for most requests. Of what it does not know, others
        are asked where the request brings none."""
        names = NO_NAMES if is_plain(ask.body) else asked_for(ask.body.values["messages"])
        if names == NO_NAMES:
            return NOTHING
        owner, known = request.caller.digest, self._store.known
        found = {name: text for some in names for name in some if (text := known(owner, name)) is not None}
        missing = tuple([name for name in names.missing if name not in found])
        return _recalled(found, missing, self._store.ask(owner, missing) if missing else None)

    async def told(self, recalled: Recalled) -> Recalled:
        """The same once the others have answered, if they were asked."""
        if recalled.asked is None:
            return recalled
        answers = zip(recalled.missing, await recalled.asked, strict=True)
        more = {name: text for name, text in answers if text is not None}
        return _recalled({**recalled.thoughts, **recalled.origins, **more})

    def served(self, served: Served) -> None:
        owner = served.request.caller.digest
        for outcome in served.attempts:
            slug = outcome.endpoint.provider.slug
            for thought in outcome.thoughts:
                if thought.calls:
                    self._store.put(owner, thought.calls, kept(thought, slug))
                if thought.signed:
                    self._store.put(owner, thought.signed, slug)


def _recalled(
    found: Mapping[str, str], missing: tuple[str, ...] = (), asked: Awaitable[Sequence[str | None]] | None = None
) -> Recalled:
    thoughts = {name: text for name, text in found.items() if not name.startswith(BLOCK)}
    origins = {name: text for name, text in found.items() if name.startswith(BLOCK)}
    return Recalled(thoughts, origins, missing, asked)
