"""Small edits of JSON bytes that leave every other byte as it came."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from providers.splice import JsonObject, encode, raw_items, value_of

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\n\r]+', re.DOTALL)
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def members_of(data: bytes | msgspec.Raw) -> dict[str, bytes]:
    """An object's members as exact slices. Raises ValueError."""
    try:
        return {key: bytes(value) for key, value in _members(data).items()}
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def objects_of(data: bytes) -> list[dict[str, bytes]]:
    """The members of each object in an array. Raises ValueError, also where an item is no object."""
    try:
        return [{key: bytes(value) for key, value in item.items()} for item in _objects(data)]
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def changed(data: bytes, members: Mapping[str, bytes], changes: Mapping[str, bytes | None]) -> bytes:
    """`JsonObject(data).rewritten(changes)`, at a fraction of its price where the object is written compactly.

    `members` are those of `data`, which has no space around it; the keys of `changes` need no escapes.
    """
    if not changes:
        return data
    if members.keys().isdisjoint(changes):
        added = [b',"' + key.encode() + b'":' + value for key, value in changes.items() if value is not None]
        return data[:-1] + (b"".join(added) if members else b"".join(added)[1:]) + b"}"
    if len(data) != 1 + sum([len(key) + len(value) + 4 for key, value in members.items()]):
        # Spaces, escapes in keys, or a key twice.
        return JsonObject(data).rewritten(changes)
    merged: dict[str, bytes | None] = {**members, **changes}
    kept = [b'"' + key.encode() + b'":' + value for key, value in merged.items() if value is not None]
    return b"{" + b",".join(kept) + b"}"


def each_item(data: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """An array with `edit` applied to each of its items; what lies between them stays. Raises ValueError."""
    out: list[bytes] = []
    position = data.index(b"[") + 1
    for item in raw_items(data):
        start = data.index(item, position)
        out += (data[position:start], edit(item))
        position = start + len(item)
    return b"[" + b"".join(out) + data[position:]


def compact(value: bytes) -> bytes:
    """A JSON value without the spaces between its tokens."""
    return _SPACE.sub(lambda found: found.group(1) or b"", value)


def as_string(value: bytes) -> bytes:
    """A JSON value, written compactly, as the content of a JSON string."""
    return encode(compact(value).decode("utf-8", "replace"))


def as_utf8(data: bytes) -> bytes:
    """The bytes with what is no UTF-8 replaced."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


def text_of(value: bytes) -> str:
    """What a JSON string says; "" for anything else."""
    if not value.startswith(b'"'):
        return ""
    try:
        text = value_of(value)
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""


def hide_lone_surrogates(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Half a surrogate pair (an emoji cut between two deltas) stands in no valid text, yet providers send it
    and clients put it together again. It gets a stand-in, given back by `restored`.
    """
    stand_ins: dict[bytes, bytes] = {}

    def hide(found: re.Match[bytes]) -> bytes:
        lone = found.group(1)
        if lone is None:
            return found.group()
        if lone not in stand_ins:
            free = (b"\\uE%03X" % number for number in range(0x800))
            used = set(stand_ins.values())
            stand_ins[lone] = next(code for code in free if code not in used and code not in data)
        return stand_ins[lone]

    return _ESCAPES.sub(hide, data), stand_ins


def restored(data: bytes, stand_ins: Mapping[bytes, bytes]) -> bytes:
    """The inverse of `hide_lone_surrogates`."""
    for lone, stand_in in stand_ins.items():
        data = data.replace(stand_in, b"\\" + lone)
    return data
