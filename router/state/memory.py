"""What one process keeps to itself: limits, conversations, reasoning, and no other replicas to talk to."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from router.state.spend import SpendBook
from router.state.values import Clock, Grant, KeyUsage, Limits, Note, Refusal

STICKY_SECONDS = 600.0
STICKY_MOST = 100_000
REASONING_SECONDS = 3600.0
REASONING_BYTES = 64 * 2**20
REASONING_LONGEST = 2**20
"""Characters of one text; longer ones are not kept."""


class Expiring:
    """Texts by key, each for so many seconds, the oldest dropped first where they become too many.

    `weight` bounds the sum of lengths, `most` the number.
    """

    def __init__(self, clock: Clock, seconds: float, most: int, weight: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._weight = weight
        self._held = 0
        self._items: dict[str, tuple[str, float]] = {}

    def get(self, key: str) -> str | None:
        item = self._items.get(key)
        if item is None:
            return None
        if item[1] > self._clock():
            return item[0]
        self._drop(key)
        return None

    def put(self, key: str, text: str) -> None:
        if key in self._items:
            self._drop(key)
        now = self._clock()
        self._items[key] = (text, now + self._seconds)
        self._held += len(text)
        while self._items:
            oldest = next(iter(self._items))
            full = len(self._items) > self._most or self._held > self._weight
            if not full and self._items[oldest][1] > now:
                return
            self._drop(oldest)

    def _drop(self, key: str) -> None:
        self._held -= len(self._items.pop(key)[0])

    def __len__(self) -> int:
        return len(self._items)


class LocalSticky:
    """`Sticky` in this process. Clock: monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._items = Expiring(clock, STICKY_SECONDS, STICKY_MOST, 2**30)

    def known(self, conversation: str) -> str | None:
        return self._items.get(conversation)

    def ask(self, conversation: str) -> None:
        return None

    def put(self, conversation: str, endpoint: str, *, moved: bool = True) -> None:
        self._items.put(conversation, endpoint)


class LocalReasoning:
    """`Reasoning` in this process. Clock: monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._items = Expiring(clock, REASONING_SECONDS, 100_000, REASONING_BYTES)

    def known(self, owner: str, call: str) -> str | None:
        return self._items.get(owner_and_call(owner, call))

    def ask(self, owner: str, calls: Sequence[str]) -> None:
        return None

    def put(self, owner: str, calls: Sequence[str], text: str) -> None:
        if len(text) <= REASONING_LONGEST:
            for call in calls:
                self._items.put(owner_and_call(owner, call), text)


def owner_and_call(owner: str, call: str) -> str:
    """Both in one key; the length keeps ("a:b", "c") from being ("a", "b:c")."""
    return f"{len(owner)}:{owner}:{call}"


class LocalSpend:
    """`Spend` in this process. What was settled lasts with the request's row in the ledger."""

    def __init__(self, book: SpendBook) -> None:
        self._book = book

    async def admit(self, key: str, limits: Limits, expected: Decimal, request: str, lease: float) -> Grant | Refusal:
        return self._book.admit(key, limits, expected, request, lease)

    def settle(self, grant: Grant, cost: Decimal) -> None:
        self._book.settle(grant, cost)

    def release(self, grant: Grant) -> None:
        self._book.settle(grant, Decimal(0))

    async def usage(self, key: str) -> KeyUsage:
        return self._book.usage(key)


class NoExchange:
    """`HealthExchange` of a gateway that is alone."""

    def publish(self, note: Note) -> None:
        pass

    def received(self) -> list[Note]:
        return []

    async def take_probe(self, endpoint: tuple[str, str], seconds: float) -> bool:
        return True

    def end_probe(self, endpoint: tuple[str, str]) -> None:
        pass
