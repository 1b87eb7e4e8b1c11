"""The protocol of a policy: candidates in, the same candidates ordered out."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from msgspec import Struct

from router.catalogue import Endpoint
from router.facts import Standing


class Candidate(Struct, gc=False):
    """An endpoint that may serve the request."""

    endpoint: Endpoint
    standing: Standing
    expected_cost: float
    """USD of this request, were it served here."""
    demoted_by: tuple[str, ...] = ()
    severity: int = 0
    """How far back it goes; see router.plan.DEMOTIONS."""
    sticky: bool = False
    """It has this conversation in its cache."""
    chance: float = 0.0
    """Of being tried first of all, 0 to 1, as it was before the draw."""


class Policy(Protocol):
    """Orders candidates that are otherwise alike. Holds no state; `rng` is the only source of chance."""

    @property
    def by_traffic(self) -> bool:
        """Whether expected costs go by how much of its prompts each endpoint lately had in its cache."""
        ...

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        """Each candidate's chance of being first; they sum to 1. There must be one at least."""
        ...

    def order(self, candidates: Sequence[Candidate], chances: Sequence[float], rng: Random) -> list[Candidate]:
        """All of them; `chances` as told above."""
        ...
