"""What became of one attempt: the value handed to observers."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from providers.dialects.base import Usage
from providers.errors import Cancelled, ProviderError
from providers.reasoning_memory import Thought
from router.catalogue import Endpoint


class Outcome(msgspec.Struct, frozen=True):
    """One attempt. Seconds; `started` on the monotonic clock."""

    generation: str
    endpoint: Endpoint
    started: float
    duration: float
    error: ProviderError | None
    """None: it answered whole."""
    stream: bool
    first_token: float | None = None
    """Seconds to the first content (of a non-streamed answer: to its first byte)."""
    usage: Usage | None = None
    estimated: bool = False
    """The provider reported no usage: it is estimated from what was produced."""
    cost: Decimal = Decimal(0)
    """USD by our price."""
    finish_reason: str | None = None
    thoughts: tuple[Thought, ...] = ()
    """Reasoning worth remembering: what came before tool calls, and signed blocks."""
    malformed: bool | None = None
    """A tool call's arguments are no JSON object. None: it called no tools, or did not answer whole."""
    upstream_status: int | None = None
    hedged: bool = False
    """It was started beside one that was slow to begin."""
    rescue: str | None = None
    """It was to carry on a stream that had broken, and how: `continue` or `replay`."""

    @property
    def beaten(self) -> bool:
        """It was closed since another attempt was faster, or since the client left."""
        return type(self.error) is Cancelled

    @property
    def label(self) -> str:
        """`success`, or the error's class as a metric label."""
        return "success" if self.error is None else _LABELS[type(self.error).__name__]


_LABELS = {
    "Unreachable": "unreachable",
    "ConnectTimeout": "connect_timeout",
    "TimedOut": "timeout",
    "FirstTokenTimeout": "first_token_timeout",
    "IdleTimeout": "idle_timeout",
    "TotalTimeout": "total_timeout",
    "Broken": "broken",
    "BadAnswer": "bad_answer",
    "EmptyAnswer": "empty_answer",
    "Diverged": "diverged",
    "ServerFault": "server_fault",
    "Overloaded": "overloaded",
    "RateLimited": "rate_limited",
    "Refused": "refused",
    "BadCredentials": "bad_credentials",
    "OutOfQuota": "out_of_quota",
    "ModelUnavailable": "model_unavailable",
    "ContextExceeded": "context_exceeded",
    "InvalidRequest": "invalid_request",
    "ContentRefused": "content_refused",
    "Cancelled": "cancelled",
    "Interrupted": "interrupted",
}
"""Labels come from this fixed set, never from a provider's text."""
