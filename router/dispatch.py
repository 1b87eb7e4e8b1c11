"""Walking a plan: attempt after attempt until one answers, by what each failure says is to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from config.schema import Hedge as HedgeRules
from config.schema import Retries
from providers.client import Client
from providers.errors import ContextExceeded, ProviderError, Remedy
from router.attempt import Attempt, Job
from router.catalogue import Endpoint
from router.decision import Decision
from router.facts import Ticket
from router.health import Health
from router.hedge import Allowance, Race, Result, first_look, patience
from router.outcome import Outcome
from router.plan import Stage
from router.rescue.ways import Way
from router.retry import Sleep, once_more, worth_repeating
from router.watch import NEVER

Failures = list[tuple[Endpoint, ProviderError]]


class Started(msgspec.Struct, frozen=True, gc=False):
    """An attempt that answers, and the first bytes it has for the client."""

    attempt: Attempt
    first: bytes


@dataclass(slots=True, eq=False)
class Dispatcher:
    """Makes the attempts. Everything it needs is handed in; it keeps nothing between requests."""

    clients: Mapping[str, Client]
    """By provider slug."""
    health: Health
    retries: Retries
    sleep: Sleep
    hedge: HedgeRules
    allowance: Allowance
    """Shared by all requests of the process."""
    first_look: float = field(init=False)
    """Seconds after which an attempt that has not begun is looked at."""

    def __post_init__(self) -> None:
        self.first_look = first_look(self.hedge)


class Walk:
    """One request's way through its plan: which endpoints were tried, and which attempt is the next."""

    __slots__ = ("_made", "_race", "_room", "_running", "_tools", "_tried", "decision", "job")
    _running: Attempt
    """The one that was started last, rivals apart."""

    def __init__(self, dispatcher: Dispatcher, decision: Decision, job: Job) -> None:
        self._tools = dispatcher
        self.decision = decision
        self.job = job
        self._room = 0
        """Endpoints with no more context than this are passed over."""
        self._made = 0
        self._tried: set[Endpoint] = set()
        self._race: Race | None = None
        dispatcher.allowance.request(dispatcher.hedge.max_share)

    async def run(self) -> Started:
        """The first attempt that answers. Raises ApiError when none does."""
        plan = self.decision.plan
        for stage in plan.stages:
            started = await self._through(stage)
            if started is not None:
                return started
            if not plan.rules.allow_fallbacks:
                break
        if not self._made:
            return await self._last_resort()
        raise self.decision.error(self._tools.health.now())

    async def _through(self, stage: Stage) -> Started | None:
        """Each endpoint of the stage in turn; then, before the model is left, the best of them once more."""
        failed: Failures = []
        for candidate in stage.candidates:
            endpoint = candidate.endpoint
            if endpoint in self._tried or endpoint.context_length <= self._room:
                continue
            if self._spent():
                break
            started = await self._try(endpoint, failed)
            if started is not None:
                return started
            if not self.decision.plan.rules.allow_fallbacks:
                break
        return await self._once_more([pair for pair in failed if pair[0].model_id in stage.models])

    def _eligible(self, stage: Stage) -> Iterator[Endpoint]:
        for candidate in stage.candidates:
            if self._spent():
                return
            if candidate.endpoint.context_length > self._room:
                yield candidate.endpoint

    def _spent(self) -> bool:
        return self._made >= self._tools.retries.max_attempts

    def remaining(self) -> Iterator[Endpoint]:
        """The rest of the plan: endpoints that were not tried yet, as long as attempts are left."""
        if self.decision.plan.rules.allow_fallbacks:
            for stage in self.decision.plan.stages:
                yield from (endpoint for endpoint in self._eligible(stage) if endpoint not in self._tried)

    def unfailed(self) -> Iterator[Endpoint]:
        """Endpoints of the plan that did not fail in this request, those that were merely beaten included."""
        if self.decision.plan.rules.allow_fallbacks:
            failed = {outcome.endpoint for outcome in self.decision.attempts if outcome.error and not outcome.beaten}
            for stage in self.decision.plan.stages:
                yield from (endpoint for endpoint in self._eligible(stage) if endpoint not in failed)

    def client(self, endpoint: Endpoint) -> Client:
        return self._tools.clients[endpoint.provider.slug]

    async def left_to_us(self, endpoint: Endpoint, *, insist: bool) -> bool:
        """Whether the other replicas leave an ejected endpoint to this one; to be asked right before `attempt`."""
        health = self._tools.health
        return not health.must_ask(endpoint) or await health.leave(endpoint, insist=insist)

    def attempt(
        self, endpoint: Endpoint, *, insist: bool = False, hedged: bool = False, way: Way | None = None
    ) -> Attempt | None:
        """An attempt, ready to be started; None where the endpoint may not be tried now, or no attempt is left."""
        ticket = None if self._spent() else self._tools.health.admit(endpoint, insist=insist)
        if ticket is None:
            return None
        self._made += 1
        self._tried.add(endpoint)
        return Attempt(self.job, ticket, self.client(endpoint), self._settled, hedged=hedged, way=way)

    def _settled(self, ticket: Ticket, outcome: Outcome) -> None:
        self.decision.attempts.append(outcome)
        self._tools.health.settle(ticket, outcome)

    async def _try(self, endpoint: Endpoint, failed: Failures, *, insist: bool = False) -> Started | None:
        """One attempt, and perhaps a rival; None where they failed and another may be made. Raises ApiError where
        none may."""
        if self._tools.health.must_ask(endpoint) and not await self.left_to_us(endpoint, insist=insist):
            return None
        attempt = self.attempt(endpoint, insist=insist)
        if attempt is None:
            return None
        result = await self._race_of(attempt)
        for loser, error in result.failed:
            if isinstance(error, ContextExceeded):
                self._room = max(self._room, _shown_room(loser.endpoint, error))
            failed.append((loser.endpoint, error))
        if result.winner is None:
            if any(error.remedy is Remedy.RETURN for _, error in result.failed):
                raise self.decision.error(self._tools.health.now())
            return None
        self.decision.selected = result.winner.endpoint
        return Started(result.winner, result.first)

    async def _race_of(self, attempt: Attempt) -> Result:
        """Until it, or the rival it gets where it is slow, has begun to answer, or all have failed."""
        self._running, self._race = attempt, None
        try:
            first = await attempt.start(self._slow, attempt.started + self._tools.first_look)
        except ProviderError as error:
            if self._race is not None:
                return await self._race.without_first(error)
            return Result(None, b"", [(attempt, error)])
        except BaseException:
            if self._race is not None:
                self._race.stop()
            raise
        finally:
            del self._running  # it knows us: together they would be garbage that only a collection finds
        return Result(attempt, first, [] if self._race is None else self._race.failed)

    def _slow(self) -> float:
        """The attempt that runs has not begun yet: a rival is started, or it is looked at again later."""
        attempt, tools = self._running, self._tools
        known = tools.health.beginnings(attempt.endpoint, stream=self.job.ask.stream)
        after = patience(tools.hedge, known, self.job.patience)
        if after is None:
            return NEVER
        if attempt.started + after > asyncio.get_running_loop().time():
            return attempt.started + after
        rival = self._rival()
        if rival is not None:
            self._race = Race(attempt, rival)
        return NEVER

    def _rival(self) -> Attempt | None:
        """An attempt to start beside one that is slow; None where nobody is left, or it would be one too many. It is
        never a probe: the answer is wanted soon."""
        health = self._tools.health
        for endpoint in self.remaining():
            sound = health.standing(endpoint).unavailable is None and not health.must_ask(endpoint)
            if sound and self._tools.allowance.take():
                return self.attempt(endpoint, hedged=True)
        return None

    async def _once_more(self, failed: Failures) -> Started | None:
        rules = self._tools.retries
        roomy = (pair for pair in failed if pair[0].context_length > self._room)
        best = next((pair for pair in roomy if worth_repeating(pair[1], rules)), None)
        if best is None or self._spent():
            return None
        endpoint, error = best
        return await once_more(error, rules, self._tools.sleep, lambda: self._try(endpoint, [], insist=True))

    async def _last_resort(self) -> Started:
        """Everyone is ejected, cooling or put aside: the best gets one try all the same, then it is 503."""
        plan = self.decision.plan
        left = [endpoint for stage in plan.stages for endpoint in self._eligible(stage)]
        for endpoint in left or plan.last_resorts:
            started = await self._try(endpoint, [], insist=True)
            if started is not None:
                return started
            if self._made or not plan.rules.allow_fallbacks:
                break
        now = self._tools.health.now()
        too_long = any(isinstance(outcome.error, ContextExceeded) for outcome in self.decision.attempts)
        raise self.decision.error(now) if too_long else self.decision.unavailable(now)


def _shown_room(endpoint: Endpoint, error: ContextExceeded) -> int:
    """Tokens the refuser showed to have: the limit it named, else less than it declares."""
    return error.context_limit or endpoint.context_length - 1
