"""What tokens cost: exact for the ledger, quick for the draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from providers.dialects.base import Usage

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in USD per million tokens; `request` in USD per request."""

    prompt: Decimal
    completion: Decimal
    cache_read: Decimal | None = None
    """None: cached tokens cost what others do."""
    cache_write: Decimal | None = None
    request: Decimal = Decimal(0)
    quick: tuple[float, float, float, float] = field(init=False, repr=False, compare=False, default=(0.0,) * 4)
    """USD per prompt token, per completion token, per cached token and per request."""

    def __post_init__(self) -> None:
        read = self.prompt if self.cache_read is None else self.cache_read
        quick = (
            float(self.prompt) / 1e6,
            float(self.completion) / 1e6,
            float(read) / 1e6,
            float(self.request),
        )
        object.__setattr__(self, "quick", quick)

    def expected(self, prompt: float, cached: float, completion: float) -> float:
        """USD a request of so many tokens would cost, to compare endpoints by. `prompt` includes `cached`."""
        per_prompt, per_completion, per_cached, per_request = self.quick
        return (prompt - cached) * per_prompt + cached * per_cached + completion * per_completion + per_request

    def cost(self, usage: Usage) -> Decimal:
        """USD of what was used, exact. `usage.prompt` includes cached and cache-written tokens."""
        return (self._prompt(usage) + usage.completion * self.completion) / MILLION + self.request

    def prompt_cost(self, usage: Usage) -> Decimal:
        """The part of `cost` that is not the completion's."""
        return self._prompt(usage) / MILLION + self.request

    def _prompt(self, usage: Usage) -> Decimal:
        """Millionths of a USD."""
        if not (usage.cached or usage.cache_write):
            return usage.prompt * self.prompt
        read = self.prompt if self.cache_read is None else self.cache_read
        write = self.prompt if self.cache_write is None else self.cache_write
        written = min(usage.cache_write, usage.prompt - usage.cached)
        plain = usage.prompt - usage.cached - written
        return plain * self.prompt + usage.cached * read + written * write
