"""What the gateway itself answers when a request cannot be served.

ApiError
├── BadRequest          400, the client's to mend (413, 415, 408 and the like through `status`)
│   └── UnknownModel    400 with the nearest names
├── Unauthorized        401, equal for every kind of bad key
├── NoEndpoints         404, nothing is left after what the request and the preferences exclude
├── Busy                503, too much in flight, or nothing available just now
└── Exhausted           every attempt failed: the last provider's error, with those before it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.errors import ContextExceeded, InvalidRequest, ProviderError, RateLimited, Refused


class ApiError(Exception):
    """An answer other than 200, in OpenRouter's terms."""

    status = 500
    error_type = "server"
    may_retry = True
    """Whether the same request may succeed later; else the client is told not to."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
        self.openrouter_metadata: bytes | None = None
        """The decision as JSON, where the client asked for it."""
        self.rate_limit: tuple[int, int, float] | None = None
        """(limit, remaining, seconds until it resets) of our own rate limit, where that was it."""
        if status is not None:
            self.status = status


class BadRequest(ApiError):
    status = 400
    error_type = "invalid_request"
    may_retry = False


class TooLarge(BadRequest):
    status = 413
    error_type = "payload_too_large"


class UnknownModel(BadRequest):
    pass


class Unauthorized(ApiError):
    status = 401
    error_type = "authentication"
    may_retry = False


class NoEndpoints(ApiError):
    status = 404
    error_type = "not_found"
    may_retry = False


class Busy(ApiError):
    status = 503
    error_type = "provider_overloaded"


class Exhausted(ApiError):
    """Made from the error that ended the request, and the attempts before it."""

    def __init__(
        self,
        last: ProviderError,
        provider: str,
        previous: list[dict[str, Any]],
        retry_after: float | None = None,
    ) -> None:
        metadata: dict[str, Any] = {"provider_name": provider}
        if last.raw is not None:
            metadata["raw"] = last.raw
        if previous:
            metadata["previous_errors"] = previous
        super().__init__(
            f"{provider}: {last.message}",
            status=_status(last),
            retry_after=last.retry_after if retry_after is None else retry_after,
            metadata=metadata,
        )
        self.error_type = last.error_type
        self.last = last
        self.may_retry = not isinstance(last, InvalidRequest | ContextExceeded | Refused) and self.status != 404


def _status(error: ProviderError) -> int:
    if isinstance(error, InvalidRequest) and error.upstream_status in (400, 403, 404, 413, 415, 422):
        return error.upstream_status
    if isinstance(error, RateLimited):
        return 429
    return error.status
