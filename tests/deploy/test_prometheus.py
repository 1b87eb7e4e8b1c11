"""A real Prometheus scrapes a gateway with scripted traffic: every panel and every alert finds its data."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from providers.sandbox import overloaded, rate_limited
from router.state.values import Status
from tests.dashboard.scene import MODEL, Scene, scene
from tests.e2e.talk import get

DEPLOY = Path(__file__).parents[2] / "deploy"
KEY = "sk-to-0123456789abcdef0123"
SMALL = "sk-to-fedcba9876543210fedc"
AUTH = {"authorization": f"Bearer {KEY}"}
LONE = "moonshotai/kimi-k2"
"""A model with one endpoint, which is made to fail."""
VARIABLES = {"$__rate_interval": "30s", "$__range": "5m", "$model": ".*", "$provider": ".*"}

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def prometheus(gateway: str, dead: str, folder: Path) -> AsyncIterator[str]:
    """Our own rules, with a shorter interval and fixed targets."""
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    (job,) = settings["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [gateway, dead]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(DEPLOY / "prometheus" / "alerts.yml", folder)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "no_proxy": "*"},
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def found(client: httpx.AsyncClient, expression: str) -> list[Any]:
    answer = await client.get("/api/v1/query", params={"query": expression})
    assert answer.status_code == 200, f"{expression}: {answer.text}"
    return list(answer.json()["data"]["result"])


async def until_data(client: httpx.AsyncClient, expression: str, within: float = 30.0) -> list[Any]:
    """Ask until there is some."""
    result: list[Any] = []
    try:
        async with asyncio.timeout(within):
            while not result:
                try:
                    result = await found(client, expression)
                except httpx.TransportError:  # not up yet
                    result = []
                if not result:
                    await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"no data for: {expression}") from None
    return result


async def keep_busy(stage: Scene) -> None:
    """Answers, a provider that fails always, fallbacks, a model of which no endpoint is left. Until cancelled."""
    stage.boxes["openrouter"].always(overloaded())
    stage.boxes["openrouter"].always(rate_limited(retry_after=600), LONE)
    order = {"order": ["openrouter", "moonshot"]}
    while True:
        await stage.ask(headers=AUTH, provider=order)
        await stage.ask(headers=AUTH, stream=True, provider=order)
        await stage.ask(headers=AUTH, model=LONE)
        await stage.ask(headers={"authorization": f"Bearer {SMALL}"})
        await asyncio.sleep(0.1)


def expressions() -> list[str]:
    out = []
    for board in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(board.read_text())["panels"]:
            out += [target["expr"] for target in panel["targets"]]
    return out


@needs_prometheus
async def test_every_panel_and_every_alert_finds_its_data(tmp_path: Path) -> None:
    small = {"name": "small", "key_env": "SMALL_KEY", "limit_usd": 0.03}
    auth = {"mode": "keys", "keys": [{"name": "first", "key_env": "FIRST_KEY"}, small]}
    health = {"breaker_failures": 100000}
    dead = f"127.0.0.1:{free_port()}"
    async with scene(
        tmp_path, {"FIRST_KEY": KEY, "SMALL_KEY": SMALL}, auth=auth, health=health, retries={"backoff": 0}
    ) as stage:
        stage.gateway.metrics._state_of = lambda: Status(ok=False, reason="away", errors=1)
        target = stage.url.removeprefix("http://")
        folder = tmp_path / "prometheus"
        folder.mkdir()
        busy = asyncio.create_task(keep_busy(stage))
        try:
            async with (
                prometheus(target, dead, folder) as url,
                httpx.AsyncClient(base_url=url, trust_env=False) as client,
            ):
                await until_data(client, "turnout_requests_total")
                stage.running.path.write_text("providers: none of it is right")
                for _ in range(3):
                    await stage.gateway.reloader.told()
                    await asyncio.sleep(0.7)
                for expression in expressions():
                    for variable, value in VARIABLES.items():
                        expression = expression.replace(variable, value)
                    await until_data(client, expression)
                rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
                for rule in rules["groups"][0]["rules"]:
                    await until_data(client, rule["expr"])
                alerts = (await client.get("/api/v1/rules")).json()["data"]["groups"][0]["rules"]
                assert {one["health"] for one in alerts} == {"ok"}
        finally:
            busy.cancel()
            await asyncio.wait([busy])


async def test_junk_names_leave_the_series_as_they_were(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage:
        await stage.ask()
        before = await series(stage)
        for number in range(300):
            await stage.ask(model=f"junk/{number}", headers={"x_title": f"app {number}"}, user=f"user {number}")
        assert await series(stage) == before
        assert MODEL in (await get(stage.running, "/metrics")).body.decode()


async def series(stage: Scene) -> set[str]:
    lines = (await get(stage.running, "/metrics")).body.decode().split("\n")
    return {line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")}
