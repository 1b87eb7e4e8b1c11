"""Deltas and messages as they are once what does not belong into their text was taken out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.dialects import tools
from providers.edit import changed, each_item, members_of, text_of
from providers.extract import Extractor, Pieces
from providers.reasoning import CONTENT, DETAILS, PLAIN, is_text
from providers.reasoning import text_of as reasoning_of
from providers.splice import encode, raw_items

_STAND_INS = re.compile("[\ue000-\ue7ff]")
_FAR = 10_000
"""Index of the first call taken out of a text; those that come as such keep theirs."""


class ExtractedDelta:
    """The deltas of one choice."""

    __slots__ = ("_count", "_extractor")

    def __init__(self, wanted: frozenset[str]) -> None:
        self._extractor = Extractor(wanted)
        self._count = 0

    def delta(self, raw: bytes) -> bytes:
        """Raises ValueError."""
        members = members_of(raw)
        pieces = _found(self._extractor, members)
        changes = _texts(members, pieces)
        if calls := self._calls(pieces):
            changes["tool_calls"] = _beside(members, calls)
        return changed(raw, members, changes)

    def passes(self, field: str, text: str) -> bool:
        """Whether a delta stays as it is that brings this text in this field and nothing else."""
        return self._extractor.passes("content" if field == "content" else "reasoning", text)

    def close(self) -> bytes | None:
        """A delta with what was held back, or None."""
        pieces = self._extractor.close()
        if not pieces:
            return None
        changes = _texts({}, pieces)
        if calls := self._calls(pieces):
            changes["tool_calls"] = _beside({}, calls)
        return changed(b"{}", {}, changes)

    def _calls(self, pieces: Pieces) -> list[bytes]:
        calls: list[bytes] = []
        for piece in pieces:
            if piece.kind == "call":
                self._count += 1
                head = b'{"index":%d,"id":%s,"type":"function","function":{"name":%s,"arguments":""}}'
                # Without an id it would be taken for more of the call before it.
                id_ = _json(piece.text) if piece.text else tools.new_id()
                calls.append(head % (self._index, id_, _json(piece.name)))
            elif piece.kind == "arguments":
                calls.append(b'{"index":%d,"function":{"arguments":%s}}' % (self._index, _json(piece.text)))
        return calls

    @property
    def _index(self) -> int:
        return _FAR + self._count - 1


def message(raw: bytes, wanted: frozenset[str]) -> bytes:
    """A complete message. Raises ValueError."""
    members = members_of(raw)
    extractor = Extractor(wanted)
    pieces = _found(extractor, members)
    pieces += extractor.close()
    changes = _texts(members, pieces)
    if calls := _whole_calls(pieces):
        changes["tool_calls"] = _beside(members, calls)
    return changed(raw, members, changes)


def _found(extractor: Extractor, members: Mapping[str, bytes]) -> Pieces:
    pieces: Pieces = []
    if (thoughts := reasoning_of(members)) is not None:
        pieces += extractor.feed("reasoning", text_of(thoughts))
    if is_text(content := members.get("content", b"null")):
        pieces += extractor.feed("content", text_of(content))
    return pieces


def _texts(members: Mapping[str, bytes], pieces: Pieces) -> dict[str, bytes | None]:
    """What became of content and reasoning; neither is touched where nothing was taken from it or added."""
    changes: dict[str, bytes | None] = {}
    content = members.get("content", b"null")
    said = _text(pieces, "content")
    if said != text_of(content):
        changes["content"] = _json(said)
    thoughts = reasoning_of(members)
    thought = _text(pieces, "reasoning")
    if thought != text_of(thoughts or b""):
        changes.update({name: None for name in (PLAIN, DETAILS) if name in members})
        changes[CONTENT] = _json(thought)
    return changes


def _beside(members: Mapping[str, bytes], calls: list[bytes]) -> bytes:
    """Calls beside those that came as such."""
    own = members.get("tool_calls", b"")
    return b"[" + b",".join([*(raw_items(own) if own.startswith(b"[") else []), *calls]) + b"]"


def choices(raw: bytes, wanted: frozenset[str]) -> bytes:
    """The `choices` of a complete answer. Raises ValueError."""
    return each_item(raw, lambda choice: _choice(choice, wanted))


def _choice(raw: bytes, wanted: frozenset[str]) -> bytes:
    members = members_of(raw)
    said = members.get("message", b"")
    return changed(raw, members, {"message": message(said, wanted)}) if said.startswith(b"{") else raw


def _whole_calls(pieces: Pieces) -> list[bytes]:
    calls: list[tuple[str, str, list[str]]] = []
    for piece in pieces:
        if piece.kind == "call":
            calls.append((piece.text, piece.name, []))
        elif piece.kind == "arguments":
            calls[-1][2].append(piece.text)
    whole = b'{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}}'
    return [whole % (_json(id_), _json(name), _json("".join(arguments))) for id_, name, arguments in calls]


def _text(pieces: Pieces, kind: str) -> str:
    return "".join([piece.text for piece in pieces if piece.kind == kind])


def _json(text: str) -> bytes:
    """A JSON string in which stand-ins for lone surrogates are spelled as such."""
    return _STAND_INS.sub(lambda found: f"\\uE{ord(found.group()) & 0xFFF:03X}", encode(text).decode()).encode()
