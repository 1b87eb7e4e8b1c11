"""The protocols of the state layer: what a store must be able to do."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from decimal import Decimal
from typing import Protocol

from router.state.values import (
    AttemptTotal,
    Grant,
    KeyRecord,
    KeyUsage,
    Limits,
    Note,
    Query,
    Refusal,
    Row,
    Status,
    Total,
)


class Ledger(Protocol):
    """One row a request, and sums over them. Raises StateError where the store cannot answer."""

    async def append(self, rows: Sequence[Row]) -> None:
        """Store rows durably. A row whose id is stored already is skipped, so a batch may be sent again."""
        ...

    async def generation(self, id: str) -> Row | None: ...  # noqa: A002 - the name of the thing everywhere

    async def recent(self, limit: int, before: str | None = None, key: str | None = None) -> list[Row]:
        """Newest first; those older than the row with id `before`; of one key only."""
        ...

    async def totals(self, query: Query) -> list[Total]:
        """Sums of requests by group, groups in order."""
        ...

    async def attempts(self, query: Query) -> list[AttemptTotal]:
        """Sums of attempts by group; `key` and `app` are not known of attempts."""
        ...

    async def key_names(self) -> dict[str, str]:
        """The name every key that was ever used had last, by its hash."""
        ...

    async def prune(self, days: float) -> int:
        """Forget rows older than `days`; sums are kept. Returns how many rows went."""
        ...

    async def begin(self, replica: str) -> bool:
        """A gateway starts writing. Returns whether an earlier one ended without `end`."""
        ...

    async def end(self, replica: str) -> None:
        """A gateway has written all it had."""
        ...


class Spend(Protocol):
    """Limits, and what counts against them. Only requests with a key come here."""

    async def admit(self, key: str, limits: Limits, expected: Decimal, request: str, lease: float) -> Grant | Refusal:
        """Reserve `expected` USD and count one request, both or neither. The reservation ends by itself after
        `lease` seconds. Never raises: without the shared store it decides by what is known here."""
        ...

    def settle(self, grant: Grant, cost: Decimal) -> None:
        """Replace the reservation by what it cost, in USD. Only the first call for a request has an effect."""
        ...

    def release(self, grant: Grant) -> None:
        """Give the reservation back: nothing was spent."""
        ...

    async def usage(self, key: str) -> KeyUsage: ...


class Keys(Protocol):
    """The keys made at run time."""

    def known(self, digest: str) -> KeyRecord | None:
        """A key from this process's copy, at most 2 s old while the store is there."""
        ...

    async def by_digest(self, digest: str) -> KeyRecord | None:
        """As `known`, but the store is asked for a key that is not in the copy."""
        ...

    async def all(self) -> list[KeyRecord]:
        """Oldest first, from the store."""
        ...

    async def put(self, record: KeyRecord) -> None:
        """Create a key, or replace the record with the same hash."""
        ...

    async def delete(self, digest: str) -> bool:
        """Returns whether there was one."""
        ...


class Sticky(Protocol):
    """Which endpoint a conversation, named by a digest, was last served by; forgotten after ten minutes."""

    def known(self, conversation: str) -> str | None:
        """From this process's copy, which follows other replicas within two seconds."""
        ...

    def ask(self, conversation: str) -> Awaitable[str | None] | None:
        """What other replicas know. It is asked at once, and never raises; None: there is nobody to ask."""
        ...

    def put(self, conversation: str, endpoint: str, *, moved: bool = True) -> None:
        """`moved`: it was not known to be there, so that other replicas are told at once."""
        ...


class Reasoning(Protocol):
    """Reasoning by tool-call id, for providers that demand it back; forgotten after an hour.

    `owner` keeps one client's from another's.
    """

    def known(self, owner: str, call: str) -> str | None:
        """From this process's copy, of what it put itself."""
        ...

    def ask(self, owner: str, calls: Sequence[str]) -> Awaitable[Sequence[str | None]] | None:
        """What other replicas put, for each call. They are asked at once, and never raise; None: there is nobody."""
        ...

    def put(self, owner: str, calls: Sequence[str], text: str) -> None: ...


class HealthExchange(Protocol):
    """What replicas tell each other of health."""

    def publish(self, note: Note) -> None: ...

    def received(self) -> list[Note]:
        """Notes of other replicas since the last call, oldest first, what has run out left away."""
        ...

    async def take_probe(self, endpoint: tuple[str, str], seconds: float) -> bool:
        """Whether this replica may probe an ejected endpoint. One of the fleet may, until `end_probe` or for so
        many seconds; without the shared store each may."""
        ...

    def end_probe(self, endpoint: tuple[str, str]) -> None: ...


class Store(Protocol):
    """All of the above. `open` first; `aclose` when done."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def spend(self) -> Spend: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def sticky(self) -> Sticky: ...
    @property
    def reasoning(self) -> Reasoning: ...
    @property
    def exchange(self) -> HealthExchange: ...

    async def open(self) -> None:
        """Raises StateError where the store cannot be used; nothing in it was changed then."""
        ...

    async def flush(self, seconds: float = 2.0) -> None:
        """Wait until what was handed over has been passed on, at most so long."""
        ...

    async def aclose(self) -> None: ...

    def status(self) -> Status: ...
