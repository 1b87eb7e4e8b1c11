"""What was decided for one request and how it went: the one object behind metadata, explanation and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from msgspec import Struct

from providers.errors import (
    BadCredentials,
    ContextExceeded,
    ModelUnavailable,
    OutOfQuota,
    ProviderError,
    RateLimited,
    Remedy,
)
from providers.splice import encode
from router.ask import Ask
from router.catalogue import Endpoint
from router.errors import ApiError, Busy, Exhausted, NoEndpoints
from router.outcome import Outcome
from router.plan import PASSING, Excluded, Plan
from router.preferences import names_only


@dataclass(frozen=True, slots=True)
class Rescued:
    """How a stream that broke was carried on, or was not."""

    how: str
    """`continue`, `replay`, or `none` where nobody could be asked."""
    result: str
    """`success`; `corrected`: the same, though the answer began by saying again what it was to carry on;
    `diverged`, `refused`, `failed`; `impossible`: what was sent cannot be said again; `broken`: carried on, then broken
    again."""
    broke: str
    """Tag of the endpoint whose stream broke."""
    by: str = ""
    """Tag of the last endpoint asked to carry on."""

    @property
    def diverged(self) -> bool:
        return (self.how, self.result) == ("replay", "diverged")


class Decision(Struct):
    """The plan, the attempts made on it so far, and what became of a stream that broke."""

    ask: Ask
    plan: Plan
    attempts: list[Outcome] = []
    selected: Endpoint | None = None
    rescues: list[Rescued] = []
    received: float = 0.0
    """When the request arrived, on the loop's clock."""

    @property
    def expected_cost(self) -> float:
        """USD the request will cost where it is tried first; 0 where nobody may be tried."""
        stages = self.plan.stages
        return stages[0].candidates[0].expected_cost if stages else 0.0

    def metadata(self) -> bytes:
        """`openrouter_metadata` as JSON: OpenRouter's fields, and ours beside them."""
        rows = self.rows()
        value: dict[str, Any] = {
            "requested": self.ask.models[0],
            "strategy": self.plan.strategy,
            "region": None,
            "summary": self.summary(),
            "attempt": len(self.attempts),
            "is_byok": False,
            "endpoints": {"total": len(rows), "available": rows},
            "attempts": [_attempt(outcome, self.received) for outcome in self.attempts],
        }
        if self.rescues:
            value["rescues"] = [asdict(rescued) for rescued in self.rescues]
        if self.ask.unknown_preferences:
            value["ignored_preferences"] = list(self.ask.unknown_preferences)
        return encode(value)

    def rows(self) -> list[dict[str, Any]]:
        """Every endpoint, those of the plan in its order, then those that are not in it."""
        plan, selected = self.plan, self.selected
        rows = [
            _row(one.endpoint, selected, one.expected_cost, one.chance, None, one.demoted_by)
            for stage in plan.stages
            for one in stage.candidates
        ]
        rows += [_row(one.endpoint, selected, one.expected_cost, 0.0, one.reason, ()) for one in plan.excluded]
        return rows

    def summary(self) -> str:
        """One line for people."""
        if self.selected is None:
            return f"no endpoint answered after {_count(len(self.attempts), 'attempt')}"
        failed = [outcome.endpoint.tag for outcome in self.attempts if outcome.error is not None and not outcome.beaten]
        after = f" after {', '.join(failed)} failed" if failed else ""
        return f"{self.selected.provider.name} served {self.selected.model_id}{after}"

    def error(self, now: float) -> ApiError:
        """What the client is told when nobody answered. `now` on the health's clock."""
        return self._exhausted() if self.attempts else self.unavailable(now)

    def broken(self, outcome: Outcome) -> Exhausted:
        """What the client of a stream is told that broke in this attempt and could not be carried on."""
        error = outcome.error
        assert error is not None
        others = [_previous(one) for one in self.attempts if one is not outcome and one.error and not one.beaten]
        return Exhausted(error, outcome.endpoint.provider.name, others)

    def unavailable(self, now: float) -> ApiError:
        """What the client is told when nobody could be asked, or only a last resort. `now` on the health's clock."""
        passing = [one for one in self.plan.excluded if one.reason in PASSING]
        if not passing and not self.plan.stages:
            return NoEndpoints(
                self._no_endpoints(),
                metadata={"error_type": "not_found", "excluded": [_why(one) for one in self.plan.excluded]},
            )
        metadata: dict[str, Any] = {"unavailable": [_why(one) for one in passing]}
        tried = [outcome for outcome in self.attempts if outcome.error is not None]
        if tried:
            metadata["previous_errors"] = [_previous(outcome) for outcome in tried]
        said = "".join(f" {outcome.endpoint.tag} was tried all the same: {outcome.error}." for outcome in tried)
        soonest = min((one.until or now for one in passing), default=now)
        return Busy(
            f"Every endpoint of {self._names()} is unavailable just now: {_reasons(passing)}.{said} Try again shortly.",
            retry_after=max(1.0, soonest - now),
            metadata=metadata,
        )

    def _names(self) -> str:
        return " or ".join(self.plan.models)

    def _no_endpoints(self) -> str:
        excluded = self.plan.excluded
        if not excluded:
            return f"{self._names()} has no endpoints in this gateway's configuration."
        only = self.plan.rules.only
        if only and all(one.reason in ("only", "provider_off") for one in excluded):
            serving = ", ".join(sorted({one.endpoint.tag for one in excluded}))
            return (
                f"No allowed providers are available for the selected model. Providers serving {self._names()}: "
                f"{serving}, but `provider.only` permits only {names_only(only)}."
            )
        return f"No endpoint of {self._names()} fits this request: {_reasons(excluded)}."

    def _exhausted(self) -> Exhausted:
        failed = [outcome for outcome in self.attempts if outcome.error is not None and not outcome.beaten]
        returned = [outcome for outcome in failed if outcome.error and outcome.error.remedy is Remedy.RETURN]
        # A passing fault says more of what to do than "retired" or "our key is bad" at another provider.
        passing = [outcome for outcome in failed if not isinstance(outcome.error, _LASTING)]
        last = (returned or passing or failed)[-1]
        assert last.error is not None
        return Exhausted(
            last.error,
            last.endpoint.provider.name,
            [_previous(outcome) for outcome in failed if outcome is not last],
            retry_after=_retry_after([outcome.error for outcome in failed if outcome.error is not None]),
        )


def _row(
    endpoint: Endpoint,
    selected: Endpoint | None,
    cost: float,
    chance: float,
    excluded_by: str | None,
    demoted_by: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "provider": endpoint.provider.name,
        "model": endpoint.model_id,
        "tag": endpoint.tag,
        "selected": endpoint is selected,
        "expected_cost": round(cost, 9),
        "chance": round(chance, 6),
        "excluded_by": excluded_by,
        "demoted_by": demoted_by,
    }


_LASTING = (ModelUnavailable, BadCredentials, OutOfQuota, ContextExceeded)


def _retry_after(errors: Sequence[ProviderError]) -> float | None:
    """The soonest time anyone named, where every attempt ended in a rate limit."""
    hints = [error.retry_after for error in errors if error.retry_after is not None]
    return min(hints) if hints and all(isinstance(error, RateLimited) for error in errors) else None


def _attempt(outcome: Outcome, received: float) -> dict[str, Any]:
    error = outcome.error
    return {
        "provider": outcome.endpoint.provider.name,
        "model": outcome.endpoint.model_id,
        "tag": outcome.endpoint.tag,
        "status": 200 if error is None else error.upstream_status or outcome.upstream_status or error.status,
        "result": outcome.label,
        "error": None if error is None else error.message,
        "started": round(outcome.started - received, 6),
        "duration": round(outcome.duration, 6),
        "first_token": None if outcome.first_token is None else round(outcome.first_token, 6),
        "hedged": outcome.hedged,
        "rescue": outcome.rescue,
    }


def _previous(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    assert error is not None
    return {
        "provider": outcome.endpoint.provider.name,
        "code": error.error_type,
        "status": error.upstream_status or error.status,
        "message": error.message,
    }


def _why(one: Excluded) -> dict[str, str]:
    return {"endpoint": one.endpoint.tag, "model": one.endpoint.model_id, "excluded_by": one.reason}


def _reasons(excluded: Sequence[Excluded]) -> str:
    return ", ".join(f"{one.endpoint.tag} ({_why_in_words(one)})" for one in excluded) or "none was admitted"


def _why_in_words(one: Excluded) -> str:
    if one.reason == "provider_off" and one.endpoint.provider.off:
        return f"off: {one.endpoint.provider.off}"
    return one.reason.replace("_", " ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
