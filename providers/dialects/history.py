"""The messages of a request: each assistant message's reasoning put where the upstream reads it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from providers.details import identity, may_be_signed
from providers.dialects.base import Call
from providers.dialects.profile import Profile
from providers.edit import changed, members_of
from providers.errors import InvalidRequest
from providers.reasoning import CONTENT, DETAILS, PLAIN, as_details, is_text, text_of
from providers.reasoning_memory import Kept, call_ids, is_whole, read
from providers.splice import encode, raw_items

_ASSISTANT = "assistant"
_CALLS = b'"tool_calls"'
_REASONING = b'"reasoning'
_ABSENT = msgspec.Raw(b"")
_BETWEEN = b", \t\r\n"


class _Heard(msgspec.Struct):
    """What decides whether and how a message must change."""

    role: Any = None
    reasoning: msgspec.Raw = _ABSENT
    reasoning_content: msgspec.Raw = _ABSENT
    reasoning_details: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT


_heard = msgspec.json.Decoder(list[_Heard]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

Edit = Callable[[bytes, _Heard], bytes]


def sent(messages: bytes, call: Call, profile: Profile) -> bytes:
    """The messages as the upstream is to get them; those that need no change stay to the byte.

    Raises InvalidRequest where they are no list of objects.
    """
    roles = [role for role in profile.roles if b'"' + role.encode() + b'"' in messages]
    edits = _edits(messages, call, profile)
    if roles:
        edits.append(lambda message, heard: _renamed(message, heard, profile.roles))
    if not edits:
        return messages
    try:
        return _edited(messages, edits, (_ASSISTANT, *roles))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("messages: must be a list of objects") from error


def _edits(messages: bytes, call: Call, profile: Profile) -> list[Edit]:
    """What may have to be done to an assistant's message: often nothing, so the bytes are scanned first."""
    edits: list[Edit] = []
    if profile.reads == "details":
        if call.origins and may_be_signed(messages):
            edits.append(lambda message, heard: _without_foreign(message, heard, call))
        if call.recalled and _CALLS in messages:
            edits.append(lambda message, heard: _restored(message, heard, call))
    elif _REASONING in messages or _CALLS in messages:
        edits.append(lambda message, heard: _in_one_field(message, heard, call, profile))
    return edits


def _edited(messages: bytes, edits: list[Edit], roles: tuple[str, ...]) -> bytes:
    view = memoryview(messages)
    out: list[bytes | memoryview] = []
    copied, position = 0, messages.index(b"[") + 1
    for raw, heard in zip(_items(messages), _heard(messages), strict=True):
        while messages[position] in _BETWEEN:
            position += 1
        start, position = position, position + memoryview(raw).nbytes
        if heard.role not in roles:
            continue
        message = item = messages[start:position]
        for edit in edits:
            message = edit(message, heard)
        if message is not item:
            out += (view[copied:start], message)
            copied = position
    out.append(view[copied:])
    return b"".join(out) if copied else messages


def _renamed(message: bytes, heard: _Heard, roles: Mapping[str, str]) -> bytes:
    if heard.role not in roles:
        return message
    return changed(message, members_of(message), {"role": encode(roles[heard.role])})


def _in_one_field(message: bytes, heard: _Heard, call: Call, profile: Profile) -> bytes:
    """The reasoning of an assistant message in the one field the upstream reads."""
    if heard.role != _ASSISTANT:
        return message
    fields = _fields(heard)
    if not fields:
        wanted = _made_up(heard, call, profile)
        if wanted is None or profile.reads is None:
            return message
        return message[:-1] + b',"' + profile.reads.encode() + b'":' + wanted + b"}"
    own = fields.get(profile.reads or "")
    said = _said(fields, profile)
    wanted = _made_up(heard, call, profile) if said is None else _whole(said, heard, call)
    if own is not None and wanted is None and own.startswith(b'"'):
        wanted = own  # an empty one says that there was none
    changes: dict[str, bytes | None] = {name: None for name in fields if name != profile.reads}
    if profile.reads is not None and wanted != own:
        changes[profile.reads] = wanted
    return changed(message, members_of(message), changes) if changes else message


def _fields(heard: _Heard) -> dict[str, bytes]:
    fields = {}
    if heard.reasoning is not _ABSENT:
        fields[PLAIN] = bytes(heard.reasoning)
    if heard.reasoning_content is not _ABSENT:
        fields[CONTENT] = bytes(heard.reasoning_content)
    if heard.reasoning_details is not _ABSENT:
        fields[DETAILS] = bytes(heard.reasoning_details)
    return fields


def _said(fields: Mapping[str, bytes], profile: Profile) -> bytes | None:
    """The reasoning a message brings, as a JSON string."""
    if profile.reads is None:
        return None
    text = fields.get(CONTENT)
    if text is not None and is_text(text) and fields.get(DETAILS) in (None, as_details(text)):
        return text
    return text_of(fields)


def _whole(said: bytes, heard: _Heard, call: Call) -> bytes:
    """What a message brings, or all of it where that is but its end."""
    record = _record(bytes(heard.tool_calls), call) if call.recalled else None
    if record is None or is_whole(said, record):
        return said
    remembered = read(record)
    return said if remembered is None else remembered.whole(said)


def _made_up(heard: _Heard, call: Call, profile: Profile) -> bytes | None:
    """For a message that calls tools and brings no reasoning: what is remembered, else the placeholder."""
    if profile.reads is None or heard.tool_calls is _ABSENT:
        return None
    calls = bytes(heard.tool_calls)
    if not calls.startswith(b"[") or not calls.strip(_BETWEEN + b"[]"):
        return None
    remembered = _recalled(calls, call) if call.recalled else None
    if remembered is not None and remembered.text is not None:
        return remembered.text
    # An empty one was accepted by some and refused by others; a blank is accepted by all.
    return None if profile.placeholder is None else encode(profile.placeholder)


def _recalled(calls: bytes, call: Call) -> Kept | None:
    """What is remembered of the message that made these calls."""
    record = _record(calls, call)
    return None if record is None else read(record)


def _record(calls: bytes, call: Call) -> str | None:
    """The same as the store has it."""
    return next((call.recalled[one] for one in call_ids(calls) if one in call.recalled), None)


def _restored(message: bytes, heard: _Heard, call: Call) -> bytes:
    """What this provider itself sent before, where the client sends none or not all of it back."""
    if heard.role != _ASSISTANT or heard.tool_calls is _ABSENT:
        return message
    remembered = _recalled(bytes(heard.tool_calls), call)
    if remembered is None or remembered.provider != call.provider:
        return message
    members = members_of(message)
    return changed(message, members, remembered.lost(members))


def _without_foreign(message: bytes, heard: _Heard, call: Call) -> bytes:
    """A message without the signed and encrypted blocks that another provider issued: this one would refuse them."""
    details = bytes(heard.reasoning_details)
    if heard.role != _ASSISTANT or not details.startswith(b"[") or not may_be_signed(details):
        return message
    entries = [(raw, members_of(raw) if raw.startswith(b"{") else {}) for raw in raw_items(details)]
    foreign = [call.origins.get(identity(entry) or "", call.provider) != call.provider for _, entry in entries]
    if not any(foreign):
        return message
    members = members_of(message)
    ours = [raw for (raw, _), dropped in zip(entries, foreign, strict=True) if not dropped]
    changes: dict[str, bytes | None] = {DETAILS: b"[" + b",".join(ours) + b"]" if ours else None}
    if any(dropped and is_text(entry.get("signature")) for (_, entry), dropped in zip(entries, foreign, strict=True)):
        # The same text without its signature would be refused as well.
        changes.update({name: None for name in (PLAIN, CONTENT) if name in members})
    return changed(message, members, changes)
