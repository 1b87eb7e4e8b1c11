"""Where Redis is, from its URL: one server, Sentinels, or a cluster, with or without TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from router.state.values import StateError

_KINDS: dict[str, tuple[Literal["single", "sentinel", "cluster"], bool, int]] = {
    "redis": ("single", False, 6379),
    "rediss": ("single", True, 6379),
    "redis+sentinel": ("sentinel", False, 26379),
    "rediss+sentinel": ("sentinel", True, 26379),
    "redis+cluster": ("cluster", False, 6379),
    "rediss+cluster": ("cluster", True, 6379),
}

FORMS = (
    "redis://host:6379/0, rediss://… with TLS, redis+sentinel://host1:26379,host2:26379/master/0, "
    "or redis+cluster://host1:6379,host2:6379"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A place to find Redis at."""

    kind: Literal["single", "sentinel", "cluster"]
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    """One server, or the Sentinels, or nodes of the cluster to begin with."""
    database: int = 0
    master: str = ""
    """Its name, as the Sentinels know it."""
    username: str | None = None

    def __str__(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse(url: str) -> Address:
    """Raises StateError, which does not repeat the URL: a password might be in it."""
    try:
        return _parse(url)
    except ValueError as error:
        raise StateError(f"state.url is not a Redis URL ({error}); it must be {FORMS}.") from None


def _parse(url: str) -> Address:
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _KINDS:
        raise ValueError("unknown scheme")
    kind, tls, port = _KINDS[scheme.lower()]
    place, _, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    if ":" in user:
        raise ValueError("it must not hold a password; name its variable in state.password_env")
    if "?" in rest or "#" in rest:
        raise ValueError("it takes no options")
    steps = [unquote(step) for step in path.split("/") if step]
    master = steps.pop(0) if kind == "sentinel" and steps else ""
    if kind == "sentinel" and not master:
        raise ValueError("the name of the master is missing")
    if len(steps) > (0 if kind == "cluster" else 1):
        raise ValueError("the path is too long")
    return Address(
        kind,
        tls,
        tuple(_host(one, port) for one in hosts.split(",")),
        int(steps[0]) if steps else 0,
        master,
        unquote(user) if at and user else None,
    )


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or port
