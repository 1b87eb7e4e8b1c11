"""The other gateways: each as its maker ships it, one model at one upstream, nothing logged, stored or retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol
from urllib.parse import urlsplit

from tests.bench.client import Target
from tests.bench.configuration import CLIENT_KEY
from tests.bench.environments import NodeEnvironment, NotInstalled, PythonEnvironment
from tests.bench.peers import AUTHORIZATION, UPSTREAM_MODEL, Place, Started, free_port
from tests.bench.processes import Process

MANY = "4096"
"""Requests at once where a gateway would refuse more by default."""


class _Environment(Protocol):
    def install(self) -> None: ...


class _Installed:
    """A peer with an environment of its own."""

    name: str
    environment: _Environment

    def missing(self) -> str | None:
        """Installs it if need be."""
        try:
            self.environment.install()
        except NotInstalled as error:
            return f"it could not be installed: {error}"
        return None

    def process(
        self, command: Sequence[str], place: Place, stack: ExitStack, environ: Mapping[str, str] | None = None
    ) -> Process:
        return stack.enter_context(Process(command, place.folder / f"{self.name}.log", place.core, environ))


class TensorZero(_Installed):
    """The Rust gateway that its Python wheel embeds: the wheel starts the real HTTP server, Python then only waits."""

    name = "tensorzero"
    environment = PythonEnvironment(name)

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        file = place.folder / "tensorzero.toml"
        file.write_text(_TENSORZERO.format(upstream=upstream, model=UPSTREAM_MODEL))
        command = [self.environment.command("python"), "-c", _TENSORZERO_SERVE, str(file)]
        process = self.process(command, place, stack)
        return Started(Target(process.url(), "tensorzero::model_name::bench"), process.pid)


_TENSORZERO = """\
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true
[models.bench]
routing = ["sandbox"]
[models.bench.providers.sandbox]
type = "openai"
model_name = "{model}"
api_base = "{upstream}/"
api_key_location = "none"
"""
_TENSORZERO_SERVE = """\
import signal, sys
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
signal.pause()
"""


class LiteLlm(_Installed):
    """The Python proxy, one worker; it insists on a key."""

    name = "litellm"
    environment = PythonEnvironment(name)

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        port = free_port()
        file = place.folder / "litellm.yaml"
        file.write_text(_LITELLM.format(upstream=upstream, model=UPSTREAM_MODEL))
        where = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
        process = self.process([self.environment.command("litellm"), *where], place, stack, _LITELLM_ENVIRON)
        url = process.listening(f"http://127.0.0.1:{port}/v1")
        return Started(Target(url, "bench", AUTHORIZATION), process.pid)


_LITELLM = """\
model_list:
  - model_name: bench
    litellm_params: {{model: openai/{model}, api_base: "{upstream}", api_key: sk-upstream}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""
_LITELLM_ENVIRON = {"LITELLM_MASTER_KEY": CLIENT_KEY, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


class Portkey(_Installed):
    """The Node gateway; the request's headers say where to go."""

    name = "portkey"
    environment = NodeEnvironment(name)

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        port = free_port()
        script = self.environment.module("@portkey-ai/gateway/build/start-server.js")
        process = self.process(["node", script, f"--port={port}", "--headless"], place, stack)
        url = process.listening(f"http://127.0.0.1:{port}/v1")
        headers = (*AUTHORIZATION, ("x-portkey-provider", "openai"), ("x-portkey-custom-host", upstream))
        return Started(Target(url, UPSTREAM_MODEL, headers), process.pid)


class VllmRouter(_Installed):
    """The Rust balancer before vLLM workers: it passes the body on, and the client's key with it."""

    name = "vllm-router"
    environment = PythonEnvironment(name)

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        command = [self.environment.command("vllm-router")]
        return _balancer(self, command, "--queue-size", MANY, upstream=upstream, place=place, stack=stack)


class Smg(_Installed):
    """The Rust gateway that SGLang's router became, before an upstream that speaks OpenAI's protocol."""

    name = "smg"
    environment = PythonEnvironment(name)

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        command = [self.environment.command("smg"), "launch", "--backend", "openai", "--history-backend", "none"]
        grace = ("--shutdown-grace-period-secs", "1")
        return _balancer(self, command, *grace, upstream=upstream, place=place, stack=stack)


def _balancer(
    peer: _Installed, command: Sequence[str], *more: str, upstream: str, place: Place, stack: ExitStack
) -> Started:
    port = free_port()
    words = ["--worker-urls", f"http://{urlsplit(upstream).netloc}", "--host", "127.0.0.1", "--port", str(port)]
    limits = ["--prometheus-port", str(free_port()), "--max-concurrent-requests", MANY, "--disable-retries"]
    quiet = ["--policy", "random", "--log-level", "error"]
    process = peer.process([*command, *words, *limits, *quiet, *more], place, stack)
    url = process.listening(f"http://127.0.0.1:{port}/v1")
    return Started(Target(url, UPSTREAM_MODEL, AUTHORIZATION), process.pid)


class Ferrogw(_Installed):
    """Ferro Labs' gateway, one Go binary in a wheel; it serves only models of its own catalogue."""

    name = "ferrogw"
    environment = PythonEnvironment(name)

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        port = free_port()
        file = place.folder / "ferrogw.yaml"
        file.write_text("strategy: {mode: single}\ntargets: [{virtual_key: openai}]\n")
        environ = {"GATEWAY_CONFIG": str(file), "PORT": str(port), "OPENAI_BASE_URL": upstream, **_FERROGW_ENVIRON}
        process = self.process([self.environment.command("ferrogw"), "serve"], place, stack, environ)
        url = process.listening(f"http://127.0.0.1:{port}/v1")
        return Started(Target(url, "gpt-4o-mini"), process.pid)


_FERROGW_ENVIRON = {
    "OPENAI_API_KEY": "sk-upstream",
    "MASTER_KEY": "fgw_0123456789abcdef0123456789abcdef",
    "ALLOW_UNAUTHENTICATED_PROXY": "true",
    "LOG_LEVEL": "error",
    "RATE_LIMIT_RPS": "1000000",
    "RATE_LIMIT_BURST": "1000000",
}
