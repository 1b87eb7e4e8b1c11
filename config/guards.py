"""Judges the secrets that guard this gateway: its own keys, and the state's password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.fault import Finding, KeyPath
from config.schema import Settings
from config.secrets import Secret, variable, weakness

MAKE_ONE = "make one with: openssl rand -hex 24"


def check_guards(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Keys that are missing where they are needed, weak, or the same. Providers' keys are not judged here."""
    return [*_keys(settings, environ), *_password(settings, environ)]


def _keys(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    seen: dict[Secret, str] = {}
    for path, name, needed in _named(settings):
        secret = variable(name, environ)
        if isinstance(secret, Secret):
            yield from _judged(path, name, secret, seen)
        elif needed or environ.get(name, "").strip():
            yield Finding(path, f"{secret.reason}; {MAKE_ONE}", about=(("auth", "mode"),))


def _named(settings: Settings) -> Iterator[tuple[KeyPath, str, bool]]:
    """Where each key is named, its variable, and whether it must be set."""
    yield ("auth", "admin_key_env"), settings.auth.admin_key_env, False
    for position, key in enumerate(settings.auth.keys):
        yield ("auth", "keys", position, "key_env"), key.key_env, settings.auth.mode == "keys"


def _judged(path: KeyPath, name: str, secret: Secret, seen: dict[Secret, str]) -> Iterator[Finding]:
    if weak := weakness(secret):
        yield Finding(path, f"the key in {name} {weak}; {MAKE_ONE}")
    if seen.setdefault(secret, name) != name:
        yield Finding(path, f"{name} holds the same key as {seen[secret]}")


def _password(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    name = settings.state.password_env
    if name is None or settings.state.url == "memory:":
        return
    secret = variable(name, environ)
    if not isinstance(secret, Secret):
        yield Finding(("state", "password_env"), secret.reason, about=(("state", "url"),))
