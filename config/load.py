"""Reads a configuration file into settings and secrets, or says everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from config import explain
from config.check import check
from config.document import Document, NotYaml
from config.fault import ConfigError, Fault, Finding, KeyPath, dotted
from config.guards import check_guards
from config.memory import collector_paused
from config.salvage import salvage
from config.schema import Settings
from config.secrets import Off, Secret, certificate_files, resolve, variable

BUNDLED = Path(__file__).with_name("default.yaml")
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is valid, and what the environment adds to it."""

    settings: Settings
    path: Path
    provider_keys: Mapping[str, Secret | Off | None]
    """By provider slug: its key, why it is off, or None where it needs no key."""
    client_keys: Mapping[str, Secret]
    """Static client keys by name. With `auth.mode: open` those that are not set are left out."""
    admin_key: Secret | None
    """None: nothing that needs it can be reached."""
    state_password: Secret | None

    @property
    def off(self) -> dict[str, str]:
        """Slug and reason of every provider that is off."""
        return {slug: key.reason for slug, key in self.provider_keys.items() if isinstance(key, Off)}

    @property
    def usable(self) -> bool:
        """Whether any provider is on; where none is, serving is refused."""
        return len(self.off) < len(self.provider_keys)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file this came from: the configuration, key files, certificates."""
        named = [self.path]
        for provider in self.settings.providers.values():
            named += map(Path, certificate_files(provider))
            named += [Path(provider.api_key_file)] if provider.api_key_file else []
        return tuple(dict.fromkeys(named))


def find(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Which file to load: `--config`, `$TURNOUT_CONFIG`, `./turnout.yaml`, else the bundled one."""
    if explicit:
        return Path(explicit)
    if named := environ.get("TURNOUT_CONFIG", "").strip():
        return Path(named)
    own = cwd / "turnout.yaml"
    # A dangling link is the user's file too: better a fault than another catalogue unawares.
    return own if own.exists() or own.is_symlink() else BUNDLED


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Reads, validates and resolves. Raises ConfigError with every fault at once.

    Blocks for about 0.1 ms an endpoint; run it in a thread where an event loop waits.
    """
    with collector_paused(), closing(_document(path)) as document:
        settings, findings = _settings(document, environ)
        if findings or settings is None:
            raise ConfigError(_faults(path, document, findings))
        return _resolved(settings, path, environ)


def _document(path: Path) -> Document:
    try:
        return Document(_text(path))
    except NotYaml as error:
        raise _unreadable(path, str(error), error.line) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise _unreadable(path, f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MB")
    if content.startswith(b"\xef\xbb\xbf"):
        raise _unreadable(path, "begins with a byte order mark; save it as UTF-8 without one")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, "is not UTF-8 text; save it as UTF-8", line) from None
    if not text.strip():
        raise _unreadable(path, "is empty; it needs at least providers and models")
    return text


def _unreadable(path: Path, message: str, line: int = 1) -> ConfigError:
    return ConfigError((Fault(str(path), line, dotted(()), message),))


def _settings(document: Document, environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """What could be read, and what is wrong. Settings are None only where too little could be read."""
    findings = list(document.findings)
    if not isinstance(document.data, dict):
        if not findings:
            findings.append(Finding((), "must be a mapping with at least providers and models"))
        return None, findings
    mended: frozenset[KeyPath] = frozenset()
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as error:
        findings += explain.findings(error)
        if (salvaged := salvage(document.data)) is None:
            return None, findings
        settings, mended = salvaged
    judged = [*check(settings), *check_guards(settings, environ)]
    return settings, findings + [finding for finding in judged if not _rests_on(finding, mended)]


def _rests_on(finding: Finding, mended: frozenset[KeyPath]) -> bool:
    """Whether a finding speaks of a value that was replaced, so is not the file's own."""
    paths = (finding.path, *finding.about)
    return any(path[: depth + 1] in mended for path in paths for depth in range(len(path)))


def _faults(path: Path, document: Document, findings: list[Finding]) -> tuple[Fault, ...]:
    faults = {_fault(path, document, finding) for finding in findings}
    return tuple(sorted(faults, key=lambda fault: (fault.line, fault.path, fault.message)))


def _fault(path: Path, document: Document, finding: Finding) -> Fault:
    line = finding.line or document.line(finding.path, finding.at_key)
    return Fault(str(path), line, dotted(finding.path), finding.message)


def _resolved(settings: Settings, path: Path, environ: Mapping[str, str]) -> Loaded:
    keys = {key.name: variable(key.key_env, environ) for key in settings.auth.keys}
    password = settings.state.password_env
    return Loaded(
        settings=settings,
        path=path,
        provider_keys={slug: resolve(one, environ) for slug, one in settings.providers.items()},
        client_keys={name: key for name, key in keys.items() if isinstance(key, Secret)},
        admin_key=_secret(settings.auth.admin_key_env, environ),
        state_password=_secret(password, environ) if password else None,
    )


def _secret(name: str, environ: Mapping[str, str]) -> Secret | None:
    found = variable(name, environ)
    return found if isinstance(found, Secret) else None
