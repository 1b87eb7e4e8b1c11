"""Three simulated providers and the gateway in front of them, in one event loop."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import uvicorn

from config.load import BUNDLED, load
from config.schema import Endpoint, Model, Price, Settings
from providers.sandbox import Answer, Dialect, Sandbox, Slow
from router.app import Gateway
from router.catalogue import Endpoint as CatalogueEndpoint
from router.cli.scene.script import MODEL
from router.cli.serve import server_config
from router.facts import Tier

DIALECTS: tuple[Dialect, ...] = ("openrouter", "moonshot", "cometapi")
"""The providers, whose slugs are the same words."""
MODELS = (MODEL, "moonshotai/kimi-k2-thinking-turbo")
SEED = 3
"""The draw by price is random; the demo's begins the same way every time, the likeliest first."""

_PACE = {"openrouter": (0.35, 0.013), "moonshot": (0.25, 0.011), "cometapi": (0.50, 0.015)}
"""Seconds to the first token, and between tokens."""

_HEAD = """\
# What `turnout demo` serves: the bundled catalogue's offers of Kimi K2 Thinking, at providers that are simulated.
server: {{port: {port}, drain_seconds: 1}}
health: {{breaker_ejection: 1}}   # seconds; 5 by default. Shorter, so that you see a provider come back
"""


@dataclass(frozen=True, slots=True)
class Provider:
    """One simulated provider and its offer."""

    slug: str
    name: str
    box: Sandbox
    endpoint: CatalogueEndpoint
    price: Price

    def say(self, answer: Answer, pace: float) -> None:
        """Set what it answers, at a share of its lifelike pace."""
        first, between = _PACE[self.slug]
        self.box.answer(answer)
        self.box.always(Slow(first * pace, between * pace, of=answer))

    def cost(self, usage: Mapping[str, Any]) -> Decimal:
        """USD of a `usage` at this provider's prices."""
        cached = int(usage["prompt_tokens_details"]["cached_tokens"])
        read = self.price.prompt if self.price.cache_read is None else self.price.cache_read
        prompt = (int(usage["prompt_tokens"]) - cached) * self.price.prompt + cached * read
        return (prompt + int(usage["completion_tokens"]) * self.price.completion) / 1_000_000


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything that runs."""

    providers: tuple[Provider, ...]
    """The cheapest first."""
    gateway: Gateway
    file: Path
    """The configuration."""
    url: str

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def named(self, name: str) -> Provider:
        """The provider of that display name. Raises StopIteration."""
        return next(provider for provider in self.providers if provider.name == name)

    def uptime(self, provider: Provider) -> float | None:
        """Share of attempts that succeeded, 0 to 1; None without any."""
        return self.gateway.health.ratio(provider.endpoint, 1800)

    def tier(self, provider: Provider) -> str:
        """`on`, or by how much its uptime sends it back: `degraded`, `down`."""
        tier = self.gateway.health.standing(provider.endpoint).tier
        return "on" if tier is Tier.NORMAL else tier.name.lower()

    def say(self, answer: Answer, pace: float = 1.0) -> None:
        """Set what every provider answers, and how much of its lifelike pauses it makes."""
        for provider in self.providers:
            provider.say(answer, pace)

    def forget(self) -> None:
        """Drop the providers' records of requests."""
        for provider in self.providers:
            provider.box.requests.clear()


def configuration(port: int, base_urls: Mapping[str, str]) -> str:
    """The YAML, from the bundled catalogue. One offer a line, in YAML's flow style."""
    bundled = load(BUNDLED, {}).settings
    lines = [_HEAD.format(port=port), "providers:"]
    for slug, base_url in base_urls.items():
        lines += [f"  {slug}:", *_provider(bundled, slug, base_url)]
    lines += ["", "models:"]
    for model_id in MODELS:
        lines += [f"  {model_id}:", *_model(bundled.models[model_id], base_urls)]
    return "\n".join(lines) + "\n"


def _provider(bundled: Settings, slug: str, base_url: str) -> list[str]:
    config = bundled.providers[slug]
    policy = config.data_policy.model_dump()
    return [
        f"    name: {config.name}",
        f"    dialect: {config.dialect}",
        f"    base_url: {base_url}",
        f"    api_key_env: {config.api_key_env}",
        f"    data_policy: {json.dumps(policy)}",
    ]


def _model(model: Model, known: Mapping[str, str]) -> list[str]:
    facts = model.model_dump(mode="json", exclude_unset=True, exclude={"endpoints", "fallbacks"})
    lines = [f"    {name}: {json.dumps(value)}" for name, value in facts.items()]
    offers = [endpoint for endpoint in model.endpoints if endpoint.provider in known]
    return [*lines, "    endpoints:", *(f"      - {_offer(offer)}" for offer in offers)]


def _offer(endpoint: Endpoint) -> str:
    return json.dumps(endpoint.model_dump(mode="json", exclude_unset=True))


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to the command and can be waited for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.up.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def rig(listener: socket.socket, folder: Path) -> AsyncIterator[Rig]:
    """Serve on a bound socket while entered; the configuration is written into `folder`."""
    host, port = listener.getsockname()[:2]
    async with AsyncExitStack() as stack:
        boxes = {dialect: await stack.enter_async_context(Sandbox(dialect)) for dialect in DIALECTS}
        file = folder / "turnout.yaml"
        file.write_text(configuration(port, {slug: box.base_url for slug, box in boxes.items()}), encoding="utf-8")
        bundled = load(BUNDLED, {}).settings.providers
        keys = {str(bundled[slug].api_key_env): str(box.key) for slug, box in boxes.items()}
        gateway = Gateway(load(file, keys), Random(SEED))
        await stack.enter_async_context(_serving(gateway, listener))
        yield Rig(_providers(gateway, boxes), gateway, file, f"http://{host}:{port}")


def _providers(gateway: Gateway, boxes: Mapping[Dialect, Sandbox]) -> tuple[Provider, ...]:
    setup = gateway.core.setup
    offers = {endpoint.provider.slug: endpoint for endpoint in setup.catalogue.models[MODEL].endpoints}
    prices = {endpoint.provider: endpoint.price for endpoint in setup.settings.models[MODEL].endpoints}
    made = (Provider(slug, offers[slug].provider.name, box, offers[slug], prices[slug]) for slug, box in boxes.items())
    return tuple(sorted(made, key=lambda provider: provider.price.prompt + provider.price.completion))


@asynccontextmanager
async def _serving(gateway: Gateway, listener: socket.socket) -> AsyncIterator[None]:
    server = _Server(server_config(gateway, gateway.core.setup.settings.server))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([listener]), name="demo: gateway")
        await server.up.wait()
        try:
            yield
        finally:
            server.should_exit = True
