"""Everything that can go wrong with an attempt, as a tree; a class says what is to be done, not only what happened.

ProviderError
├── Unreachable                 no answer was begun: refused, reset while connecting, TLS, DNS
│   └── ConnectTimeout
├── TimedOut                    the provider was silent for longer than allowed
│   ├── FirstTokenTimeout       before the first content
│   ├── IdleTimeout             between two data events
│   └── TotalTimeout            the whole request
├── Broken                      the connection or the stream ended before the answer did
├── BadAnswer                   not HTTP, not JSON, not a completion
│   └── EmptyAnswer             a completion with nothing in it
├── Diverged                    asked to carry an answer on, it gave another one
├── ServerFault                 5xx and its like
│   └── Overloaded              no capacity just now
├── RateLimited                 429: this endpoint cools down
├── Refused                     our account, not the request: the provider is put aside
│   ├── BadCredentials          401, 403
│   └── OutOfQuota              402, exhausted balance
├── ModelUnavailable            404: retired or unknown there
├── ContextExceeded             too long for this endpoint; more room may do
├── InvalidRequest              400, 413, 422: the client's to mend
│   └── ContentRefused          the provider's content policy
└── Cancelled                   the client left, or another attempt won
    └── Interrupted             the gateway itself ended it: it is shutting down
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Remedy(Enum):
    """What the dispatcher does next. See contract: attempts, fallback, errors."""

    NEXT = "next"
    """Try the next endpoint."""
    COOL_DOWN = "cool_down"
    """The same, and this endpoint is left alone for its Retry-After."""
    PUT_ASIDE = "put_aside"
    """The same, and every endpoint of this provider is left alone: our account there is at fault."""
    MORE_ROOM = "more_room"
    """Only endpoints with more room than this one showed to have."""
    RETURN = "return"
    """No other endpoint would help: the client gets this error at once."""


class ProviderError(Exception):
    """One attempt's failure.

    `message` is fit for the client: it names no key, header or page of the provider. `raw` is the
    provider's own body, cut to 4 kB, already freed of secrets, or None.
    """

    remedy: ClassVar[Remedy] = Remedy.NEXT
    counts: ClassVar[bool] = True
    """Whether it lowers the endpoint's uptime and feeds its breaker."""
    repeatable: ClassVar[bool] = False
    """Whether the same endpoint may be asked once more after a pause."""
    status: ClassVar[int] = 502
    """What the client is answered when this is the last word."""
    error_type: ClassVar[str] = "provider_unavailable"
    """OpenRouter's name for it."""

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        raw: str | None = None,
        retry_after: float | None = None,
        context_limit: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.upstream_status = upstream_status
        self.raw = raw
        self.retry_after = retry_after
        """Seconds the provider asked us to wait, or None."""
        self.context_limit = context_limit
        """Tokens the provider said it has room for, or None."""


class Unreachable(ProviderError):
    repeatable = True


class ConnectTimeout(Unreachable):
    repeatable = False
    status = 504
    error_type = "timeout"


class TimedOut(ProviderError):
    status = 504
    error_type = "timeout"


class FirstTokenTimeout(TimedOut):
    pass


class IdleTimeout(TimedOut):
    pass


class TotalTimeout(TimedOut):
    """The request's time is over. Earlier attempts may have used it up, or the answer may just be long: nobody's
    failure."""

    remedy = Remedy.RETURN
    counts = False


class Broken(ProviderError):
    repeatable = True


class BadAnswer(ProviderError):
    pass


class EmptyAnswer(BadAnswer):
    pass


class Diverged(ProviderError):
    """Models seldom say the same twice: nobody's failure."""

    counts = False


class ServerFault(ProviderError):
    repeatable = True


class Overloaded(ServerFault):
    status = 503
    error_type = "provider_overloaded"


class RateLimited(ProviderError):
    remedy = Remedy.COOL_DOWN
    counts = False
    repeatable = True
    status = 429
    error_type = "rate_limit_exceeded"


class Refused(ProviderError):
    remedy = Remedy.PUT_ASIDE


class BadCredentials(Refused):
    pass


class OutOfQuota(Refused):
    pass


class ModelUnavailable(ProviderError):
    status = 404
    error_type = "not_found"


class ContextExceeded(ProviderError):
    remedy = Remedy.MORE_ROOM
    counts = False
    status = 400
    error_type = "context_length_exceeded"


class InvalidRequest(ProviderError):
    """Answered with the provider's own 4xx status: `upstream_status`, else 400."""

    remedy = Remedy.RETURN
    counts = False
    status = 400
    error_type = "invalid_request"


class ContentRefused(InvalidRequest):
    error_type = "content_policy_violation"


class Cancelled(ProviderError):
    remedy = Remedy.RETURN
    counts = False
    status = 499
    error_type = "client_closed_request"


class Interrupted(Cancelled):
    status = 503
    error_type = "server"
