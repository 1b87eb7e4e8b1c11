"""What a peer is, and those that need no other gateway: nobody, the least, this gateway, nginx."""

from __future__ import annotations

import shutil
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.bench.client import Target
from tests.bench.configuration import CLIENT_KEY, ENVIRON, MODEL, PROVIDERS, render
from tests.bench.processes import Process, python
from tests.contract.servers import redis_binary

UPSTREAM_MODEL = "upstream-model"
AUTHORIZATION = (("authorization", f"Bearer {CLIENT_KEY}"),)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer may run: a folder of its own for files and logs, and a core."""

    folder: Path
    core: int | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A peer that serves. `pid`: the root of its processes, or None where there are none."""

    target: Target
    pid: int | None


class Peer(Protocol):
    """What stands between the client and the upstream."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        ...

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        """Serve before `upstream` (a base URL that ends in /v1) until `stack` is closed. Raises NotStarted."""
        ...


class Direct:
    """Nobody: the client asks the upstream itself."""

    name = "direct"

    def missing(self) -> str | None:
        return None

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        return Started(Target(upstream, UPSTREAM_MODEL, AUTHORIZATION), None)


class Bare:
    """See `tests.bench.bare`: the floor that the ratios stand on."""

    name = "bare"

    def missing(self) -> str | None:
        return None

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        url = urlsplit(upstream)
        command = python("-m", "tests.bench.bare", f"http://{url.netloc}")
        process = stack.enter_context(Process(command, place.folder / "bare.log", place.core))
        return Started(Target(process.url() + url.path, UPSTREAM_MODEL, AUTHORIZATION), process.pid)


class Turnout:
    """This gateway as a user runs it: client keys, four endpoints, metrics, the lean engine."""

    name = "turnout"

    def __init__(self, endpoints: int = PROVIDERS) -> None:
        """`endpoints` in the whole catalogue; four of them serve the model that is asked for."""
        self._endpoints = endpoints

    def missing(self) -> str | None:
        return None

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        return self._serve(upstream, place, stack, "memory:")

    def _serve(self, upstream: str, place: Place, stack: ExitStack, state: str, more: str = "") -> Started:
        """`more`: further sections of the configuration, as YAML."""
        folder = Path(tempfile.mkdtemp(dir=place.folder))
        file = folder / "turnout.yaml"
        file.write_text(render(upstream, folder / "turnout.db", self._endpoints, state) + more)
        command = python("-m", "router", "serve", "--config", str(file), "--port", "0")
        process = stack.enter_context(Process(command, folder / "turnout.log", place.core, ENVIRON))
        return Started(Target(process.url(), MODEL, AUTHORIZATION), process.pid)


class PlainTurnout(Turnout):
    """The same without hedges and rescues: what these cost a request that needs neither."""

    name = "turnout-plain"

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        return self._serve(upstream, place, stack, "memory:", "\nhedge: {after: off}\nrescue: {mode: off}\n")


class SharedTurnout(Turnout):
    """The same with its state in Redis, as several replicas share it; Redis runs beside the load and is not counted."""

    name = "turnout+redis"

    def missing(self) -> str | None:
        return None if redis_binary() else "redis-server is not installed"

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        port = free_port()
        command = [redis_binary() or "", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        redis = stack.enter_context(Process([*command, "--dir", str(place.folder)], place.folder / "redis.log"))
        redis.listening(f"http://127.0.0.1:{port}")
        return self._serve(upstream, place, stack, f"redis://127.0.0.1:{port}/0")


class Nginx:
    """A proxy in C that looks at nothing: how much of the cost is the hop itself."""

    name = "nginx"

    def missing(self) -> str | None:
        return None if shutil.which("nginx") else "nginx is not installed"

    def start(self, upstream: str, place: Place, stack: ExitStack) -> Started:
        url = urlsplit(upstream)
        port = free_port()
        file = place.folder / "nginx.conf"
        file.write_text(_NGINX.format(folder=place.folder, upstream=url.netloc, port=port))
        command = ["nginx", "-c", str(file), "-p", str(place.folder), "-e", str(place.folder / "nginx-error.log")]
        process = stack.enter_context(Process(command, place.folder / "nginx.log", place.core))
        base_url = process.listening(f"http://127.0.0.1:{port}{url.path}")
        return Started(Target(base_url, UPSTREAM_MODEL, AUTHORIZATION), process.pid)


_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    client_max_body_size 32m;
    client_body_buffer_size 1m;
    keepalive_requests 10000000;
    upstream origin {{ server {upstream}; keepalive 2048; keepalive_requests 10000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
