"""Walking a plan: attempt after attempt until one answers, by what each failure says is to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from config.schema import Retries
from providers.client import Client
from providers.errors import ContextExceeded, ProviderError, Remedy
from router.attempt import Attempt, Job
from router.catalogue import Endpoint
from router.decision import Decision
from router.health import Health, Ticket
from router.outcome import Outcome
from router.plan import Stage
from router.policy import Candidate
from router.retry import Sleep, once_more, worth_repeating


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt that answers, and the first bytes it has for the client."""

    attempt: Attempt
    first: bytes


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Makes the attempts. Everything it needs is handed in; it keeps nothing between requests."""

    clients: Mapping[str, Client]
    """By provider slug."""
    health: Health
    retries: Retries
    sleep: Sleep
    settled: Callable[[Ticket, Outcome], None]
    """Told of each outcome, once."""

    async def dispatch(self, decision: Decision, job: Job) -> Started:
        """The first attempt that answers. Raises ApiError when none does."""
        return await _Walk(self, decision, job).run()


class _Walk:
    """One request's way through its plan."""

    def __init__(self, dispatcher: Dispatcher, decision: Decision, job: Job) -> None:
        self._tools = dispatcher
        self._decision = decision
        self._job = job
        self._room = 0
        """Endpoints with no more context than this are passed over."""

    async def run(self) -> Started:
        plan = self._decision.plan
        for stage in plan.stages:
            started = await self._through(stage)
            if started is not None:
                return started
            if not plan.rules.allow_fallbacks:
                break
        if not self._decision.attempts:
            return await self._last_resort()
        raise self._decision.error(self._tools.health.now())

    async def _through(self, stage: Stage) -> Started | None:
        """Each endpoint of the stage in turn; then, before the model is left, the best of them once more."""
        failed: list[tuple[Endpoint, ProviderError]] = []
        for candidate in self._eligible(stage):
            started = await self._try(candidate.endpoint, failed)
            if started is not None:
                return started
            if not self._decision.plan.rules.allow_fallbacks:
                break
        return await self._once_more(failed)

    def _eligible(self, stage: Stage) -> Iterator[Candidate]:
        for candidate in stage.candidates:
            if self._spent():
                return
            if candidate.endpoint.context_length > self._room:
                yield candidate

    def _spent(self) -> bool:
        return len(self._decision.attempts) >= self._tools.retries.max_attempts

    async def _try(
        self, endpoint: Endpoint, failed: list[tuple[Endpoint, ProviderError]], *, insist: bool = False
    ) -> Started | None:
        """One attempt; None where it failed and another may be made. Raises ApiError where none may."""
        health = self._tools.health
        ticket = health.admit(endpoint, insist=insist) if insist or await health.leave(endpoint) else None
        if ticket is None:
            return None
        try:
            return await self._attempt(ticket)
        except ProviderError as error:
            if error.remedy is Remedy.RETURN:
                raise self._decision.error(self._tools.health.now()) from None
            if isinstance(error, ContextExceeded):
                self._room = max(self._room, _shown_room(endpoint, error))
            failed.append((endpoint, error))
            return None

    async def _attempt(self, ticket: Ticket) -> Started:
        tools, decision = self._tools, self._decision
        endpoint = ticket.endpoint
        client = tools.clients[endpoint.provider.slug]
        attempt = Attempt(self._job, ticket, client, tools.settled)
        try:
            first = await attempt.start()
        except BaseException:
            assert attempt.outcome is not None
            decision.attempts.append(attempt.outcome)
            raise
        decision.selected = endpoint
        return Started(attempt, first)

    async def _once_more(self, failed: list[tuple[Endpoint, ProviderError]]) -> Started | None:
        rules = self._tools.retries
        roomy = (pair for pair in failed if pair[0].context_length > self._room)
        best = next((pair for pair in roomy if worth_repeating(pair[1], rules)), None)
        if best is None or self._spent():
            return None
        endpoint, error = best
        return await once_more(error, rules, self._tools.sleep, lambda: self._try(endpoint, [], insist=True))

    async def _last_resort(self) -> Started:
        """Everyone is ejected, cooling or put aside: the best gets one try all the same, then it is 503."""
        plan = self._decision.plan
        left = [candidate.endpoint for stage in plan.stages for candidate in self._eligible(stage)]
        for endpoint in left or plan.last_resorts:
            started = await self._try(endpoint, [], insist=True)
            if started is not None:
                return started
            if self._decision.attempts or not plan.rules.allow_fallbacks:
                break
        now = self._tools.health.now()
        too_long = any(isinstance(outcome.error, ContextExceeded) for outcome in self._decision.attempts)
        raise self._decision.error(now) if too_long else self._decision.unavailable(now)


def _shown_room(endpoint: Endpoint, error: ContextExceeded) -> int:
    """Tokens the refuser showed to have: the limit it named, else less than it declares."""
    return error.context_limit or endpoint.context_length - 1
