"""What models write into their text although it has a place of its own: thoughts in tags, tool calls in markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

THINK, END_THINK = "<think>", "</think>"
SECTION, END_SECTION = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL, ARGUMENTS, END_CALL = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"

MARK = "<"
"""All of them start with it."""

LONGEST_HEAD = 1_024
"""Characters of a call's name; anything longer is text."""
MOST_BLANKS = 1_024
"""Characters of nothing before a tag, after which none is expected any more."""
_NAME = re.compile(r"(?:functions\.)?(.*?)(?::\d+)?", re.DOTALL)

_MARKERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text": (SECTION, CALL),
        "section": (CALL, END_SECTION),
        "stray": (CALL, END_SECTION),
        "head": (ARGUMENTS, END_CALL),
        "arguments": (END_CALL, END_SECTION),
    }
)
"""What may follow, by where in a section the text is."""


class Piece(NamedTuple):
    """Part of what was found, in order. `kind` is content, reasoning, call or arguments."""

    kind: str
    text: str
    """The text; of a call its id."""
    name: str = ""
    """Of a call: the function's."""


Pieces = list[Piece]


class _Scanner:
    """Text that arrives cut anywhere; no more is held back than could be the start of a marker."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def scan(self, text: str, markers: tuple[str, ...]) -> tuple[str, str | None]:
        """The text before the first marker, and that marker; None where there is none yet. Called again with ""
        to go on after a marker."""
        text, self._held = self._held + text, ""
        found = [(at, marker) for marker in markers if (at := text.find(marker)) >= 0]
        if found:
            at, marker = min(found)
            self._held = text[at + len(marker) :]
            return text[:at], marker
        keep = max([_overlap(text, marker) for marker in markers])
        if keep:
            self._held = text[-keep:]
            text = text[:-keep]
        return text, None

    @property
    def holds(self) -> bool:
        return self._held != ""

    def rest(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, marker: str) -> int:
    """How many of the text's last characters begin the marker."""
    longest = min(len(text), len(marker) - 1)
    return next((size for size in range(longest, 0, -1) if marker.startswith(text[-size:])), 0)


class ThinkTags:
    """`<think>…</think>` at the start of a text, after blanks at most. One that is not closed goes on to the end."""

    __slots__ = ("_blanks", "_scanner", "_state")

    def __init__(self) -> None:
        self._scanner = _Scanner()
        self._state: Callable[[str], Pieces] = self._start
        self._blanks = ""

    def feed(self, text: str) -> Pieces:
        return self._state(text)

    @property
    def passed(self) -> bool:
        """All that comes now is text."""
        return self._state == self._outside

    def close(self) -> Pieces:
        """What was held back."""
        kind = "reasoning" if self._state == self._inside else "content"
        left = self._blanks + self._scanner.rest()
        self._blanks = ""
        return _piece(kind, left)

    def _start(self, text: str) -> Pieces:
        self._blanks += text
        said = self._blanks.lstrip()
        if len(said) < len(THINK) and THINK.startswith(said) and len(self._blanks) <= MOST_BLANKS:
            return []
        blanks, self._blanks = self._blanks, ""
        if not said.startswith(THINK):
            self._state = self._outside
            return _piece("content", blanks)
        self._state = self._inside
        return self._inside(said[len(THINK) :])

    def _inside(self, text: str) -> Pieces:
        before, marker = self._scanner.scan(text, (END_THINK,))
        pieces = _piece("reasoning", before)
        if marker is not None:
            self._state = self._outside
            pieces += self._outside(self._scanner.rest())
        return pieces

    @staticmethod
    def _outside(text: str) -> Pieces:
        return _piece("content", text)


class KimiMarkers:
    """`<|tool_calls_section_begin|>…` in a text. What is in no call stays text of the kind given."""

    __slots__ = ("_head", "_kind", "_scanner", "_where")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._scanner = _Scanner()
        self._where = "text"
        self._head = ""

    def feed(self, text: str) -> Pieces:
        pieces: Pieces = []
        marker: str | None = ""
        while marker is not None:
            before, marker = self._scanner.scan(text, _MARKERS[self._where])
            text = ""
            pieces += self._said(before)
            if marker is not None:
                pieces += self._passed(marker)
        return pieces

    @property
    def idle(self) -> bool:
        """Nothing is held back, and no call is begun: a text without a marker's first character stays as it is."""
        return self._where == "text" and not self._scanner.holds

    def close(self) -> Pieces:
        """What was held back, and the start of a call that never got its arguments, as the text it was."""
        pieces = self._said(self._scanner.rest())
        if self._where == "head":
            pieces += _piece(self._kind, CALL + self._head)
        self._head, self._where = "", "text"
        return pieces

    def _said(self, text: str) -> Pieces:
        if self._where == "arguments":
            return _piece("arguments", text)
        if self._where in ("text", "stray"):
            return _piece(self._kind, text)
        self._head += text
        if self._where == "section":
            return self._between(self._head)
        if len(self._head) <= LONGEST_HEAD:
            return []
        head, self._head = self._head, ""
        self._where = "text"
        return _piece(self._kind, CALL + head)

    def _between(self, text: str) -> Pieces:
        """What stands between two calls: nothing, as long as it is blank."""
        if not text.strip():
            self._head = text[:LONGEST_HEAD]
            return []
        self._head, self._where = "", "stray"
        return _piece(self._kind, text)

    def _passed(self, marker: str) -> Pieces:
        pieces: Pieces = []
        id_, self._head = self._head.strip(), ""
        if self._where == "head":
            found = _NAME.fullmatch(id_)
            pieces.append(Piece("call", id_, (found and found[1]) or id_))
        self._where = {SECTION: "section", CALL: "head", ARGUMENTS: "arguments", END_CALL: "section"}.get(
            marker, "text"
        )
        return pieces


def _piece(kind: str, text: str) -> Pieces:
    return [Piece(kind, text)] if text else []


class Extractor:
    """Everything that is looked for in one message: its text and its reasoning."""

    __slots__ = ("_markers", "_tags")

    def __init__(self, wanted: frozenset[str]) -> None:
        self._tags = ThinkTags() if "think" in wanted else None
        kinds = ("content", "reasoning") if "kimi_markers" in wanted else ()
        self._markers = {kind: KimiMarkers(kind) for kind in kinds}

    def feed(self, kind: str, text: str) -> Pieces:
        """Text of the content or of the reasoning, cut anywhere."""
        if kind == "content" and self._tags is not None:
            return self._marked(self._tags.feed(text))
        return self._marked(_piece(kind, text))

    def passes(self, kind: str, text: str) -> bool:
        """Whether a text would be handed on as it is, and change nothing."""
        if MARK in text or (kind == "content" and self._tags is not None and not self._tags.passed):
            return False
        markers = self._markers.get(kind)
        return markers is None or markers.idle

    def close(self) -> Pieces:
        """What was held back, once no more comes."""
        pieces = self._marked(self._tags.close()) if self._tags is not None else []
        for markers in self._markers.values():
            pieces += markers.close()
        return pieces

    def _marked(self, pieces: Pieces) -> Pieces:
        if not self._markers:
            return pieces
        return [found for piece in pieces for found in self._markers[piece.kind].feed(piece.text)]
