"""Small edits of JSON bytes that leave every other byte as it came."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from providers.splice import JsonObject, encode, items_in, raw_members, value_of

members_of = raw_members
"""An object's members as exact slices. Raises ValueError."""

_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\n\r]+', re.DOTALL)


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
    out, start, at = [], 1, 1
    for key, value in members.items():
        end = at + len(key) + len(value) + 3
        if key in changes:
            new = changes[key]
            if new is None:
                out.append(data[start:at])
                start = end + 1
            else:
                out += (data[start : end - len(value)], new)
                start = end
        at = end + 1
    if at != len(data):
        # Spaces, escapes in keys, or a key twice.
        return JsonObject(data).rewritten(changes)
    return b"{" + _closed(b"".join(out) + data[start:-1], members, changes)


def _closed(inner: bytes, members: Mapping[str, bytes], changes: Mapping[str, bytes | None]) -> bytes:
    """The inside of an object, with what is new added to it; a comma that what followed it left goes."""
    if inner.endswith(b","):
        inner = inner[:-1]
    added = [
        b',"' + key.encode() + b'":' + value
        for key, value in changes.items()
        if value is not None and key not in members
    ]
    if not added:
        return inner + b"}"
    return inner + (b"".join(added) if inner else b"".join(added)[1:]) + b"}"


def rewritten(
    data: bytes, members: Mapping[str, msgspec.Raw], changes: Mapping[str, object], without: Collection[str] = ()
) -> bytes:
    """The same for members that were not copied; `changes` are values to encode, `without` what is to go."""
    if encode(members) != data:
        values: dict[str, bytes | None] = {key: encode(value) for key, value in changes.items()}
        values.update(dict.fromkeys(without))
        return changed(data, {key: bytes(value) for key, value in members.items()}, values)
    if without:
        members = {key: value for key, value in members.items() if key not in without}
    return encode({**members, **changes})


def each_item(data: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """An array with `edit` applied to each of its items; what lies between them stays. Raises ValueError."""
    items = items_in(data)
    return with_items(data, items, [msgspec.Raw(edit(bytes(item))) for item in items])


def with_items(data: bytes, items: Sequence[msgspec.Raw], new: Sequence[msgspec.Raw]) -> bytes:
    """An array with its `items` replaced; what lies between them stays."""
    if encode(items) == data:
        return encode(new)
    out: list[bytes | msgspec.Raw] = [b"["]
    position = data.index(b"[") + 1
    for item, other in zip(items, new, strict=True):
        start = data.index(item, position)
        out += (data[position:start], other)
        position = start + len(item)
    return b"".join((*out, data[position:]))


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
