"""Environments of other gateways: each its own, installed on first use from a lock with hashes, and kept.

A lock is written by `uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header`, from one line
such as `smg==1.13.0` (LiteLLM: `litellm[proxy]`, for Python 3.11), and Portkey's by npm from its package.json.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import ROOT

INSTALL_SECONDS = 420.0
"""What one command of an installation may take."""
_LOCKS = Path(__file__).parent / "locks"


class NotInstalled(Exception):
    """An environment could not be made; says by which command, and the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """What `locks/NAME.txt` lists, in a virtual environment of its own beside the project's."""

    name: str

    @property
    def folder(self) -> Path:
        return ROOT / f".venv-bench-{self.name}"

    def command(self, name: str) -> str:
        """The path of an installed command."""
        return str(self.folder / "bin" / name)

    def install(self) -> None:
        """Make it unless it is there as locked. Raises NotInstalled."""
        lock = _LOCKS / f"{self.name}.txt"
        pip = (self.command("pip"), "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r")
        commands = [(sys.executable, "-m", "venv", str(self.folder)), (*pip, str(lock))]
        _install(self.folder, [lock], commands)


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """What `locks/NAME/package-lock.json` lists; no script of a package is run."""

    name: str

    @property
    def folder(self) -> Path:
        return ROOT / f".venv-bench-{self.name}"

    def module(self, path: str) -> str:
        """The path of a file of an installed package."""
        return str(self.folder / "node_modules" / path)

    def install(self) -> None:
        """Make it unless it is there as locked. Raises NotInstalled."""
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise NotInstalled("node and npm are not installed")
        locks = [_LOCKS / self.name / name for name in ("package.json", "package-lock.json")]
        npm = ("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(self.folder))
        self.folder.mkdir(exist_ok=True)
        for lock in locks:
            shutil.copy(lock, self.folder)
        _install(self.folder, locks, [npm])


def _install(folder: Path, locks: Sequence[Path], commands: Sequence[Sequence[str]]) -> None:
    stamp = folder / ".installed"
    wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    for command in commands:
        _run(command)
    stamp.write_text(wanted)


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"`{' '.join(command)}` failed:\n{(error.stderr or error.stdout)[-1_000:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"`{' '.join(command)}`: {error}") from error
