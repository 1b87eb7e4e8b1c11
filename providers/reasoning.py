"""The three shapes of reasoning (`reasoning_content`, `reasoning`, `reasoning_details`) and the ways between them.

All values are JSON as bytes: a text keeps the escapes its provider spelled it with.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.edit import members_of, objects_of
from providers.splice import raw_items

CONTENT = "reasoning_content"
PLAIN = "reasoning"
DETAILS = "reasoning_details"
FIELDS = (PLAIN, CONTENT, DETAILS)

EMPTY_VALUES = frozenset((b"", b"null", b'""', b"[]", b"{}"))


def is_text(value: bytes | None) -> bool:
    """Whether a JSON value is a string with something in it."""
    return value is not None and value.startswith(b'"') and value != b'""'


def joined(texts: list[bytes]) -> bytes:
    """JSON strings as one JSON string, their escapes untouched."""
    return b'"' + b"".join(text[1:-1] for text in texts) + b'"'


def text_of_details(details: bytes) -> bytes:
    """The readable text of a `reasoning_details` array as a JSON string, `""` where it has none.

    Entries that are not objects, or have neither `text` nor `summary`, add nothing.
    """
    if details.startswith(b'"'):
        return details
    try:
        entries = objects_of(details)
    except ValueError:
        entries = _objects_among(details)
    texts = (entry.get("text") or entry.get("summary") for entry in entries)
    return joined([text for text in texts if text is not None and is_text(text)])


def _objects_among(details: bytes) -> list[dict[str, bytes]]:
    """The entries that are objects, where others are not."""
    try:
        return [members_of(item) for item in raw_items(details) if item.startswith(b"{")]
    except ValueError:
        return []


def text_of(members: Mapping[str, bytes]) -> bytes | None:
    """An assistant message's reasoning as a JSON string, or None: details, else content, else plain."""
    details = members.get(DETAILS)
    if details is not None and is_text(text := text_of_details(details)):
        return text
    for field in (CONTENT, PLAIN):
        if is_text(value := members.get(field)):
            return value
    return None


def as_details(text: bytes) -> bytes:
    """A text in the shape of `reasoning_details`, as clients merge and send it back."""
    return b'[{"type":"reasoning.text","text":' + text + b',"format":"unknown","index":0}]'


def in_all_shapes(members: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """The changes after which a message or delta shows its reasoning in all three fields.

    A field that says something stays as it is; empty ones go where there is nothing to say.
    """
    if members.keys().isdisjoint(FIELDS):
        return {}
    if members.keys().isdisjoint((PLAIN, DETAILS)) and is_text(text := members.get(CONTENT)) and text is not None:
        return {PLAIN: text, DETAILS: as_details(text)}
    details = members.get(DETAILS)
    told = details is not None and details not in EMPTY_VALUES
    text = next((value for field in (CONTENT, PLAIN) if is_text(value := members.get(field))), None)
    if text is None and told:
        text = text_of(members)
    if text is None:
        return {field: None for field in FIELDS if members.get(field) in EMPTY_VALUES}
    changes: dict[str, bytes | None] = {field: text for field in (PLAIN, CONTENT) if not is_text(members.get(field))}
    if not told:
        changes[DETAILS] = as_details(text)
    return changes
