"""The values the state layer takes and gives: ledger rows, keys, limits, grants, totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import msgspec

Clock = Callable[[], float]


def to_units(usd: Decimal) -> int:
    """USD in whole units of a millionth of a millionth of a dollar: a token at $0.000001 per million is one. What is
    finer is rounded to even. A counter of 64 bits holds nine million dollars."""
    return round(usd.scaleb(12))


def to_usd(units: int) -> Decimal:
    """Units as USD, exact."""
    return Decimal(units).scaleb(-12)


Reset = Literal["daily", "weekly", "monthly"]


class StateError(Exception):
    """The store cannot be used as it is. The message names it and says what to do."""


class AttemptRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One attempt inside a row. Seconds; `cost` in USD."""

    provider: str
    """The provider's slug."""
    name: str
    """Its display name."""
    model: str
    tag: str
    status: int
    result: str
    """`success` or an error label of `router.outcome`."""
    error: str | None = None
    duration: float = 0.0
    first_token: float | None = None
    cost: Decimal = Decimal(0)
    started: float = 0.0
    """After the request arrived."""
    hedged: bool = False
    """It was started beside one that was slow to begin."""
    rescue: str | None = None
    """It was to carry on a stream that had broken, and how."""


class Row(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One request in the ledger. Seconds, USD, unix time."""

    id: str
    created: float
    """Of a request with a grant: the grant's `at`, so that ledger and limits agree on its day."""
    requested: str
    """The model as asked for, resolved to a catalogue id where it could be."""
    status: int
    decision: msgspec.Raw
    """JSON; router.recorded tells it as `openrouter_metadata`. Without a default, since msgspec cannot read a raw field
    that has one."""
    key: str = ""
    """Hash of the client's key; "" without one."""
    key_name: str = ""
    model: str | None = None
    """Who served it, with `provider` (slug), `provider_name` and `tag`; None where nobody did."""
    provider: str | None = None
    provider_name: str | None = None
    tag: str | None = None
    stream: bool = False
    cancelled: bool = False
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    first_token: float | None = None
    duration: float = 0.0
    generation: float = 0.0
    """Of `duration`, the part the provider was producing."""
    overhead: float = 0.0
    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    completion: int = 0
    cost: Decimal = Decimal(0)
    upstream_cost: Decimal | None = None
    """As the upstream itself reported it."""
    estimated: bool = False
    referer: str | None = None
    title: str | None = None
    user_agent: str | None = None
    session: str | None = None
    attempts: tuple[AttemptRow, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A client's key, without its secret. USD, unix time."""

    hash: str
    """SHA-256 of the secret, hexadecimal."""
    name: str
    label: str
    """What may be shown of the secret: `sk-to-…abcd`."""
    created: float
    disabled: bool = False
    expires: float | None = None
    limit: Decimal | None = None
    reset: Reset | None = None
    """None: the limit never resets."""
    rpm: int | None = None
    models: tuple[str, ...] = ()
    """Globs; none: all."""
    static: bool = False
    """From the configuration file, so not in the store."""
    updated: float | None = None

    def usable(self, now: float) -> bool:
        """Neither disabled nor expired at unix time `now`."""
        return not self.disabled and (self.expires is None or now < self.expires)

    @property
    def limits(self) -> Limits:
        return Limits(self.limit, self.reset, self.rpm)


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What a key may use. None: no limit."""

    usd: Decimal | None = None
    reset: Reset | None = None
    rpm: int | None = None


class Grant(msgspec.Struct, frozen=True, gc=False):
    """Leave to make one request. Owed back by `Spend.settle` or `Spend.release`."""

    key: str
    request: str
    at: float
    """Unix time on the store's clock: decides the day, week and month the cost belongs to."""
    reserved: Decimal
    remaining: Decimal | None = None
    """USD left after this reservation; None: no limit."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No leave. Nothing was counted."""

    limit: Literal["usd", "rpm"]
    retry_after: float | None
    """Seconds until it is worth asking again; None: only a higher limit helps."""
    resets: float | None = None
    """Unix time at which the USD limit resets."""
    remaining: Decimal | None = None


class KeyUsage(msgspec.Struct, frozen=True, gc=False):
    """What a key has spent, in USD, in the current UTC day, week (from Monday), month, and ever."""

    daily: Decimal = Decimal(0)
    weekly: Decimal = Decimal(0)
    monthly: Decimal = Decimal(0)
    total: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    """Held for requests under way."""

    def within(self, reset: Reset | None) -> Decimal:
        """The spend that counts against a limit with this reset."""
        return {"daily": self.daily, "weekly": self.weekly, "monthly": self.monthly, None: self.total}[reset]


Dimension = Literal["minute", "hour", "day", "model", "provider", "key", "app"]


@dataclass(frozen=True, slots=True)
class Query:
    """Which totals. Unix time; `since` is rounded down to the resolution answered in: a minute within the last two
    days, an hour within 90, else a day."""

    since: float
    by: tuple[Dimension, ...] = ()
    until: float | None = None
    model: str | None = None
    provider: str | None = None
    key: str | None = None
    app: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the requests of one group."""

    group: tuple[str, ...]
    """One value for each of the query's `by`; times as unix seconds; a provider as its slug, "" for nobody."""
    requests: int = 0
    errors: int = 0
    """Answered with a status of 400 or more, clients that left excepted."""
    saved: int = 0
    """Succeeded though an attempt failed."""
    prompt: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    completion: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class AttemptTotal:
    """Sums over the attempts at endpoints of one group; `group` as in `Total`."""

    group: tuple[str, ...]
    good: int = 0
    bad: int = 0
    """Failures that count against the provider."""
    other: int = 0
    """Rate limits, faults of the caller, cancellations."""


@dataclass(frozen=True, slots=True)
class Note:
    """What one replica tells the others of an endpoint's or a provider's health."""

    kind: Literal["ejected", "cooling", "aside", "alive", "counts"]
    subject: tuple[str, ...]
    """(model id, endpoint tag), or (provider slug,) for `aside`."""
    seconds: float = 0.0
    """How long it holds from now on; of a note received, how long it still holds."""
    ejections: int = 0
    good: int = 0
    bad: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How the store is doing."""

    ok: bool = True
    reason: str | None = None
    errors: int = 0
    """Failed operations since the start."""
    replicas: int = 1
    """Gateways sharing this store, as last seen."""
