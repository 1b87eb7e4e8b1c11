"""Content that comes as a list of parts, made into text and reasoning."""

from __future__ import annotations

from typing import NamedTuple

from providers.edit import members_of
from providers.reasoning import is_text, joined
from providers.splice import raw_items

_DEPTH = 4
_THOUGHTS = (b'"thinking"', b'"reasoning"')


class Parts(NamedTuple):
    """What a list of parts says, as JSON strings (`""` where it says nothing)."""

    text: bytes
    reasoning: bytes


def flattened(content: bytes, depth: int = 0) -> Parts:
    """The text of a content list (`[{"type": "text", …}, {"type": "thinking", …}]`). Raises ValueError."""
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    texts: list[bytes] = []
    thoughts: list[bytes] = []
    for item in raw_items(content):
        if item.startswith(b'"'):
            texts.append(item)
        elif item.startswith(b"{"):
            part = members_of(item)
            target = thoughts if part.get("type") in _THOUGHTS else texts
            target.extend(_said(part, depth))
    return Parts(joined(texts), joined(thoughts))


def _said(part: dict[str, bytes], depth: int) -> list[bytes]:
    said: list[bytes] = []
    for name in ("text", "thinking", "reasoning", "content"):
        value = part.get(name)
        if value is None:
            continue
        if is_text(value):
            said.append(value)
        elif value.startswith(b"["):
            said.append(flattened(value, depth + 1).text)
    return said
