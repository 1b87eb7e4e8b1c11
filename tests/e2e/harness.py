"""A gateway on a real socket in front of sandbox providers, in one event loop, with the standing checks."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from config.load import load
from providers.sandbox import Sandbox
from router.app import Gateway
from router.cli.serve import Server, server_config

MODEL = "moonshotai/kimi-k2-thinking"
CANARY = "sk-canary-3f9a1c7be2d04856"


@dataclass
class Offer:
    """One endpoint of the model under test: a sandbox, and what the file says of it."""

    box: Sandbox
    slug: str
    price: str = "1"
    endpoint: dict[str, Any] = field(default_factory=dict)
    provider: dict[str, Any] = field(default_factory=dict)
    model: str = MODEL


def configuration(offers: list[Offer], **sections: Any) -> dict[str, Any]:
    """A configuration in which each offer is a provider of its own, in the order given."""
    providers, models = {}, {}
    for offer in offers:
        auth = {"auth": "none"} if offer.box.key is None else {"api_key_env": env_name(offer.slug)}
        providers[offer.slug] = {
            "name": offer.slug.title(),
            "dialect": offer.box.provider.name,
            "base_url": offer.box.base_url,
            **auth,
            **offer.provider,
        }
        model = models.setdefault(offer.model, {"context_length": 262144, "endpoints": []})
        model["endpoints"].append(
            {
                "provider": offer.slug,
                "model": "kimi-k2-thinking",
                "price": {"prompt": offer.price, "completion": offer.price},
                **offer.endpoint,
            }
        )
    for model_id, more in sections.pop("add", {}).items():
        models[model_id]["endpoints"] += more
    for model_id, extra in sections.pop("models", {}).items():
        models.setdefault(model_id, {}).update(extra)
    return {"providers": providers, "models": models, **sections}


def env_name(slug: str) -> str:
    return f"{slug.upper().replace('-', '_')}_KEY"


class Running:
    """A gateway that serves, and what is needed to talk to it and to look inside."""

    def __init__(self, gateway: Gateway, port: int, path: Path, server: Server) -> None:
        self.gateway = gateway
        self.path = path
        """The configuration file."""
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.url}/v1"


@asynccontextmanager
async def running(
    settings: Mapping[str, Any],
    tmp_path: Path,
    environ: Mapping[str, str],
    *,
    seed: int = 1,
) -> AsyncIterator[Running]:
    """Serve a configuration on a free port while entered."""
    path = tmp_path / "turnout.yaml"
    settings = {**settings, "state": {"path": str(tmp_path / "turnout.db"), **settings.get("state", {})}}
    path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    gateway = Gateway(load(path, environ), Random(seed), environ)
    sock = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio turns Nagle's delay off for no other
    sock.bind(("127.0.0.1", 0))
    server = Server(server_config(gateway, gateway.core.setup.settings.server), gateway)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([sock]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield Running(gateway, sock.getsockname()[1], path, server)
        finally:
            server.should_exit = True
    sock.close()


class Bench:
    """Sandboxes, a gateway before them, and the checks that hold after every test whatever it was about."""

    def __init__(self, tmp_path: Path, caplog: Any) -> None:
        self._stack = AsyncExitStack()
        self._tmp_path = tmp_path
        self._caplog = caplog
        self._boxes: list[Sandbox] = []
        self._gateways: list[Running] = []
        self._unretrieved: list[dict[str, Any]] = []

    async def __aenter__(self) -> Bench:
        self._caplog.set_level(logging.DEBUG)
        for noisy in ("openai", "httpcore2", "httpx2", "httpcore", "httpx"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._unretrieved.append(context))
        self._tasks = asyncio.all_tasks()
        return self

    async def box(self, dialect: Any = "moonshot", **options: Any) -> Sandbox:
        box = await self._stack.enter_async_context(Sandbox(dialect, **{"key": CANARY, **options}))
        self._boxes.append(box)
        return box

    async def gateway(
        self, offers: list[Offer], *, environ: Mapping[str, str] | None = None, seed: int = 1, **sections: Any
    ) -> Running:
        keys = {env_name(offer.slug): offer.box.key or "" for offer in offers}
        context = running(configuration(offers, **sections), self._tmp_path, {**keys, **(environ or {})}, seed=seed)
        gateway = await self._stack.enter_async_context(context)
        self._gateways.append(gateway)
        return gateway

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._nothing_is_left_under_way()
        finally:
            await self._stack.aclose()
        if kind is None:
            await self._nothing_is_left_at_all()

    async def _nothing_is_left_under_way(self) -> None:
        for gateway in self._gateways:
            core = gateway.gateway.core
            await eventually(lambda core=core: core.in_flight == 0, "a request is still counted as in flight")
            await eventually(lambda core=core: core.health.in_flight() == 0, "an attempt still holds a provider's slot")
        for box in self._boxes:
            await eventually(lambda box=box: box.answering == 0, "an upstream connection is still being answered")

    def _new_tasks(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - self._tasks - {asyncio.current_task()}

    async def _nothing_is_left_at_all(self) -> None:
        for box in self._boxes:
            await eventually(lambda box=box: box.open_connections == 0, "an upstream connection is still open")
        await eventually(lambda: not self._new_tasks(), lambda: f"tasks are left: {self._new_tasks()}")
        assert not self._unretrieved, f"the event loop complained: {self._unretrieved}"
        for record in self._caplog.records:
            assert CANARY not in record.getMessage(), "a secret is in the log"
            assert "never retrieved" not in record.getMessage()


async def eventually(holds: Any, says: Any, within: float = 2.0) -> None:
    """Wait until something holds, looking often."""
    deadline = asyncio.get_running_loop().time() + within
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(says() if callable(says) else says)
        await asyncio.sleep(0.01)
