"""Stand-ins for the unit tests of the router: catalogues, scripted providers, a loop whose time is ours."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isclose
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from config.load import Loaded
from config.schema import Health as Thresholds
from config.schema import Hedge, Retries, Settings, Timeouts
from config.secrets import Off
from providers.client import Client
from providers.dialects.base import Call, Envelope, Tail, Usage
from providers.errors import Broken, EmptyAnswer, ProviderError, ServerFault
from providers.reasoning_memory import Thought
from providers.transport.base import Header, Take, pump
from router import catalogue
from router.ask import Ask, parse
from router.attempt import Job
from router.catalogue import Catalogue, Endpoint
from router.decision import Decision
from router.dispatch import Dispatcher, Started, Walk
from router.facts import Standing, Ticket
from router.health import Health
from router.hedge import Allowance
from router.offers import Offers
from router.outcome import Outcome
from router.plan import Context, Plan, make

T = TypeVar("T")
MODEL = "acme/one"


# --- catalogues and plans ---------------------------------------------------------------------------------


def offer(provider: str, price: float | str = 1, **fields: Any) -> dict[str, Any]:
    """An endpoint of the file, `price` in USD per million tokens of any kind."""
    return {"provider": provider, "model": "up", "price": {"prompt": str(price), "completion": str(price)}, **fields}


@dataclass(repr=False)
class World:
    """A catalogue with its preferences, and the health its endpoints are to have."""

    settings: Settings
    catalogue: Catalogue
    standings: dict[str, Standing] = field(default_factory=dict)
    """By tag."""

    def __repr__(self) -> str:
        models = {id_: [one.tag for one in model.endpoints] for id_, model in self.catalogue.models.items()}
        return f"World({models}, {self.standings}, {self.settings.preferences.default!r})"

    def endpoint(self, tag: str, model: str = MODEL) -> Endpoint:
        return next(one for one in self.catalogue.models[model].endpoints if one.tag == tag)

    def context(
        self,
        seed: int | Random = 1,
        allowed: Callable[[str], bool] = lambda model_id: True,
        standings: Callable[[Sequence[Endpoint]], Sequence[Standing]] | None = None,
    ) -> Context:
        return Context(
            Offers(self.catalogue, self.settings.preferences),
            standings or (lambda endpoints: [self.standings.get(one.tag, Standing()) for one in endpoints]),
            seed if isinstance(seed, Random) else Random(seed),
            allowed,
        )

    def plan(self, seed: int | Random = 1, allowed: Callable[[str], bool] = lambda model_id: True, **body: Any) -> Plan:
        return make(ask(**body), self.context(seed, allowed))


def world(
    *offers: dict[str, Any],
    models: Mapping[str, Mapping[str, Any]] | None = None,
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    off: Mapping[str, str] | None = None,
    preferences: Mapping[str, Any] | None = None,
    **model: Any,
) -> World:
    """MODEL with these offers, `model` its other fields; `models` beside it; `off`: providers that are, and why."""
    sections: dict[str, dict[str, Any]] = {MODEL: {"context_length": 100_000, **model, "endpoints": list(offers)}}
    sections.update({id_: {"context_length": 100_000, **fields} for id_, fields in (models or {}).items()})
    slugs = {one["provider"] for section in sections.values() for one in section["endpoints"]}
    settings = Settings.model_validate(
        {
            "providers": {
                slug: {
                    "name": slug.title(),
                    "dialect": "openai",
                    "base_url": "http://127.0.0.1:1/v1",
                    "auth": "none",
                    **(providers or {}).get(slug, {}),
                }
                for slug in sorted(slugs)
            },
            "models": sections,
            "preferences": preferences or {},
        }
    )
    keys = {slug: Off(off[slug]) if off and slug in off else None for slug in slugs}
    loaded = Loaded(settings, Path("turnout.yaml"), keys, {}, None, None)
    return World(settings, catalogue.build(loaded))


def ask(**body: Any) -> Ask:
    """A parsed request: MODEL and one short message, but for what is given."""
    whole = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **body}
    return _parsed(msgspec.json.encode({key: value for key, value in whole.items() if value is not None}))


@lru_cache
def _parsed(data: bytes) -> Ask:
    return parse(data, {})


def tags(plan: Plan) -> list[str]:
    """Every candidate in order."""
    return [candidate.endpoint.tag for stage in plan.stages for candidate in stage.candidates]


def reasons(plan: Plan) -> dict[str, str]:
    return {one.endpoint.tag: one.reason for one in plan.excluded}


def first_chances(plan: Plan) -> dict[Endpoint, float]:
    """Each endpoint's chance of being tried first, those of the first batch only."""
    if not plan.stages:
        return {}
    batch, shares = next(iter(plan.stages[0].batches()))
    assert all(isclose(one.chance, share) for one, share in zip(batch, shares, strict=True)), "as before the draw"
    return {one.endpoint: share for one, share in zip(batch, shares, strict=True)}


def demotions(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {one.endpoint.tag: one.demoted_by for stage in plan.stages for one in stage.candidates if one.demoted_by}


# --- providers --------------------------------------------------------------------------------------------

Step = bytes | Exception | float
"""Of a response's body: a piece, what reading raises, or seconds of silence."""


class FakeResponse:
    """A body by script. `b""` is its end; after the last step it is silent for ever."""

    def __init__(self, status: int = 200, steps: Sequence[Step] = (), headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.closed = 0
        self.aborted: list[Exception] = []
        self._steps = list(steps)
        self._gone = asyncio.Event()

    async def read(self) -> bytes:
        while True:
            if self.aborted:
                raise self.aborted[0]
            step = self._steps.pop(0) if self._steps else 1e9
            if isinstance(step, Exception):
                raise step
            if isinstance(step, bytes):
                return step
            try:
                async with asyncio.timeout(step):
                    await self._gone.wait()
            except TimeoutError:
                continue

    async def pump(self, take: Take) -> bool:
        return await pump(self, take)

    def close(self) -> None:
        self.closed += 1

    def abort(self, error: Exception) -> None:
        self.aborted.append(error)
        self._gone.set()


Script = Callable[[], "FakeResponse | Exception | Coroutine[Any, Any, FakeResponse]"]


class FakeTransport:
    """Answers each call by `script`; counts calls, and how many were open at once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[bytes] = []
        self.open_connections = 0

    @property
    def calls(self) -> int:
        return len(self.bodies)

    async def open(self, path: bytes, headers: Sequence[Header], body: bytes) -> FakeResponse:
        self.bodies.append(body)
        answer = self.script()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, FakeResponse) else await answer

    async def aclose(self) -> None: ...


class FakeReader:
    """A stream in a language of one byte: `c` content, `p` keep-alive comment, `r` role, `!` error, `.` done."""

    def __init__(self) -> None:
        self.events = 0
        self.started = False
        self.ended = False
        self.error: ProviderError | None = None
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.produced = 0
        self.thoughts: tuple[Thought, ...] = ()
        self.malformed: bool | None = None

    def feed(self, data: bytes) -> bytes:
        out = b""
        for letter in data.decode():
            self.events += letter != "p"
            if letter == "c":
                out += b"c"
                self.started = True
                self.produced += 4
            elif letter == "!":
                self.ended, self.error = True, ServerFault("an error in the stream")
            elif letter == ".":
                self.ended, self.finish_reason, self.usage = True, "stop", Usage(prompt=10, completion=5)
        return out

    def eof(self) -> bytes:
        if not self.ended:
            self.ended = True
            self.error = Broken("it ended too soon") if self.started else EmptyAnswer("nothing in it")
        return b""

    def finish(self, tail: Tail) -> bytes:
        return b"<finish>"

    def fail(self, error: ProviderError, status: int, metadata: Mapping[str, object], tail: Tail) -> bytes:
        return b"<fail>"


@dataclass
class FakeWhole:
    data: bytes
    usage: Usage | None = field(default_factory=lambda: Usage(prompt=10, completion=5))
    finish_reason: str | None = "stop"
    produced: int = 20
    thoughts: tuple[Thought, ...] = ()
    malformed: bool | None = None

    def render(self, tail: Tail) -> bytes:
        return self.data


class FakeDialect:
    """Sends the upstream's model id; reads FakeReader's language; takes any other status for a ServerFault."""

    name = "fake"

    def encode(self, call: Call) -> bytes:
        return call.model.encode()

    def forwards(self) -> frozenset[str]:
        return frozenset()

    def whole(self, data: bytes, envelope: Envelope) -> FakeWhole:
        if not data:
            raise EmptyAnswer("nothing in it")
        return FakeWhole(data)

    def stream(self, envelope: Envelope) -> FakeReader:
        return FakeReader()

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return ServerFault(f"status {status}", upstream_status=status, raw=body.decode())


def client(slug: str, script: Script) -> Client:
    return Client(slug, FakeDialect(), FakeTransport(script))


def good() -> FakeResponse:
    return FakeResponse(steps=[b"rc", b"c.", b""])


class Reader:
    """A stream's client: what it holds. After `most` pieces it reads no more."""

    def __init__(self, most: float = float("inf")) -> None:
        self.held = b""
        self._left = most

    def push(self, events: bytes) -> bool:
        self.held += events
        self._left -= 1
        return self._left > 0

    async def drained(self) -> None:
        if self._left <= 0:
            await asyncio.Event().wait()


# --- one gateway's core -----------------------------------------------------------------------------------


class Rig:
    """A dispatcher over scripted providers, with its health, on the running loop's clock."""

    def __init__(
        self,
        world_: World,
        scripts: Mapping[str, Script],
        *,
        retries: Retries | None = None,
        thresholds: Thresholds | None = None,
        timeouts: Timeouts | None = None,
        hedge: Hedge | None = None,
        seed: int = 1,
    ) -> None:
        self.world = world_
        self.hedge = hedge or Hedge(after="off")
        self.allowance = Allowance()
        self.loop = asyncio.get_running_loop()
        self.outcomes: list[Outcome] = []
        self.health = Noted(thresholds or Thresholds(), self.loop.time, self.outcomes)
        self.clients = {slug: client(slug, scripts.get(slug, good)) for slug in world_.catalogue.providers}
        self.retries = retries or Retries()
        self.timeouts = timeouts or Timeouts()
        self.slept: list[float] = []
        self._rng = Random(seed)

    def transport(self, slug: str) -> FakeTransport:
        transport = self.clients[slug].transport
        assert isinstance(transport, FakeTransport)
        return transport

    def calls(self, slug: str) -> int:
        return self.transport(slug).calls

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(seconds)

    def decide(self, **body: Any) -> Decision:
        asked = ask(**{"stream": True, **body})
        return Decision(asked, make(asked, self.world.context(self._rng, standings=self.health.standings)))

    def job(self, asked: Ask) -> Job:
        return Job(asked, "gen-1", 0, {}, self.timeouts, self.loop.time() + self.timeouts.total)

    async def dispatch(self, decision: Decision) -> Started:
        dispatcher = Dispatcher(self.clients, self.health, self.retries, self.sleep, self.hedge, self.allowance)
        return await Walk(dispatcher, decision, self.job(decision.ask)).run()

    async def send(self, **body: Any) -> str:
        """One request, served to its end; the tag of who served it. Raises ApiError."""
        decision = self.decide(**body)
        started = await self.dispatch(decision)
        if decision.ask.stream:
            while await started.attempt.next():
                pass
        return started.attempt.endpoint.tag


class Noted(Health):
    """Health that keeps every outcome."""

    def __init__(self, thresholds: Thresholds, clock: Callable[[], float], outcomes: list[Outcome]) -> None:
        super().__init__(thresholds, clock)
        self._outcomes = outcomes

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        super().settle(ticket, outcome)
        self._outcomes.append(outcome)


# --- time -------------------------------------------------------------------------------------------------


class _Jump(selectors.DefaultSelector):
    """Instead of waiting, time jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever happen: the test waits for something that no timer brings")
        self.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a loop that never waits: timers fire in their order, and the clock shows their times."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
