"""Prints an answer as it streams, wrapped at words, the reasoning dimmed."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_WIDEST = 96
_PARTS = re.compile(r"\n|[^\S\n]+|[^\s]+")


class Typewriter:
    """Takes fragments of any size. A word is printed once it is over, so that it is never broken."""

    def __init__(self, console: Console, indent: str) -> None:
        self._console = console
        self._indent = {"reasoning": f"{indent}│ ", "content": indent}
        self._width = min(console.width, _WIDEST) - 1
        self._kind = ""
        self._word = ""
        self._column = 0
        self._gap = ""

    def heard(self, kind: str, text: str) -> None:
        """Add a fragment: `reasoning` or `content`."""
        if kind != self._kind:
            self.end()
            self._kind = kind
        parts = _PARTS.findall(self._word + text)
        self._word = parts.pop() if parts and not parts[-1].isspace() else ""
        for part in parts:
            self._put(part)

    def end(self) -> None:
        """Print what is left, and end the line."""
        if self._word:
            self._put(self._word)
            self._word = ""
        if self._column:
            self._break()

    def _put(self, part: str) -> None:
        if part == "\n":
            self._break()
        elif part.isspace():
            self._gap += part if self._column else ""
        else:
            self._print(part)

    def _print(self, word: str) -> None:
        size = cell_len(word)
        if self._column and self._column + len(self._gap) + size > self._width:
            self._break()
        lead = self._gap if self._column else self._indent[self._kind]
        style = "dim italic" if self._kind == "reasoning" else ""
        self._console.print(Text(lead + word, style, end=""), end="", soft_wrap=True)
        self._column += cell_len(lead) + size
        self._gap = ""

    def _break(self) -> None:
        self._console.print()
        self._column = 0
        self._gap = ""
