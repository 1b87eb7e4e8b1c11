"""The router's front door: an ask goes in, an answer (whole or streamed) comes out."""

from __future__ import annotations

import asyncio
import os
import string
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from random import Random

import msgspec

from config.schema import Health as Thresholds
from config.schema import Settings
from providers.client import Client
from router.answer import CLIENT_LEFT, Answer
from router.ask import Ask
from router.attempt import Job
from router.budget import Budget
from router.catalogue import Catalogue
from router.decision import Decision
from router.dispatch import Dispatcher, Walk
from router.errors import ApiError, Busy
from router.health import Health
from router.hedge import Allowance
from router.learned import Learned, nothing
from router.offers import Offers
from router.plan import Context, Plan, make
from router.policy import STRATEGIES
from router.recall import Memory, Recalled
from router.request import ANYONE, Caller, Request
from router.rescue.rescue import insurance
from router.retry import Sleep
from router.served import Observer, Served
from router.state.values import Grant
from router.sticky import Stickiness, Stuck

_ALPHABET = (string.ascii_letters + string.digits).encode()
_SPELLED = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
"""From a random byte to a character; that some are a little likelier costs an id a fraction of a bit."""


def new_generation() -> str:
    """`gen-<unix seconds>-<20 random characters>`, as OpenRouter's look."""
    return f"gen-{int(time.time())}-{os.urandom(20).translate(_SPELLED).decode()}"


@dataclass(slots=True, eq=False)
class Setup:
    """One configuration, ready to serve. Replaced whole on a reload; a request keeps the one it began with."""

    settings: Settings
    catalogue: Catalogue
    clients: Mapping[str, Client]
    """By provider slug; only those that are on."""
    offers: Offers = field(init=False, repr=False)
    dispatcher: Dispatcher | None = field(default=None, repr=False)
    """Made for its first request."""
    users: int = 0
    """Requests that are served by it."""

    def __post_init__(self) -> None:
        self.offers = Offers(self.catalogue, self.settings.preferences)


class Core:
    """Plans and serves requests on the setup in force."""

    def __init__(
        self,
        setup: Setup,
        health: Health,
        observers: Sequence[Observer],
        budget: Budget,
        stickiness: Stickiness,
        memory: Memory,
        rng: Random,
        sleep: Sleep = asyncio.sleep,
        learned: Callable[[str], Learned] = nothing,
    ) -> None:
        self.setup = setup
        self.health = health
        self._underway: set[Underway] = set()
        self.on_unused: Callable[[Setup], None] = lambda setup: None
        """Told of a setup that was replaced once its last request is done."""
        self._observers = observers
        self._budget = budget
        self._stickiness = stickiness
        self._memory = memory
        self._rng = rng
        self._sleep = sleep
        self._hedges = Allowance()
        self._learned = learned

    def plan(self, ask: Ask, caller: Caller = ANYONE, stuck: Stuck | None = None) -> Plan:
        """What would be tried, in order. Raises UnknownModel."""
        setup = self.setup
        context = Context(
            setup.offers,
            self.health.standings,
            self._rng,
            caller.may_use,
            stuck.endpoint if stuck else None,
            stuck.cached if stuck else 0,
            self._learned,
            STRATEGIES[setup.settings.routing.strategy],
        )
        return make(ask, context)

    @property
    def in_flight(self) -> int:
        """Requests that were entered and have not left."""
        return len(self._underway)

    def enter(self) -> Underway:
        """Count a request in. Raises Busy where there is too much already; else `leave` is owed."""
        if len(self._underway) >= self.setup.settings.server.max_in_flight:
            raise Busy("The gateway is serving as many requests as it may. Try again shortly.", retry_after=1.0)
        underway = Underway()
        self._underway.add(underway)
        return underway

    def leave(self, underway: Underway) -> None:
        self._underway.discard(underway)

    def replace(self, setup: Setup, thresholds: Thresholds) -> None:
        """Serve from now on by another setup; requests under way keep theirs."""
        old, self.setup = self.setup, setup
        self.health.thresholds = thresholds
        if old.users == 0:
            self.on_unused(old)

    def interrupt_all(self) -> None:
        """End every request that is still under way: streams with an error in them, the others with a 503."""
        for underway in list(self._underway):
            underway.interrupt()

    async def complete(self, ask: Ask, request: Request) -> Answer:
        """Begin to answer. Raises ApiError; cancel it freely."""
        setup = self.setup
        stuck = self._stickiness.find(ask, request)
        recalled = self._memory.recall(ask, request)
        decision = self._decided(ask, request, stuck)
        known = Known(stuck, recalled, decision, None)
        setup.users += 1
        if request.caller.limits is not None or stuck.asked is not None or recalled.asked is not None:
            known = await self._told(known, ask, request, setup)
        trip = self._trip(known, ask, request, setup)
        try:
            started = await trip.walk.run()
        except ApiError as error:
            if request.metadata:
                error.openrouter_metadata = trip.decision.metadata()
            self._done(trip, error.status)
            raise
        except BaseException:
            self._done(trip, CLIENT_LEFT)
            raise
        rescue = insurance(trip.walk, setup.settings.rescue)
        return Answer(started, trip.decision, request, rescue, partial(self._done, trip))

    async def _told(self, known: Known, ask: Ask, request: Request, setup: Setup) -> Known:
        """The same with what the store says of it: it has been asked already, so all of it is one round trip. What is
        reserved is therefore not by a stickiness that only other replicas know of.

        Raises ApiError where the caller's limits do not allow the request; then nothing is owed.
        """
        stuck, recalled, decision = known.stuck, known.recalled, known.decision
        grant: Grant | None = None
        try:
            grant = await self._budget.admit(request, decision.expected_cost, setup.settings.timeouts.total)
            if recalled.asked is not None:
                recalled = await self._memory.told(recalled)
            if stuck.asked is not None:
                stuck = await self._stickiness.told(stuck)
                if stuck.endpoint is not None and setup is self.setup:
                    decision = self._decided(ask, request, stuck)
        except BaseException:
            self._budget.settle(grant, Decimal(0))
            self._let_go(setup)
            raise
        return Known(stuck, recalled, decision, grant)

    def _trip(self, known: Known, ask: Ask, request: Request, setup: Setup) -> Trip:
        timeouts = setup.settings.timeouts
        job = Job(
            ask=ask,
            generation=request.generation,
            created=int(time.time()),
            client_headers=request.headers,
            timeouts=timeouts,
            deadline=request.received + timeouts.total,
            recalled=known.recalled,
        )
        walk = Walk(self._dispatcher(setup), known.decision, job)
        return Trip(setup, request, known.decision, walk, known.stuck, known.grant)

    def _dispatcher(self, setup: Setup) -> Dispatcher:
        if setup.dispatcher is None:
            rules = setup.settings
            setup.dispatcher = Dispatcher(
                setup.clients, self.health, rules.retries, self._sleep, rules.hedge, self._hedges
            )
        return setup.dispatcher

    def _decided(self, ask: Ask, request: Request, stuck: Stuck) -> Decision:
        return Decision(ask, self.plan(ask, request.caller, stuck), received=request.received)

    def _let_go(self, setup: Setup) -> None:
        setup.users -= 1
        if setup.users == 0 and setup is not self.setup:
            self.on_unused(setup)

    def _done(self, trip: Trip, status: int) -> None:
        """The one end of every request that was begun."""
        duration = self.health.now() - trip.request.received
        served = Served(trip.request, trip.decision, status, duration, trip.grant)
        self._budget.settle(trip.grant, served.cost)
        if served.attempts:
            self._stickiness.remember(trip.decision.ask, trip.stuck, served.attempts[-1])
        for observer in self._observers:
            observer.served(served)
        self._let_go(trip.setup)


class Known(msgspec.Struct, frozen=True, gc=False):
    """What there is to a request before its first attempt."""

    stuck: Stuck
    recalled: Recalled
    decision: Decision
    grant: Grant | None


class Trip(msgspec.Struct, frozen=True, gc=False):
    """One request from its plan to its end."""

    setup: Setup
    request: Request
    decision: Decision
    walk: Walk
    stuck: Stuck
    grant: Grant | None


class Underway:
    """A request from its arrival to its end, so that a shutdown can end it in good order."""

    __slots__ = ("answer", "interrupted", "task")

    def __init__(self) -> None:
        self.interrupted = False
        self.task: asyncio.Task[object] | None = None
        """Set once the request is read."""
        self.answer: Answer | None = None
        """Set once the client has been promised a stream."""

    def interrupt(self) -> None:
        self.interrupted = True
        if self.answer is not None:
            self.answer.interrupt()
        elif self.task is not None:
            self.task.cancel()
