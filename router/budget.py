"""A key's limits on the request path: reserve before, settle after, refuse in words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from router.errors import ApiError
from router.request import Request
from router.state.base import Spend
from router.state.values import Grant, Limits, Refusal

LEASE_MARGIN = 5.0
"""A reservation outlives the longest request by so many seconds, so that only a dead process leaves one behind."""


class OutOfBudget(ApiError):
    status = 402
    error_type = "payment_required"
    may_retry = False


class TooManyRequests(ApiError):
    status = 429
    error_type = "rate_limit_exceeded"


class Budget:
    """Admits requests that have a key with limits; all others pass untouched."""

    def __init__(self, spend: Spend) -> None:
        self._spend = spend

    async def admit(self, request: Request, expected: float, total: float) -> Grant | None:
        """Reserve what a request is expected to cost (USD) for at most `total` seconds and a margin.

        Raises OutOfBudget (402) or TooManyRequests (429).
        """
        caller = request.caller
        if caller.limits is None:
            return None
        usd = Decimal(repr(expected))
        lease = total + LEASE_MARGIN
        answer = await self._spend.admit(caller.digest, caller.limits, usd, request.generation, lease)
        if isinstance(answer, Refusal):
            raise _refused(answer, caller.name or "", caller.limits)
        return answer

    def settle(self, grant: Grant | None, cost: Decimal) -> None:
        """What the request did cost, in USD; nothing for one that produced nothing."""
        if grant is None:
            return
        if cost:
            self._spend.settle(grant, cost)
        else:
            self._spend.release(grant)


def _refused(refusal: Refusal, name: str, limits: Limits) -> ApiError:
    if refusal.limit == "rpm":
        error: ApiError = TooManyRequests(
            f"The key {name} may make {limits.rpm} requests a minute, and has.",
            retry_after=refusal.retry_after,
            metadata={"limit": limits.rpm, "limit_source": "key"},
        )
        error.rate_limit = (limits.rpm or 0, 0, refusal.retry_after or 0.0)
        return error
    period = {"daily": "a day", "weekly": "a week", "monthly": "a month"}.get(limits.reset or "", "in all")
    when = _at(refusal.resets)
    left = "" if refusal.remaining is None else f" ${refusal.remaining:f} are left, less than this request may cost."
    return OutOfBudget(
        f"The key {name} may spend ${limits.usd} {period}.{left} {when}",
        metadata={"limit": str(limits.usd), "limit_reset": limits.reset, "resets_at": refusal.resets},
    )


def _at(resets: float | None) -> str:
    if resets is None:
        return "The limit does not reset: it has to be raised."
    return f"It resets at {datetime.fromtimestamp(resets, UTC):%Y-%m-%d %H:%M} UTC."
