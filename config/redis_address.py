"""Where Redis is, from `state.url`: one server, Sentinels, or a cluster, with or without TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

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


class Malformed(ValueError):
    """Not such a URL. The message does not repeat it: a password might be in it."""


class HoldsPassword(Malformed):
    """The URL has a password in it, and the file is no place for one."""

    def __init__(self) -> None:
        super().__init__("it must not hold a password; name its variable in state.password_env")


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
    """Raises Malformed."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _KINDS:
        raise Malformed("unknown scheme")
    kind, tls, port = _KINDS[scheme.lower()]
    place, _, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    _refuse_secrets(user, rest)
    database, master = _path(kind, [unquote(step) for step in path.split("/") if step])
    found = tuple(_host(one, port) for one in hosts.split(","))
    if kind == "single" and len(found) > 1:
        raise Malformed("more than one host needs redis+sentinel:// or redis+cluster://")
    return Address(kind, tls, found, database, master, unquote(user) if at and user else None)


def _refuse_secrets(user: str, rest: str) -> None:
    if ":" in user or "password=" in rest.lower():
        raise HoldsPassword
    if "?" in rest or "#" in rest:
        raise Malformed("it takes no options")


def _path(kind: str, steps: list[str]) -> tuple[int, str]:
    """The number of the database and the name of the master."""
    master = steps.pop(0) if kind == "sentinel" and steps else ""
    if kind == "sentinel" and not master:
        raise Malformed("the name of the master is missing")
    if len(steps) > (0 if kind == "cluster" else 1):
        raise Malformed("the path is too long")
    if steps and not (steps[0].isascii() and steps[0].isdigit()):
        raise Malformed("the database must be a number")
    return (int(steps[0]) if steps else 0), master


def _host(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, own = parts.hostname, parts.port
    except ValueError:
        raise Malformed("a host or port is not valid") from None
    if not host or own == 0:
        raise Malformed("a host or port is missing")
    return host, own or port
