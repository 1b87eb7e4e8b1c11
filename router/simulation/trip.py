"""One simulated request's way through its plan; mirrors router.dispatch, on a clock that is not waited for.

Endpoint after endpoint, the best of a model once more before the model is left, at most
`retries.max_attempts` calls. Caches, hedges, rescues, budgets and rate limits are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from config.preferences import Preferences
from config.schema import Settings
from providers.errors import ContextExceeded, FirstTokenTimeout, ProviderError, Remedy, ServerFault
from providers.splice import JsonObject
from providers.usage import Usage
from router.ask import Ask
from router.catalogue import Endpoint
from router.facts import Ticket
from router.health import Health
from router.learning import Learning
from router.outcome import Outcome
from router.plan import Context, Plan, Stage, make
from router.retry import worth_repeating
from router.simulation.behaviour import Behaviours
from router.simulation.report import Tally
from router.simulation.workload import Item
from router.tokens import Estimate

Pause = Generator[float, None, bool]
"""Yields the time it wants to go on at; ends with whether the request was answered."""

_NO_BODY = JsonObject(b"{}")
_PLAIN: frozenset[str] = frozenset()
_TOOLS = frozenset(("tools",))


@dataclass(frozen=True, slots=True)
class Scene:
    """What all requests of a simulation share. Seconds."""

    settings: Settings
    context: Context
    health: Health
    learning: Learning
    behaviours: Behaviours
    nature: Random
    """Decides what providers do."""
    tally: Tally
    clock: Callable[[], float]


class Trip:
    """Begins when it is made."""

    def __init__(self, scene: Scene, item: Item, provider: Preferences) -> None:
        self._scene = scene
        self._item = item
        self._began = scene.clock()
        self._attempts = 0
        self._room = 0
        self._ask = Ask(
            _NO_BODY,
            (item.model,),
            Estimate(item.prompt_tokens),
            max_tokens=item.max_tokens,
            parameters=_TOOLS if item.tools else _PLAIN,
            preferences=provider,
        )

    def go(self) -> Pause:
        """Raises UnknownModel."""
        plan = make(self._ask, self._scene.context)
        for stage in plan.stages:
            if (yield from self._through(stage, plan)):
                return True
            if not plan.rules.allow_fallbacks:
                break
        if not self._attempts and (yield from self._last_resort(plan)):
            return True
        self._scene.tally.failed(self._attempts)
        return False

    def _through(self, stage: Stage, plan: Plan) -> Pause:
        failed: list[tuple[Endpoint, ProviderError]] = []
        for candidate in stage.candidates:
            if (yield from self._try(candidate.endpoint, failed)):
                return True
            if not plan.rules.allow_fallbacks:
                break
        return (yield from self._once_more(failed))

    def _once_more(self, failed: list[tuple[Endpoint, ProviderError]]) -> Pause:
        rules = self._scene.settings.retries
        best = next((endpoint for endpoint, error in failed if worth_repeating(error, rules)), None)
        if best is None or self._attempts >= rules.max_attempts:
            return False
        yield self._scene.clock() + rules.backoff
        return (yield from self._try(best, [], insist=True))

    def _last_resort(self, plan: Plan) -> Pause:
        left = [candidate.endpoint for stage in plan.stages for candidate in stage.candidates]
        for endpoint in left or plan.last_resorts:
            if (yield from self._try(endpoint, [], insist=True)):
                return True
            if self._attempts or not plan.rules.allow_fallbacks:
                break
        return False

    def _try(self, endpoint: Endpoint, failed: list[tuple[Endpoint, ProviderError]], *, insist: bool = False) -> Pause:
        scene = self._scene
        if self._attempts >= scene.settings.retries.max_attempts or endpoint.context_length <= self._room:
            return False
        ticket = scene.health.admit(endpoint, insist=insist)
        if ticket is None:
            return False
        self._attempts += 1
        started = scene.clock()
        error, first_token, duration = self._happens(endpoint)
        yield started + duration
        outcome = self._settle(ticket, error, started, first_token)
        if error is None:
            waited = started - self._began
            scene.tally.answered(endpoint, outcome.cost, waited + first_token, waited + duration, self._attempts)
            return True
        if error.remedy is Remedy.MORE_ROOM:
            self._room = max(self._room, endpoint.context_length)
        failed.append((endpoint, error))
        return False

    def _happens(self, endpoint: Endpoint) -> tuple[ProviderError | None, float, float]:
        """What the provider does: how it fails, seconds to the first token, seconds in all."""
        scene, item = self._scene, self._item
        behaviour = scene.behaviours.of(endpoint)
        wait = behaviour.wait(scene.nature)
        if behaviour.fails(scene.clock(), scene.nature):
            return ServerFault("it failed, as supposed"), 0.0, behaviour.error_after
        if item.prompt_tokens + item.completion_tokens > endpoint.context_length:
            return ContextExceeded("it does not fit"), 0.0, behaviour.error_after
        patience = scene.settings.timeouts.first_token
        if wait > patience:
            return FirstTokenTimeout("it kept silent, as supposed"), 0.0, patience
        return None, wait, wait + item.completion_tokens / behaviour.tokens_per_second

    def _settle(self, ticket: Ticket, error: ProviderError | None, started: float, first_token: float) -> Outcome:
        scene, item = self._scene, self._item
        usage = Usage(item.prompt_tokens, item.completion_tokens) if error is None else None
        outcome = Outcome(
            generation="",
            endpoint=ticket.endpoint,
            started=started,
            duration=scene.clock() - started,
            error=error,
            stream=True,
            first_token=first_token if error is None else None,
            usage=usage,
            cost=Decimal(0) if usage is None else ticket.endpoint.rates.cost(usage),
            finish_reason="stop",
        )
        scene.health.settle(ticket, outcome)
        scene.learning.learn(self._ask.prompt, outcome)
        return outcome
