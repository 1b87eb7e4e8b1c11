"""What a step of the scene claims, and whether it is so."""

from __future__ import annotations

from dataclasses import dataclass, field

_LONGEST = 300


@dataclass(slots=True)
class Checks:
    """The claims of one step: those that do not hold say what was expected and what came."""

    unmet: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.unmet

    def equal(self, what: str, got: object, expected: object) -> None:
        """Claim that two values are the same, to the byte."""
        if got != expected:
            self.failed(what, repr(expected), repr(got))

    def that(self, what: str, holds: bool, expected: str, got: object) -> None:
        """Claim that something holds."""
        if not holds:
            self.failed(what, expected, repr(got))

    def failed(self, what: str, expected: str, got: str) -> None:
        self.unmet.append(f"{what}: expected {_short(expected)}, got {_short(got)}")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
