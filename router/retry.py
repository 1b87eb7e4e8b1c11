"""The pause before an endpoint is asked once more; the only place that retries on a clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_exponential, wait_random

from config.schema import Retries
from providers.errors import ProviderError, RateLimited

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


def worth_repeating(error: BaseException, rules: Retries) -> bool:
    """Whether the endpoint that failed so may be asked once more: after a pause for a connect error or a 5xx, after
    its Retry-After for a 429 when that is short; never where it was silent."""
    if isinstance(error, RateLimited):
        return error.retry_after is not None and error.retry_after <= rules.wait_retry_after
    return isinstance(error, ProviderError) and error.repeatable


class _Pause(wait_base):
    def __init__(self, rules: Retries) -> None:
        self._most = rules.backoff_max
        # Spread widely: clients that failed together must not come back together.
        self._backoff = wait_exponential(multiplier=rules.backoff) + wait_random(0, 3 * rules.backoff)

    def __call__(self, retry_state: RetryCallState) -> float:
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if isinstance(error, RateLimited) and error.retry_after is not None:
            return error.retry_after
        return min(self._most, self._backoff(retry_state))


async def once_more(failed: ProviderError, rules: Retries, sleep: Sleep, call: Callable[[], Awaitable[T]]) -> T:
    """`call` after the pause that `failed` asks for. Raises `failed` at once where repeating it is not allowed."""
    retrying = AsyncRetrying(
        sleep=sleep,
        stop=stop_after_attempt(2),
        retry=retry_if_exception(lambda error: worth_repeating(error, rules)),
        wait=_Pause(rules),
        reraise=True,
    )

    async def again() -> T:
        # The first try is the one that failed already.
        if retrying.statistics["attempt_number"] == 1:
            raise failed
        return await call()

    return await retrying(again)
