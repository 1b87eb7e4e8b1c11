"""The refusals every provider knows, named by meaning; each simulated provider spells them its own way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Why a provider does not answer."""

    RATE_LIMITED = "rate limited"
    OVERLOADED = "overloaded"
    BAD_KEY = "bad key"
    QUOTA = "quota"
    MODEL_RETIRED = "model retired"
    CONTEXT_EXCEEDED = "context exceeded"
    INVALID_REQUEST = "invalid request"
    CONTENT_FILTER = "content filter"
    SERVER_ERROR = "server error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal before it is spelled by a provider."""

    fault: Fault
    message: str | None = None
    """In place of the provider's usual words."""
    retry_after: float | None = None
    """Seconds, told in a header and in the text where the provider does so; None: it does not tell."""
    limit: int = 262_144
    """Tokens of context, for CONTEXT_EXCEEDED."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A refusal as one provider spells it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def retry_headers(refusal: Refusal, *names: str) -> tuple[tuple[str, str], ...]:
    """`retry_after` under each of the names; none where it is not told."""
    if refusal.retry_after is None:
        return ()
    return tuple((name, f"{refusal.retry_after:g}") for name in names)
