"""One choice of a streamed answer: what its deltas become, and what is held back until its end."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import NamedTuple

from providers.dialects.base import Envelope
from providers.dialects.chunk import as_delta, more_of_choice
from providers.dialects.content import flattened
from providers.dialects.extracted import ExtractedDelta
from providers.dialects.profile import Profile
from providers.dialects.render import NEVER_NULL
from providers.dialects.tools import CallStream
from providers.edit import changed, members_of, text_of
from providers.reasoning import (
    CONTENT,
    DETAILS,
    EMPTY_VALUES,
    FIELDS,
    PLAIN,
    as_details,
    in_all_shapes,
    is_text,
    text_of_details,
)
from providers.reasoning_memory import Collector, Thought
from providers.splice import encode

MOST_MEMBERS = 1_000
"""Of what is held back until the end, told apart by name."""

_ASSISTANT = b'"assistant"'
_NULL = b"null"
_KNOWN = frozenset(("role", "content", "tool_calls", *FIELDS))
_TEXTS = ("content", CONTENT, PLAIN)
_STAND_IN = b'"\\u0000 the text \\u0000"'
_END = b',"finish_reason":null,"native_finish_reason":null'
_CLOSED = _END + b"}"


class Parts(NamedTuple):
    """What is around the one text of a delta."""

    field: str
    """content, reasoning, reasoning_content, or arguments."""
    before: bytes
    after: bytes
    made: list[bytes]
    """What it becomes, split at the text, which may be told more than once."""


class ChoiceStream:
    """The state of one choice of a stream."""

    __slots__ = (
        "_exclude",
        "_head",
        "_native",
        "_plain",
        "_profile",
        "_reason",
        "_rest",
        "calls",
        "extract",
        "memory",
        "said",
        "shown",
        "text",
    )

    def __init__(self, index: bytes, profile: Profile, envelope: Envelope) -> None:
        self._profile = profile
        self._exclude = envelope.exclude_reasoning
        self._plain = profile.emits == "text" and not envelope.exclude_reasoning
        self.extract = ExtractedDelta(envelope.extract) if envelope.extract else None
        """What its deltas pass through."""
        # An aggregator's blocks may be signed by whoever is behind it, tools or not.
        self.memory = Collector() if envelope.remember or profile.emits == "details" else None
        """Where its reasoning is remembered."""
        self._head = b'{"index":' + index + b',"delta":'
        self._reason: str | None = None
        self._native = _NULL
        self._rest: dict[str, bytes] = {}
        self.calls = CallStream()
        self.text = 0
        """Bytes of text and reasoning so far."""
        self.said = False
        """Something was produced."""
        self.shown = False
        """Something was handed out, its role with it."""

    @property
    def produced(self) -> int:
        """Bytes of text, reasoning and tool arguments so far."""
        return self.text + self.calls.produced

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's name; `stop` is `tool_calls` where tools were called."""
        return "tool_calls" if self._reason == "stop" and self.calls.count else self._reason

    @property
    def malformed(self) -> bool | None:
        """Whether a call's arguments are; None: nothing was called, or the answer was cut off."""
        return self.calls.malformed if self.finish_reason == "tool_calls" else None

    @property
    def thought(self) -> Thought | None:
        """What is worth remembering of its reasoning."""
        return None if self.memory is None else self.memory.thought(self.calls.ids)

    def take(self, choice: Mapping[str, bytes]) -> bytes | None:
        """The client's choice for an upstream's, or None where there is nothing to show yet. Raises ValueError."""
        self._note_finish(choice)
        raw = choice.get("delta", _NULL)
        if raw == _NULL and not self.said:
            raw = as_delta(choice.get("message", _NULL))
        delta = self.delta(raw) if raw != _NULL else None
        rest = more_of_choice(choice)
        if len(self._rest) > MOST_MEMBERS:
            raise ValueError("too many members")
        if "delta" not in choice:
            rest.pop("message", None)
        if delta is None:
            self.hold(rest)
            return None
        before, after = self.around(rest)
        return before + delta + after

    def hold(self, rest: Mapping[str, bytes]) -> None:
        """Keep the further members of a choice that shows nothing for the end."""
        self._rest.update(rest)

    def around(self, rest: Mapping[str, bytes]) -> tuple[bytes, bytes]:
        """What stands before and after an unfinished delta; `rest` are the choice's further members."""
        if not rest:
            return self._head, _CLOSED
        more = b"".join([b"," + encode(key) + b":" + value for key, value in rest.items()])
        return self._head, _END + more + b"}"

    def end(self) -> bytes:
        """The choice that finishes it."""
        delta = b"{}" if self.shown else b'{"role":"assistant","content":""}'
        reason = self.finish_reason
        finish = encode(reason) if reason is not None else _NULL
        more = b"".join([b"," + encode(key) + b":" + value for key, value in self._rest.items()])
        end = b',"finish_reason":' + finish + b',"native_finish_reason":' + self._native
        return self._head + delta + end + more + b"}"

    def finish_by_default(self) -> None:
        """The stream was ended properly without a reason given."""
        if self._reason is None:
            self._reason = "stop"

    def _note_finish(self, choice: Mapping[str, bytes]) -> None:
        reason = choice.get("finish_reason", _NULL)
        if reason == _NULL:
            return
        name = text_of(reason)
        if name and name != "null":
            before, self._reason = self._reason, self._profile.finish_reason(name)
            native = choice.get("native_finish_reason", _NULL)
            if native not in EMPTY_VALUES:
                self._native = native
            elif self._reason != before:  # some repeat it, without the native one
                self._native = reason

    def delta(self, raw: bytes) -> bytes | None:
        """The client's delta for an upstream's, or None where it says nothing. Raises ValueError."""
        return self._made(raw if self.extract is None else self.extract.delta(raw))

    def parts(self, raw: bytes) -> Parts | None:
        """A delta that brings one text and nothing else, without it; None for any other. Later ones that differ from
        it by their text alone become the same but for that text."""
        if (call := self.calls.parts(raw)) is not None:
            return Parts("arguments", call[0], call[2], [call[0], call[2]])
        members = members_of(raw)
        told = [name for name, value in members.items() if name != "role" and value not in EMPTY_VALUES]
        if len(told) != 1 or told[0] not in _TEXTS or not is_text(text := members[told[0]]):
            return None
        before, _, after = raw.partition(text)
        if raw.count(text) != 1 or not before.endswith(b'"' + told[0].encode() + b'":') or _STAND_IN in raw:
            return None
        made = self._would_make(before + _STAND_IN + after)
        return None if made is None else Parts(told[0], before, after, made.split(_STAND_IN))

    def _would_make(self, raw: bytes) -> bytes | None:
        """What a delta would become that brings no calls, once something was shown."""
        other = copy(self)
        other.shown, other.memory, other.calls = True, None, CallStream()
        return other._made(raw)

    def rest(self) -> bytes | None:
        """A last choice with what was held back for fear of a marker; None: nothing was."""
        raw = self.extract.close() if self.extract is not None else None
        delta = None if raw is None else self._made(raw)
        return None if delta is None else self._head + delta + _CLOSED

    def _made(self, raw: bytes) -> bytes | None:
        if self.shown and self.calls.goes_on(raw):
            return raw
        members = members_of(raw)
        if self.shown and len(members) <= 2 and (usual := self._usual(raw, members)) is not None:
            return usual
        changes: dict[str, bytes | None] = {}
        if _NULL in members.values():
            changes = {name: None for name in NEVER_NULL if members.get(name) == _NULL}
        real = "content" in members and self._content(members, changes)
        if not members.keys().isdisjoint(FIELDS) and self._reasoning(members, changes):
            real = True
        if "tool_calls" in members and self._tools(members, changes):
            real = True
        if not members.keys() <= _KNOWN and self._others(members):
            real = True
        if not real:
            return None
        self._role(members, changes)
        self.shown = True
        return changed(raw, members, changes)

    def _usual(self, raw: bytes, members: Mapping[str, bytes]) -> bytes | None:
        """Nothing but text, or nothing but reasoning: most deltas are."""
        content, thought = members.get("content", _NULL), members.get(CONTENT, _NULL)
        if len(members) == 1 and is_text(content):
            self.text += len(content) - 2
            return raw
        silent = len(members) == 1 or ("content" in members and content in EMPTY_VALUES)
        if not (self._plain and silent and is_text(thought)):
            return None
        self.text += len(thought) - 2
        if self.memory is not None:
            self.memory.add(members)
        return raw[:-1] + b',"reasoning":' + thought + b',"reasoning_details":' + as_details(thought) + b"}"

    def _content(self, members: dict[str, bytes], changes: dict[str, bytes | None]) -> bool:
        content = members.get("content", _NULL)
        if content.startswith(b"["):
            parts = flattened(content)
            changes["content"] = content = parts.text
            if is_text(parts.reasoning):
                members.setdefault(CONTENT, parts.reasoning)
                changes[CONTENT] = parts.reasoning
        if not is_text(content):
            return False
        self.text += len(content) - 2
        self.said = True
        return True

    def _reasoning(self, members: Mapping[str, bytes], changes: dict[str, bytes | None]) -> bool:
        told = any([members.get(field, _NULL) not in EMPTY_VALUES for field in FIELDS])
        if told:
            self.said = True
            self.text += _length(members)
            if self.memory is not None:
                self.memory.add(members)
        if self._exclude:
            changes.update({field: None for field in FIELDS if field in members})
            return False
        if self._profile.emits == "text":
            changes.update(in_all_shapes(members))
        return told

    def _tools(self, members: Mapping[str, bytes], changes: dict[str, bytes | None]) -> bool:
        calls = members.get("tool_calls", _NULL)
        if not calls.startswith(b"["):
            return False
        fixed = None if calls == b"[]" else self.calls.delta(calls)
        if fixed != calls:
            changes["tool_calls"] = fixed
        elif len(members) == 1:
            self.calls.learn(calls)
        if fixed is not None:
            self.said = True
        return fixed is not None

    def _others(self, members: Mapping[str, bytes]) -> bool:
        """Whether anything we do not know, or a refusal, says something."""
        for key, value in members.items():
            if key not in _KNOWN and value not in EMPTY_VALUES:
                self.said = True
                self.text += len(value) - 2 if key == "refusal" else 0
                return True
        return False

    def _role(self, members: Mapping[str, bytes], changes: dict[str, bytes | None]) -> None:
        if self.shown:
            if "role" in members:
                changes["role"] = None
        elif members.get("role") != _ASSISTANT:
            changes["role"] = _ASSISTANT


def _length(members: Mapping[str, bytes]) -> int:
    """Bytes of reasoning in a delta."""
    for field in (PLAIN, CONTENT):
        if is_text(text := members.get(field, _NULL)):
            return len(text) - 2
    return len(text_of_details(members.get(DETAILS, b"[]"))) - 2
