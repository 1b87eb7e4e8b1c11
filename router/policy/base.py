"""The protocol of a policy: candidates in, the same candidates ordered out."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from msgspec import Struct

from router.catalogue import Endpoint
from router.facts import Standing


class Candidate(Struct, frozen=True, gc=False):
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


class Policy(Protocol):
    """Orders candidates that are otherwise alike. Holds no state; `rng` is the only source of chance."""

    def order(self, candidates: Sequence[Candidate], rng: Random) -> list[Candidate]: ...

    def chances(self, candidates: Sequence[Candidate]) -> list[float]:
        """Each candidate's chance of being first; they sum to 1."""
        ...
