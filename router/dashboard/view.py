"""What every page is made from: figures, the catalogue, health, keys, and who looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from router.catalogue import Catalogue
from router.dashboard.figures import Figures
from router.dashboard.period import CHOICES, DEFAULT, Period, period
from router.health import Health
from router.state.values import KeyRecord, KeyUsage, Status

Context = dict[str, Any]
"""The variables of a template."""


class Keys(Protocol):
    """Keys and what they have spent."""

    async def all(self) -> Sequence[KeyRecord]: ...

    async def usage(self, digest: str) -> KeyUsage: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where figures come from; the catalogue, health and settings as they are now."""

    figures: Figures
    catalogue: Callable[[], Catalogue]
    health: Health
    keys: Keys
    status: Callable[[], Status]
    in_flight: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Asked:
    """One look at a page."""

    sources: Sources
    query: Mapping[str, Sequence[str]]
    """Of the address, by name; several values each."""
    base_url: str
    """The gateway as the reader's browser knows it, without a slash at the end."""
    now: float

    def one(self, name: str, default: str = "") -> str:
        """A value of the address, cut to a sensible length."""
        return (self.query.get(name) or [default])[0][:300]

    def period(self, default: str = DEFAULT) -> Period:
        return period(self.one("range"), self.now, default)

    @property
    def periods(self) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _, _) in CHOICES.items()]

    def provider_name(self, slug: str) -> str:
        """As shown; a provider that is gone by its slug."""
        provider = self.sources.catalogue().providers.get(slug)
        return provider.name if provider else slug or "nobody"


class NotFound(Exception):
    """There is no such page. The message says what was looked for, `hints` where to look instead."""

    def __init__(self, message: str, hints: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.hints = hints
        """(path below /dashboard, text)."""
