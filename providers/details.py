"""Entries of `reasoning_details`: fragments put together again, and signed blocks told apart by what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from providers.edit import changed, members_of, text_of
from providers.reasoning import EMPTY_VALUES, is_text, joined
from providers.splice import raw_items

_NULL = b"null"
_STREAMED = ("text", "summary", "signature", "data")
"""Members that arrive in pieces; of any other the last one that says something counts."""
_LOOSE = (b'"reasoning.text"', b'"reasoning.summary"')
"""Types whose fragments belong together where they name no index and follow one another."""


class _Entry:
    """One entry and what its fragments added."""

    __slots__ = ("_pieces", "_raw", "_rest", "members")

    def __init__(self, raw: bytes, members: dict[str, bytes]) -> None:
        self._raw = raw
        self.members = members
        self._pieces: dict[str, list[bytes]] = {}
        self._rest: dict[str, bytes | None] = {}

    def is_another(self, members: Mapping[str, bytes]) -> bool:
        """A fragment of the same type and index that nevertheless is a block of its own: its id says so."""
        mine, other = self._rest.get("id") or self.members.get("id", _NULL), members.get("id", _NULL)
        return mine not in EMPTY_VALUES and other not in EMPTY_VALUES and mine != other

    def add(self, members: Mapping[str, bytes]) -> None:
        for name, value in members.items():
            if value in EMPTY_VALUES or name in ("type", "index"):
                continue
            if name in _STREAMED and is_text(value):
                self._pieces.setdefault(name, []).append(value)
            else:
                self._rest[name] = value

    def rendered(self) -> bytes:
        changes: dict[str, bytes | None] = {
            name: value for name, value in self._rest.items() if self.members.get(name) != value
        }
        for name, pieces in self._pieces.items():
            own = self.members.get(name, _NULL)
            changes[name] = joined([own, *pieces] if is_text(own) else pieces)
        return changed(self._raw, self.members, changes)


def merged(fragments: Iterable[bytes]) -> bytes:
    """The arrays of a stream's deltas as one array, fragments of one block (same type and index) as one entry.

    An entry of one fragment stays as it came. Raises ValueError where a fragment is no array of objects.
    """
    entries: list[_Entry] = []
    known: dict[tuple[bytes, bytes], _Entry] = {}
    for fragment in fragments:
        for raw in raw_items(fragment):
            members = members_of(raw)
            type_, index = members.get("type", _NULL), members.get("index", _NULL)
            entry = known.get((type_, index)) if index != _NULL else _loose(entries, type_)
            if entry is None or entry.is_another(members):
                entry = _Entry(raw, members)
                entries.append(entry)
                if index != _NULL:
                    known[type_, index] = entry
            else:
                entry.add(members)
    return b"[" + b",".join([entry.rendered() for entry in entries]) + b"]"


def _loose(entries: list[_Entry], type_: bytes) -> _Entry | None:
    if not entries or type_ not in _LOOSE:
        return None
    last = entries[-1].members
    return entries[-1] if last.get("type") == type_ and last.get("index", _NULL) == _NULL else None


def may_be_signed(details: bytes) -> bool:
    """Whether it is worth looking for signatures."""
    return b'"signature"' in details or b'"data"' in details


def identity(entry: Mapping[str, bytes]) -> str | None:
    """What a signed or encrypted block is known by, however its JSON is spelled; None for any other.

    A digest: neither what a provider encrypted nor its signature is kept.
    """
    for name in ("data", "signature"):
        value = entry.get(name)
        if value is not None and is_text(value):
            text = text_of(value) or value.decode("utf-8", "replace")
            return "block:" + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return None


def has_signature(details: bytes) -> bool:
    """Whether a block of an array has a signature. Raises ValueError."""
    if b'"signature"' not in details or not details.startswith(b"["):
        return False
    blocks = [members_of(raw) for raw in raw_items(details) if raw.startswith(b"{")]
    return any(is_text(block.get("signature")) for block in blocks)


def identities(details: bytes) -> list[str]:
    """Those of an array's signed blocks. Raises ValueError."""
    if not may_be_signed(details) or not details.startswith(b"["):
        return []
    found = [identity(members_of(raw)) for raw in raw_items(details) if raw.startswith(b"{")]
    return [one for one in found if one is not None]
