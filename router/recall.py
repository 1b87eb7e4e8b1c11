"""The memory of reasoning: kept from answers by tool-call id, handed to attempts whose request brings none back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.reasoning_memory import asked_for, kept
from router.ask import Ask
from router.outcome import Outcome
from router.request import Request
from router.served import Served
from router.state.base import Reasoning

BLOCK = "block:"
"""What the name of a signed block begins with; all others are tool-call ids."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered of a conversation."""

    thoughts: Mapping[str, str] = field(default_factory=dict)
    """By tool-call id."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Who issued a signed block: the provider's slug, by the block's identity."""


NOTHING = Recalled()


class Memory:
    """Asks the store before a request is sent, and is an observer of what was answered. One client's memory is never
    another's."""

    def __init__(self, store: Reasoning) -> None:
        self._store = store

    async def recall(self, ask: Ask, request: Request) -> Recalled:
        """NOTHING for most requests, without asking the store."""
        names = asked_for(ask.body.values["messages"])
        if not names:
            return NOTHING
        owner = request.caller.digest
        found = {name: text for name in names if (text := await self._store.get(owner, name)) is not None}
        return Recalled(
            {name: text for name, text in found.items() if not name.startswith(BLOCK)},
            {name: text for name, text in found.items() if name.startswith(BLOCK)},
        )

    def attempted(self, outcome: Outcome) -> None:
        """An attempt is remembered with its request, which knows whose it is."""

    def served(self, served: Served) -> None:
        owner = served.request.caller.digest
        for outcome in served.attempts:
            slug = outcome.endpoint.provider.slug
            for thought in outcome.thoughts:
                if thought.calls:
                    self._store.put(owner, thought.calls, kept(thought, slug))
                if thought.signed:
                    self._store.put(owner, thought.signed, slug)
