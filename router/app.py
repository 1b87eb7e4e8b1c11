"""The composition root: the only place that names concrete transports and observers."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from config.load import Loaded
from config.schema import ClientKey
from config.schema import Provider as ProviderConfig
from config.secrets import Secret, certificate_files
from providers import tasks
from providers.client import Client, standard_headers
from providers.dialects import REGISTRY as DIALECTS
from providers.transport.base import Limits, Transport
from providers.transport.lean import LeanTransport
from router import catalogue, traces
from router.accounts import Accounts
from router.auth import Auth, Keys, Open, caller_of
from router.budget import Budget
from router.core import Core, Setup
from router.dashboard.figures import Figures
from router.dashboard.keys import KeyBook
from router.dashboard.site import Site
from router.dashboard.view import Sources
from router.digest import digest
from router.edge.accounts import AccountRoutes
from router.edge.asgi import Message, Receive, Scope, Send
from router.edge.chat import Chat
from router.edge.dashboard import DashboardRoutes, Gate
from router.edge.routes import Edge
from router.fleet import Fleet
from router.health import Health
from router.learning import Learning
from router.ledger import Recorder
from router.metrics import Metrics
from router.recall import Memory
from router.reload import Reloader, signature
from router.retention import keep
from router.served import Observer
from router.siblings import Siblings
from router.state import connect
from router.state.base import Store
from router.state.values import KeyRecord, StateError
from router.state.writer import LedgerWriter
from router.sticky import Stickiness

log = logging.getLogger("turnout")


def release() -> str:
    """This package's version."""
    try:
        return version("turnout")
    except PackageNotFoundError:
        return "0"


class Gateway:
    """Everything that serves, wired together. An ASGI application; also usable in process."""

    def __init__(
        self, loaded: Loaded, rng: random.Random | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        settings = loaded.settings
        self.draining = False
        self.health = Health(settings.health, time.monotonic)  # what every loop goes by
        password = loaded.state_password
        self.store: Store = connect(settings.state, password.reveal() if password else None)
        self.writer = LedgerWriter(self.store.ledger)
        self.failure: StateError | None = None
        """Why it could not start."""
        self.siblings: Siblings | None = None
        """The other workers, where there are some."""
        learning = Learning()
        memory = Memory(self.store.reasoning)
        observers: list[Observer] = [learning, memory]
        self._upstreams = Upstreams()
        self._setups: list[Setup] = []
        """The one in force, and those that requests still use."""
        self.core = Core(
            self._setup(loaded),
            self.health,
            observers,
            Budget(self.store.spend),
            Stickiness(self.store.sticky),
            memory,
            rng or random.Random(),
            learned=learning.of,
        )
        self.metrics = Metrics(self.health, lambda: self.core.in_flight, self.store.status)
        self.recorder = Recorder(self.writer)
        observers += [self.metrics, self.recorder]
        self._traces = traces.from_environment(release(), self._base_url)
        if self._traces is not None:
            observers.append(self._traces)
        self.observers = observers
        """Whoever wants to know of requests; more may be added."""
        self.reloader = Reloader(loaded, self._apply, lambda result: self.metrics.reloads.labels(result).inc(), environ)
        self._fleet = Fleet(self.health, self.store.exchange)
        self._running: list[asyncio.Task[None]] = []
        self.core.on_unused = self._retire
        self._auth = auth(loaded, self.store)
        self._gate = gate(loaded)
        self._static = static_keys(loaded)
        chat = Chat(self.core, lambda: self._auth)
        accounts = Accounts(self.store, self.writer, lambda: self._static, lambda: self.core.setup.catalogue)
        routes = AccountRoutes(accounts, lambda: self._auth)
        self._site = Site(self._sources())
        dashboard = DashboardRoutes(self._site, lambda: self._gate)
        self._edge = Edge(self.core, chat, routes, self.exposition, self.readiness, dashboard.routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._edge(scope, receive, send)

    def _sources(self) -> Sources:
        """What the dashboard shows."""
        return Sources(
            Figures(self.store.ledger, self.writer),
            lambda: self.core.setup.catalogue,
            self.health,
            KeyBook(self.store, lambda: self._static),
            self.store.status,
            lambda: self.core.in_flight,
        )

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Whether to send traffic here, and why not."""
        setup_ = self.core.setup
        off = {slug: provider.off for slug, provider in setup_.catalogue.providers.items() if provider.off}
        state = self.store.status()
        status = "draining" if self.draining else "ready" if state.ok else "degraded"
        return not self.draining, {
            "status": status,
            "state": "ok" if state.ok else state.reason,
            "providers_on": len(setup_.clients),
            "providers_off": off,
            "models": len(setup_.catalogue.models),
        }

    async def exposition(self) -> bytes:
        """The metrics of this process, or of all workers where it is one of several."""
        return self.render() if self.siblings is None else await self.siblings.exposition()

    def render(self) -> bytes:
        """The metrics of this process."""
        return self.metrics.render(self.core.setup.catalogue)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send(await self._start())
            elif message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self) -> Message:
        try:
            await self.store.open()
            await self.writer.start(required=self.core.setup.settings.state.required)
            if self.siblings is not None:
                await self.siblings.start()
        except StateError as error:
            self.failure = error
            return {"type": "lifespan.startup.failed", "message": str(error)}
        self._running = [
            tasks.spawn(self.reloader.watch(), "configuration watch"),
            tasks.spawn(self._fleet.run(), "exchange with other replicas"),
            tasks.spawn(keep(self.store.ledger, self._retention), "retention of the ledger"),
            tasks.spawn(self._site.prepare(), "compiling the dashboard"),
        ]
        return {"type": "lifespan.startup.complete"}

    def _base_url(self, slug: str) -> str:
        """Where a provider is; "" for one that a reload took away."""
        provider = self.core.setup.settings.providers.get(slug)
        return provider.base_url if provider is not None else ""

    def _retention(self) -> float:
        return self.core.setup.settings.state.retention_days

    def _apply(self, loaded: Loaded) -> None:
        """Swap to a new configuration between two requests."""
        before = self.core.setup.settings.server
        after = loaded.settings.server
        if (before.host, before.port, before.workers) != (after.host, after.port, after.workers):
            log.warning("server.host, port and workers are taken up at the next start, not by a reload")
        self._auth = auth(loaded, self.store)
        self._gate = gate(loaded)
        self._static = static_keys(loaded)
        self.core.replace(self._setup(loaded), loaded.settings.health)

    def _setup(self, loaded: Loaded) -> Setup:
        setup = Setup(loaded.settings, catalogue.build(loaded), self._upstreams.clients(loaded))
        self._setups.append(setup)
        return setup

    def _retire(self, old: Setup) -> None:
        """Close the connections that only a replaced configuration used."""
        self._setups.remove(old)
        kept = {id(client) for setup in self._setups for client in setup.clients.values()}
        for client in old.clients.values():
            if id(client) not in kept:
                tasks.spawn(client.transport.aclose(), f"closing {client.slug}")

    async def aclose(self) -> None:
        """Close every upstream connection and wait for every task."""
        for task in self._running:
            task.cancel()
        for client in [client for setup in self._setups for client in setup.clients.values()]:
            await client.transport.aclose()
        if self.siblings is not None:
            await self.siblings.aclose()
        await self.writer.aclose()
        await self.store.aclose()
        if self._traces is not None:
            await self._traces.aclose()
        await tasks.drain()


class Upstreams:
    """The clients of every provider. One that a reload leaves as it was keeps its connections."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[object, Client]] = {}

    def clients(self, loaded: Loaded) -> dict[str, Client]:
        """By slug, those of the providers that are on."""
        on = {slug: provider for slug, provider in loaded.settings.providers.items() if slug not in loaded.off}
        self._made = {slug: self._client(slug, provider, loaded) for slug, provider in on.items()}
        return {slug: client for slug, (_, client) in self._made.items()}

    def _client(self, slug: str, provider: ProviderConfig, loaded: Loaded) -> tuple[object, Client]:
        key, connect = loaded.provider_keys[slug], loaded.settings.timeouts.connect
        certificates = signature(tuple(map(Path, certificate_files(provider))))
        made_of = (provider, key, connect, certificates)
        known = self._made.get(slug)
        if known is not None and known[0] == made_of:
            return known
        secret = key.reveal() if isinstance(key, Secret) else None
        return made_of, Client(
            slug=slug,
            dialect=DIALECTS[provider.profile or provider.dialect],
            transport=TRANSPORTS[provider.transport](provider, Limits(connect_timeout=connect)),
            headers=standard_headers(secret, provider.headers, release()),
        )


def _lean(provider: ProviderConfig, limits: Limits) -> Transport:
    context = None
    if provider.ca_file is not None:
        context = ssl.create_default_context(cafile=provider.ca_file)
        context.set_alpn_protocols(["http/1.1"])
    return LeanTransport(provider.base_url, limits, context)


def _httpx(provider: ProviderConfig, limits: Limits) -> Transport:
    # Its packages take a fifth of a second to import, and hardly any configuration needs them.
    from providers.transport.beyond import beyond_lean

    options = provider.httpx
    if options is None:
        return beyond_lean(provider.base_url, limits, ca_file=provider.ca_file)
    return beyond_lean(
        provider.base_url,
        limits,
        proxy=options.proxy,
        http2=options.http2,
        cert_file=options.cert_file,
        key_file=options.key_file,
        ca_file=options.ca_file or provider.ca_file,
    )


TRANSPORTS: dict[str, Callable[[ProviderConfig, Limits], Transport]] = {"lean": _lean, "httpx": _httpx}
"""By the name `transport:` gives it."""


def auth(loaded: Loaded, store: Store) -> Auth:
    """Who may call, by `auth:`."""
    admin = gate(loaded).admin
    if loaded.settings.auth.mode == "open":
        return Open(admin)
    return Keys({record.hash: caller_of(record) for record in static_keys(loaded)}, admin, store.keys)


def gate(loaded: Loaded) -> Gate:
    """Who may look at the dashboard."""
    admin = None if loaded.admin_key is None else digest(loaded.admin_key.reveal().encode())
    return Gate(loaded.settings.auth.mode == "open", admin)


def static_keys(loaded: Loaded) -> list[KeyRecord]:
    """The keys of the configuration file."""
    named = {key.name: key for key in loaded.settings.auth.keys}
    return [_static_key(named[name], secret.reveal()) for name, secret in loaded.client_keys.items()]


def _static_key(key: ClientKey, secret: str) -> KeyRecord:
    return KeyRecord(
        hash=digest(secret.encode()),
        name=key.name,
        label=f"…{secret[-4:]}",
        created=0.0,
        limit=key.limit_usd,
        reset=key.limit_reset,
        rpm=key.rpm,
        models=key.models or (),
        static=True,
    )
