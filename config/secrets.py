"""Where secrets come from, and the type that keeps them out of every log."""

from __future__ import annotations

import hmac
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.schema import Provider

MIN_LENGTH = 16
_MIN_DISTINCT = 6
_WELL_KNOWN = ("sk-1234", "changeme", "change-me", "password", "secret-key", "your-api-key")
_MAX_FILE_BYTES = 65_536
_UNSENDABLE = re.compile(r"[^\x20-\x7e\xa0-\xff]")
_STARS = "********"


class Secret:
    """A value that prints as stars; only `reveal` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_STARS})"

    def __str__(self) -> str:
        return _STARS

    def __format__(self, spec: str) -> str:
        return format(_STARS, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Off:
    """A provider that cannot be used. The reason names the variable or file, never what is in it."""

    reason: str


def resolve(provider: Provider, environ: Mapping[str, str]) -> Secret | Off | None:
    """The provider's key, why it is off, or None where it needs no key."""
    if fault := _unreadable_certificates(provider) or _unusable_certificates(provider):
        return Off(fault)
    if provider.api_key_env is not None:
        return variable(provider.api_key_env, environ)
    if provider.api_key_file is not None:
        return _file(provider.api_key_file)
    return None


def variable(name: str, environ: Mapping[str, str]) -> Secret | Off:
    """The secret in an environment variable; blanks around it do not count."""
    value = environ.get(name)
    if value is None:
        return Off(f"{name} is not set")
    return _usable(value, name)


def weakness(secret: Secret) -> str | None:
    """Why a key that guards this gateway is too easy to guess, or None."""
    value = secret.reveal()
    if len(value) < MIN_LENGTH:
        return f"is shorter than {MIN_LENGTH} characters"
    if value.lower().startswith(_WELL_KNOWN):
        return "begins like a well-known example key"
    if len(set(value)) < _MIN_DISTINCT:
        return f"has fewer than {_MIN_DISTINCT} different characters"
    return None


def certificate_files(provider: Provider) -> tuple[str, ...]:
    """Every certificate or key file the provider's transport reads."""
    options = provider.httpx
    named = (provider.ca_file, *((options.ca_file, options.cert_file, options.key_file) if options else ()))
    return tuple(name for name in named if name is not None)


def _unreadable_certificates(provider: Provider) -> str | None:
    for name in certificate_files(provider):
        try:
            with Path(name).open("rb") as file:
                file.read(1)
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def _unusable_certificates(provider: Provider) -> str | None:
    """Tried out here, as the transport could only fail to be built."""
    options, context = provider.httpx, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tried = ""
    try:
        for tried in filter(None, (provider.ca_file, options.ca_file if options else None)):
            context.load_verify_locations(tried)
        if options is not None and options.cert_file is not None:
            tried = " with ".join(filter(None, (options.cert_file, options.key_file)))
            # without a password given here, an encrypted key would make OpenSSL ask for one on the terminal
            context.load_cert_chain(options.cert_file, options.key_file, password="")
    except OSError as error:
        reason = (getattr(error, "reason", None) or "not PEM, or encrypted").replace("_", " ").lower()
        return f"{tried} cannot be used: {reason}"
    return None


def _file(name: str) -> Secret | Off:
    try:
        with Path(name).open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        return Off(f"{name} cannot be read: {error.strerror}")
    if len(content) > _MAX_FILE_BYTES:
        return Off(f"{name} is too large to be a key")
    return _usable(content.decode("utf-8", errors="replace"), name)


def _usable(value: str, source: str) -> Secret | Off:
    value = value.strip()
    if not value:
        return Off(f"{source} is empty")
    if _UNSENDABLE.search(value):
        return Off(f"{source} holds line breaks or characters an HTTP header cannot carry")
    return Secret(value)
