"""JSON objects edited by splicing: bytes that are not replaced are forwarded as they came."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from providers.surrogates import hide_lone_surrogates, restored

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any: Callable[[bytes], Any] = msgspec.json.Decoder().decode

_KEY = re.compile(rb'[ \t\n\r]*"((?:[^"\\]|\\.)*)"[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\n\r]*([,}])")
_OPEN = re.compile(rb"[ \t\n\r]*\{")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(rb'"(?:[^"\\]|\\.)*"|[^,\[\]{}" \t\n\r]+', re.DOTALL)

NULL = b"null"
_BLANKS = b" \t\n\r"


class Member(NamedTuple):
    """One `"key": value` of an object: its decoded key, and where key and value lie in the object's bytes."""

    key: str
    key_start: int
    value_start: int
    value_end: int


def members_in(data: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, none of them copied; of duplicate keys the last. Raises ValueError."""
    try:
        return _decode_members(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def raw_members(data: bytes | msgspec.Raw) -> dict[str, bytes]:
    """The same as exact slices. Raises ValueError."""
    return {key: bytes(value) for key, value in members_in(data).items()}


def is_compact(data: bytes, members: Mapping[str, bytes] | Mapping[str, msgspec.Raw]) -> bool:
    """Whether an object with these members is written the shortest way, so that it may be written anew.

    Spaces, escapes in a key, a key twice: each makes it longer.
    """
    shortest = 1 + 4 * len(members) + sum(map(len, members)) + sum(map(len, members.values()))
    return len(data) == shortest if members else len(data) == 2


def merged(members: Mapping[str, msgspec.Raw], changes: Mapping[str, bytes | None]) -> bytes:
    """A compact object with some members replaced, appended, or (None) removed; written in C, in one piece."""
    all_ = {**members}
    for key, value in changes.items():
        if value is not None:
            all_[key] = msgspec.Raw(value)
        elif key in all_:
            del all_[key]
    return encode(all_)


def raw_items(data: bytes) -> list[bytes]:
    """The items of a JSON array as exact slices. Raises ValueError."""
    return list(each_raw_item(data))


def each_raw_item(data: bytes) -> Iterator[bytes]:
    """The same for those who need the first few: the others are not copied. Raises ValueError at once."""
    return map(bytes, items_in(data))


def items_in(data: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a JSON array, none of them copied. Raises ValueError."""
    try:
        return _decode_items(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def value_of(data: bytes) -> Any:
    """A JSON document as Python values. Raises ValueError, also where it is nested too deeply."""
    try:
        return _decode_any(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class JsonObject:
    """A JSON object's bytes together with its members, ready to be read and to be re-written by splicing.

    Where it holds lone surrogates, `data` and `values` have stand-ins for them; `rewritten` gives them back.
    """

    __slots__ = ("_compact", "_members", "_raw", "_stand_ins", "data", "plain", "values")

    plain: bool | None
    """What `conversation.is_plain` found; None: nobody asked yet."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError where `data` is not one JSON object."""
        self._stand_ins: Mapping[bytes, bytes] = {}
        try:
            self._raw = members_in(data)
        except ValueError:
            if b"\\u" not in data:
                raise
            data, self._stand_ins = hide_lone_surrogates(data)
            self._raw = members_in(data)
        self.data = data
        self.values = {key: bytes(value) for key, value in self._raw.items()}
        self._compact = is_compact(data, self._raw)
        self._members: tuple[Member, ...] | None = None
        self.plain = None

    @property
    def members(self) -> tuple[Member, ...]:
        """Every member in order, those of a repeated key included."""
        if self._members is None:
            self._members = _locate(self.data, self.values)
        return self._members

    @property
    def count(self) -> int:
        """How many members there are."""
        return len(self.values) if self._compact else len(self.members)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def get(self, key: str) -> bytes | None:
        """The exact bytes of a value, or None where it is absent or null."""
        value = self.values.get(key)
        return None if value is None or value == NULL else value

    def rewritten(self, changes: Mapping[str, bytes | None]) -> bytes:
        """The object with some members replaced, appended, or (None) removed; all else byte for byte.

        A duplicate key that is changed collapses to its first place.
        """
        return restored(merged(self._raw, changes) if self._compact else self._spliced(changes), self._stand_ins)

    def _spliced(self, changes: Mapping[str, bytes | None]) -> bytes:
        """What stands between two commas stays or goes together, blanks included."""
        data = self.data
        kept: list[bytes] = []
        pending = dict(changes)
        opened = start = data.index(b"{") + 1
        end = len(data.rstrip(_BLANKS)) - 1
        for member in self.members:
            stop = _at_comma(data, member.value_end)
            if member.key not in changes:
                kept.append(data[start:stop])
            elif (new := pending.pop(member.key, None)) is not None:
                kept.append(data[start : member.value_start] + new + data[member.value_end : stop])
            start = stop + 1
        blanks = b""
        if kept and pending:
            last = kept[-1].rstrip(_BLANKS)
            kept[-1], blanks = last, kept[-1][len(last) :]
        kept.extend([encode(key) + b":" + value for key, value in pending.items() if value is not None])
        inner = b",".join(kept) if kept or self.members else data[opened:end]
        return data[:opened] + inner + blanks + data[end:]


def _at_comma(data: bytes, position: int) -> int:
    """Where the comma or brace is that follows a value."""
    found = _NEXT.match(data, position)
    return found.start(1) if found else position


def _after_comma(data: bytes, position: int) -> int:
    found = _NEXT.match(data, position)
    return found.end() if found else position


def _locate(data: bytes, values: Mapping[str, bytes]) -> tuple[Member, ...]:
    """Where each member lies. `data` is known to be valid JSON, so this only measures."""
    opened = _OPEN.match(data)
    if opened is None:
        raise ValueError("not a JSON object")
    members: list[Member] = []
    position = opened.end()
    while found := _KEY.match(data, position):
        spelled = found.group(1)
        key = value_of(b'"' + spelled + b'"') if b"\\" in spelled else spelled.decode()
        start = found.end()
        end = _value_end(data, start, values[key])
        members.append(Member(key, found.start(1) - 1, start, end))
        position = _after_comma(data, end)
    return tuple(members)


def _value_end(data: bytes, start: int, likely: bytes) -> int:
    """The end of the value at `start`; `likely` is the value its key is known to have, unless it is repeated."""
    end = start + len(likely)
    if data.startswith(likely, start) and _NEXT.match(data, end):
        return end
    scalar = _SCALAR.match(data, start)
    if scalar:
        return scalar.end()
    depth = 0
    for token in _TOKEN.finditer(data, start):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
            if depth == 0:
                return token.end()
    raise ValueError("not a JSON value")


_LONG = 16 * 1024


def _opens_more_than(data: bytes, limit: int) -> bool:
    """Whether there are more than `limit` opening brackets, those in texts included."""
    if len(data) < _LONG:
        return data.count(b"[") + data.count(b"{") > limit
    # A count looks at every byte, a search leaps from one bracket to the next: ten times as fast over a long text.
    opened = 0
    for bracket in (b"[", b"{"):
        at = data.find(bracket)
        while at >= 0 and opened <= limit:
            opened += 1
            at = data.find(bracket, at + 1)
    return opened > limit


_LEVELS = bytes.maketrans(b"[{]}", b"(())")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))


def nested_deeper_than(data: bytes, limit: int) -> bool:
    """Whether a JSON document nests arrays and objects deeper than `limit`, in linear time and constant stack."""
    if not _opens_more_than(data, limit):
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(data.translate(_LEVELS, _NEITHER_BRACKET_NOR_QUOTE).split(b'"')[::2])
    for _ in range(limit):
        # Each round takes away exactly the innermost level; few documents have more than ten.
        shorter = brackets.replace(b"()", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    return bool(brackets)
