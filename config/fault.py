"""What is wrong with a configuration, and where: the values every reader of faults works with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

KeyPath = tuple[str | int, ...]
"""The way from the top of the file to a value: keys and list positions."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault before its line is known. `at_key` points at the key itself instead of its value."""

    path: KeyPath
    message: str
    at_key: bool = False
    line: int | None = None
    """From 1, where the path alone does not tell."""
    about: tuple[KeyPath, ...] = ()
    """Other values the statement rests on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to mend: `file:line: path: message`. Lines count from 1."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `faults` holds every reason, in the order of the file."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def dotted(path: KeyPath) -> str:
    """`models.kimi.endpoints[0].price`; the file as a whole is `(file)`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "(file)"


class Names:
    """The valid names in one place, to say which was probably meant. Answers are remembered."""

    SHOWN = 16

    def __init__(self, names: Iterable[str]) -> None:
        self._lower = {name.lower(): name for name in names}
        self._hints: dict[str, str] = {}

    def nearest(self, name: str, cutoff: float = 0.6) -> str | None:
        """The most similar valid name, case aside, if it is at least `cutoff` (0 to 1) alike."""
        close = get_close_matches(name.lower(), self._lower, n=1, cutoff=cutoff)
        return self._lower[close[0]] if close else None

    def hint(self, name: str) -> str:
        """`; did you mean "x"?`, else the valid names where they are few, else nothing."""
        if name not in self._hints:
            self._hints[name] = self._hint(name)
        return self._hints[name]

    def _hint(self, name: str) -> str:
        if near := self.nearest(name):
            return f'; did you mean "{near}"?'
        if not self._lower:
            return "; none is defined"
        if len(self._lower) <= self.SHOWN:
            return "; valid: " + ", ".join(self._lower.values())
        return ""
