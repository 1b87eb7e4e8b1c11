"""One choice of a complete answer: what it says, and what the client is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from providers.classify import classify_in_band
from providers.dialects.base import Envelope
from providers.dialects.content import flattened
from providers.dialects.profile import Profile
from providers.dialects.render import NEVER_NULL
from providers.dialects.tools import whole_calls
from providers.edit import changed, rewritten, text_of
from providers.errors import BadAnswer, ProviderError
from providers.reasoning import (
    CONTENT,
    DETAILS,
    EMPTY_VALUES,
    FIELDS,
    PLAIN,
    in_all_shapes,
    is_text,
    text_of_details,
)
from providers.reasoning_memory import Collector, Thought, call_ids
from providers.splice import NULL, encode, members_in

_NULL = msgspec.Raw(NULL)
_ASSISTANT = msgspec.Raw(b'"assistant"')
_TOUCHED = frozenset((*NEVER_NULL, *FIELDS))
_SAYING = frozenset(("content", "tool_calls", "refusal", "audio", "images", "function_call", *FIELDS))
_ASKED_FOR = frozenset(("tool_calls", DETAILS))
"""Reasoning without calls behind it or signed blocks in it will not be asked for."""
_QUOTE, _BRACE = b'"{'

NO_CHOICES = "The provider's answer has no list of choices."

RawMembers = Mapping[str, msgspec.Raw]


class Choice:
    """Reading it, and `rendered`, raise ValueError where a part that must be read is malformed."""

    __slots__ = ("_item", "_members", "_message", "_profile", "finish_reason", "produced", "says")

    says: bool
    """Whether there is anything in it."""
    produced: int
    """Bytes of text, reasoning and tool calls."""

    def __init__(self, item: msgspec.Raw, profile: Profile) -> None:
        """Raises BadAnswer where it is no object, or has no message."""
        self._item = bytes(item)
        self._profile = profile
        try:
            self._members = members = members_in(item)
        except ValueError as error:
            raise BadAnswer(NO_CHOICES) from error
        raw = members.get("message", _NULL)
        if memoryview(raw)[0] != _BRACE:
            raise BadAnswer("A choice in the provider's answer has no message.")
        message = members_in(raw)
        content = message.get("content", _NULL)
        if _is_plain(message, content):
            self._message: dict[str, bytes] | None = None
            self.says = True
            self.produced = len(content) - 2
        else:
            self._message = said = {name: bytes(value) for name, value in message.items()}
            self.says = is_text(said.get("content")) or any(
                said.get(name, NULL) not in EMPTY_VALUES for name in _SAYING
            )
            self.produced = _produced(said)
        self.finish_reason = self._reason()

    def _reason(self) -> str:
        native = bytes(self._members.get("finish_reason", _NULL))
        reason = _spelled(self._profile).get(native) or _finish_reason(text_of(native), self._profile)
        if self._message is None or reason != "stop":
            return reason
        return "tool_calls" if self._message.get("tool_calls", NULL) not in EMPTY_VALUES else reason

    def error(self) -> ProviderError:
        """What a finish reason of "error" means."""
        error = self._members.get("error")
        code = text_of(bytes(self._members.get("finish_reason", _NULL)))
        return classify_in_band(encode({"code": code}) if error is None else bytes(error), self._profile.errors)

    def thought(self) -> Thought | None:
        """Its reasoning, where that is worth remembering; before the message is made right."""
        if self._message is None or _ASKED_FOR.isdisjoint(self._message):
            return None
        collector = Collector()
        collector.add(self._message)
        return collector.thought(tuple(call_ids(self._message.get("tool_calls", NULL))))

    def rendered(self, position: int, envelope: Envelope) -> msgspec.Raw:
        """What the client is shown. `position`: its index, where it tells none."""
        members = self._members
        changes: dict[str, object] = {"finish_reason": self.finish_reason}
        if self._message is not None:
            made = _made_right(bytes(members["message"]), self._message, self._profile, envelope)
            changes["message"] = msgspec.Raw(made)
        if members.get("index", _NULL) == _NULL:
            changes["index"] = position
        if members.get("native_finish_reason", _NULL) == _NULL:
            changes["native_finish_reason"] = members.get("finish_reason", _NULL)
        return msgspec.Raw(rewritten(self._item, members, changes))


@lru_cache
def _spelled(profile: Profile) -> dict[bytes, str]:
    """OpenAI's names of finish reasons, by the JSON of the profile's own."""
    return {encode(native): reason for native, reason in profile.finish_reasons.items()}


def _finish_reason(native: str, profile: Profile) -> str:
    return profile.finish_reason(native if native != "null" else "")


def _is_plain(message: RawMembers, content: msgspec.Raw) -> bool:
    """Whether a message says something in its text, and has nothing else that must be looked at."""
    return (
        len(content) > 2
        and memoryview(content)[0] == _QUOTE
        and message.get("role") == _ASSISTANT
        and _TOUCHED.isdisjoint(message)
    )


def _made_right(message: bytes, members: dict[str, bytes], profile: Profile, envelope: Envelope) -> bytes:
    """A message as OpenRouter's SDKs expect one."""
    changes: dict[str, bytes | None] = {}
    if NULL in members.values():
        changes.update({name: None for name in NEVER_NULL if members.get(name) == NULL})
    if not is_text(members.get("role")):
        changes["role"] = b'"assistant"'
    content = members.get("content")
    if content is None:
        changes["content"] = NULL
    elif content.startswith(b"["):
        changes["content"], thoughts = flattened(content)
        if is_text(thoughts):
            members.setdefault(CONTENT, thoughts)
            changes[CONTENT] = thoughts
    calls = members.get("tool_calls", NULL)
    if calls.startswith(b"[") and calls != b"[]":
        changes["tool_calls"] = whole_calls(calls)
    if envelope.exclude_reasoning:
        changes.update({field: None for field in FIELDS if field in members})
    elif profile.emits == "text":
        changes.update(in_all_shapes(members))
    return changed(message, members, changes)


def _produced(message: Mapping[str, bytes]) -> int:
    content = message.get("content", NULL)
    calls = message.get("tool_calls", NULL)
    text, thoughts = flattened(content) if content.startswith(b"[") else (content, b"")
    return _length(text) + _length(thoughts) + _length(_thoughts(message)) + (len(calls) if calls[:1] == b"[" else 0)


def _thoughts(message: Mapping[str, bytes]) -> bytes:
    for field in (PLAIN, CONTENT):
        if field in message and is_text(message[field]):
            return message[field]
    return text_of_details(message[DETAILS]) if DETAILS in message else b""


def _length(text: bytes) -> int:
    return len(text) - 2 if is_text(text) else 0
