"""One choice of a streamed answer: what its deltas become, and what is held back until its end."""

from __future__ import annotations

from collections.abc import Mapping

from providers.dialects.content import flattened
from providers.dialects.profile import Profile
from providers.dialects.tools import CallStream, whole_calls
from providers.edit import changed, members_of, text_of
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
from providers.splice import encode

_ASSISTANT = b'"assistant"'
_NULL = b"null"
_KNOWN = frozenset(("role", "content", "tool_calls", *FIELDS))
_OURS = frozenset(("index", "delta", "finish_reason", "native_finish_reason", "usage", "error"))
_END = b',"finish_reason":null,"native_finish_reason":null'


class ChoiceStream:
    """The state of one choice of a stream."""

    __slots__ = (
        "_calls",
        "_exclude",
        "_head",
        "_native",
        "_profile",
        "_reason",
        "_rest",
        "_text",
        "said",
        "shown",
    )

    def __init__(self, index: bytes, profile: Profile, exclude_reasoning: bool) -> None:
        self._profile = profile
        self._exclude = exclude_reasoning
        self._head = b'{"index":' + index + b',"delta":'
        self._reason: str | None = None
        self._native = _NULL
        self._rest: dict[str, bytes] = {}
        self._calls = CallStream()
        self._text = 0
        self.said = False
        """Something was produced."""
        self.shown = False
        """Something was handed out, its role with it."""

    @property
    def produced(self) -> int:
        """Bytes of text, reasoning and tool arguments so far."""
        return self._text + self._calls.produced

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's name; `stop` is `tool_calls` where tools were called."""
        return "tool_calls" if self._reason == "stop" and self._calls.count else self._reason

    def take(self, choice: Mapping[str, bytes]) -> bytes | None:
        """The client's choice for an upstream's, or None where there is nothing to show yet. Raises ValueError."""
        self._note_finish(choice)
        raw = choice.get("delta", _NULL)
        if raw == _NULL and not self.said:
            raw = _as_delta(choice.get("message", _NULL))
        delta = self.delta(raw) if raw != _NULL else None
        rest = {key: value for key, value in choice.items() if key not in _OURS}
        if "delta" not in choice:
            rest.pop("message", None)
        if delta is None:
            self._rest.update(rest)
            return None
        before, after = self.around(rest)
        return before + delta + after

    def around(self, rest: Mapping[str, bytes]) -> tuple[bytes, bytes]:
        """What stands before and after an unfinished delta; `rest` are the choice's further members."""
        more = b"".join([b"," + encode(key) + b":" + value for key, value in rest.items() if key not in _OURS])
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
            self._reason = self._profile.finish_reason(name)
            native = choice.get("native_finish_reason", _NULL)
            self._native = reason if native in EMPTY_VALUES else native

    def delta(self, raw: bytes) -> bytes | None:
        """The client's delta for an upstream's, or None where it says nothing. Raises ValueError."""
        members = members_of(raw)
        if self.shown and len(members) == 1 and is_text(content := members.get("content", _NULL)):
            self._text += len(content) - 2
            return raw
        changes: dict[str, bytes | None] = {}
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
        self._text += len(content) - 2
        self.said = True
        return True

    def _reasoning(self, members: Mapping[str, bytes], changes: dict[str, bytes | None]) -> bool:
        told = any([members.get(field, _NULL) not in EMPTY_VALUES for field in FIELDS])
        if told:
            self.said = True
            self._text += _length(members)
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
        fixed = None if calls == b"[]" else self._calls.delta(calls)
        if fixed != calls:
            changes["tool_calls"] = fixed
        if fixed is not None:
            self.said = True
        return fixed is not None

    def _others(self, members: Mapping[str, bytes]) -> bool:
        """Whether anything we do not know, or a refusal, says something."""
        for key, value in members.items():
            if key not in _KNOWN and value not in EMPTY_VALUES:
                self.said = True
                self._text += len(value) - 2 if key == "refusal" else 0
                return True
        return False

    def _role(self, members: Mapping[str, bytes], changes: dict[str, bytes | None]) -> None:
        if self.shown:
            if "role" in members:
                changes["role"] = None
        elif members.get("role") != _ASSISTANT:
            changes["role"] = _ASSISTANT


def _as_delta(message: bytes) -> bytes:
    """The message of a whole answer, or of one passed off as a chunk."""
    if b'"tool_calls"' not in message:
        return message
    members = members_of(message)
    calls = members.get("tool_calls", _NULL)
    return changed(message, members, {"tool_calls": whole_calls(calls)} if calls.startswith(b"[") else {})


def _length(members: Mapping[str, bytes]) -> int:
    """Bytes of reasoning in a delta."""
    for field in (PLAIN, CONTENT):
        if is_text(text := members.get(field, _NULL)):
            return len(text) - 2
    return len(text_of_details(members.get(DETAILS, b"[]"))) - 2
