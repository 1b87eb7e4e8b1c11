"""A complete answer: the upstream's JSON in, the client's out."""

from __future__ import annotations

from collections.abc import Mapping

from providers.classify import classify_in_band, tells_of_error
from providers.dialects import extracted
from providers.dialects.assemble import assembled, is_stream
from providers.dialects.base import Envelope, Extract, Tail, Usage
from providers.dialects.content import flattened
from providers.dialects.profile import Profile
from providers.dialects.render import COMPLETION, NEVER_NULL, envelope_members
from providers.dialects.tools import whole_calls
from providers.edit import (
    as_utf8,
    changed,
    each_item,
    members_of,
    objects_of,
    text_of,
)
from providers.errors import BadAnswer, EmptyAnswer
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
from providers.redact import is_markup
from providers.splice import encode
from providers.surrogates import hide_lone_surrogates, restored
from providers.usage import parse_usage, render_usage

_NULL = b"null"
_MALFORMED = "A message in the provider's answer is malformed."
_NO_ERROR = EMPTY_VALUES | {b"false"}
_SPACE = b" \t\r\n\xef\xbb\xbf"
_SAYING = frozenset(("content", "tool_calls", "refusal", "audio", "images", "function_call", *FIELDS))


class WholeAnswer:
    """`base.Whole` for every profile. Raises ProviderError where the answer is none."""

    def __init__(self, data: bytes, envelope: Envelope, profile: Profile) -> None:
        self._envelope = envelope
        self._profile = profile
        self._body, self._members, self._stand_ins = _read(data, envelope, profile)
        error = self._members.get("error", _NULL)
        if error not in _NO_ERROR:
            raise classify_in_band(error, profile.errors)
        if envelope.extract and "choices" in self._members:
            self._members = _extracted(self._members, envelope.extract)
            self._body = changed(self._body, members_of(self._body), {"choices": self._members["choices"]})
        choices = _choices(self._body, self._members, profile)
        try:
            messages = [members_of(choice["message"]) for choice in choices]
            self.produced = sum(map(_produced, messages))
        except ValueError as error:
            raise BadAnswer(_MALFORMED) from error
        self.finish_reason: str | None = self._judge(choices, messages)
        self.thoughts = self._worth_remembering(messages)
        self._choices = self._made_right(choices, messages)
        usage = self._members.get("usage", _NULL)
        self.usage: Usage | None = None if usage == _NULL else parse_usage(usage)

    def render(self, tail: Tail) -> bytes:
        """See `base.Whole`."""
        ours = envelope_members(self._envelope, COMPLETION)
        changes: dict[str, bytes | None] = dict(ours)
        if "provider" not in self._members:
            # Its place is after the model, not at the end.
            changes["model"] = ours["model"] + b',"provider":' + ours["provider"]
            del changes["provider"]
        changes["choices"] = self._choices
        if "system_fingerprint" not in self._members:
            changes["system_fingerprint"] = _NULL  # OpenRouter's SDKs refuse an answer without it
        changes["usage"] = render_usage(tail.usage or self.usage, tail.cost, tail.prompt_cost)
        changes["openrouter_metadata"] = tail.metadata
        changes["error"] = None
        return restored(changed(self._body, self._members, changes), self._stand_ins)

    def _worth_remembering(self, messages: list[dict[str, bytes]]) -> tuple[Thought, ...]:
        """Before the messages are made right: what the upstream itself said."""
        if not self._envelope.remember and self._profile.emits != "details":
            return ()
        found = (_thought(message) for message in messages)
        return tuple([thought for thought in found if thought is not None])

    def _made_right(self, choices: list[dict[str, bytes]], messages: list[dict[str, bytes]]) -> bytes:
        """The choices for the client. Raises BadAnswer where a part that must be read is malformed."""
        parts = enumerate(zip(choices, messages, strict=True))
        try:
            return each_item(self._members["choices"], lambda choice: self._choice(choice, *next(parts)))
        except ValueError as error:
            raise BadAnswer(_MALFORMED) from error

    def _judge(self, choices: list[dict[str, bytes]], messages: list[dict[str, bytes]]) -> str:
        """The first choice's finish reason. Raises ProviderError where there is no answer to finish."""
        reasons = [self._reason(choice, message) for choice, message in zip(choices, messages, strict=True)]
        for choice, reason in zip(choices, reasons, strict=True):
            if reason == "error":
                code = text_of(choice.get("finish_reason", _NULL))
                raise classify_in_band(choice.get("error") or encode({"code": code}), self._profile.errors)
        if all(reason in ("stop", "tool_calls") for reason in reasons) and not any(map(_says, messages)):
            raise EmptyAnswer("The provider's answer has nothing in it.")
        return reasons[0]

    def _reason(self, choice: Mapping[str, bytes], message: Mapping[str, bytes]) -> str:
        native = text_of(choice.get("finish_reason", _NULL))
        reason = self._profile.finish_reason(native if native != "null" else "")
        calls = message.get("tool_calls", _NULL)
        return "tool_calls" if reason == "stop" and calls not in EMPTY_VALUES else reason

    def _choice(self, choice: bytes, position: int, parts: tuple[dict[str, bytes], dict[str, bytes]]) -> bytes:
        members, message = parts
        changes: dict[str, bytes | None] = {
            "finish_reason": encode(self._reason(members, message)),
            "message": self._message(members["message"], message),
        }
        if members.get("index", _NULL) == _NULL:
            changes["index"] = encode(position)
        if members.get("native_finish_reason", _NULL) == _NULL:
            changes["native_finish_reason"] = members.get("finish_reason", _NULL)
        return changed(choice, members, changes)

    def _message(self, message: bytes, members: dict[str, bytes]) -> bytes:
        changes: dict[str, bytes | None] = {name: None for name in NEVER_NULL if members.get(name) == _NULL}
        if not is_text(members.get("role")):
            changes["role"] = b'"assistant"'
        content = members.get("content")
        if content is None:
            changes["content"] = _NULL
        elif content.startswith(b"["):
            changes["content"], thoughts = flattened(content)
            if is_text(thoughts):
                members.setdefault(CONTENT, thoughts)
                changes[CONTENT] = thoughts
        calls = members.get("tool_calls", _NULL)
        if calls.startswith(b"[") and calls != b"[]":
            changes["tool_calls"] = whole_calls(calls)
        changes.update(self._reasoning(members))
        return changed(message, members, changes)

    def _reasoning(self, members: Mapping[str, bytes]) -> dict[str, bytes | None]:
        if self._envelope.exclude_reasoning:
            return {field: None for field in FIELDS if field in members}
        return in_all_shapes(members) if self._profile.emits == "text" else {}


def _read(data: bytes, envelope: Envelope, profile: Profile) -> tuple[bytes, dict[str, bytes], dict[bytes, bytes]]:
    """The answer's object, its members, and stand-ins for what is no valid text in it."""
    body = data.strip(_SPACE)
    if not body:
        raise BadAnswer("The provider's answer is empty.")
    if not body.isascii():
        body = as_utf8(body)
    stand_ins: dict[bytes, bytes] = {}
    try:
        if is_stream(body):
            # One blank line more, for a last event that came without.
            body, stand_ins = hide_lone_surrogates(body)
            body = assembled(body + b"\n\n", envelope, profile)
        return body, members_of(body), stand_ins
    except ValueError:
        pass
    try:
        body, stand_ins = hide_lone_surrogates(body)
        return body, members_of(body), stand_ins
    except ValueError as error:
        what = "a page" if is_markup(body[:200].decode("utf-8", "replace")) else "something that is not a JSON object"
        raise BadAnswer(f"The provider answered with {what} instead of a completion.") from error


def _extracted(members: dict[str, bytes], wanted: frozenset[Extract]) -> dict[str, bytes]:
    try:
        return {**members, "choices": extracted.choices(members["choices"], wanted)}
    except ValueError:
        return members  # what is wrong with it is said where it is read


def _thought(message: Mapping[str, bytes]) -> Thought | None:
    collector = Collector()
    collector.add(message)
    return collector.thought(tuple(call_ids(message.get("tool_calls", _NULL))))


def _choices(body: bytes, members: Mapping[str, bytes], profile: Profile) -> list[dict[str, bytes]]:
    """The choices' members; each has a message that is an object."""
    if tells_of_error(members):
        raise classify_in_band(body, profile.errors)
    if "choices" not in members:
        raise BadAnswer("The provider's answer has no choices.")
    try:
        found = objects_of(members["choices"])
    except ValueError as error:
        raise BadAnswer("The provider's answer has no list of choices.") from error
    if not found:
        raise EmptyAnswer("The provider's answer has an empty list of choices.")
    if not all(choice.get("message", _NULL).startswith(b"{") for choice in found):
        raise BadAnswer("A choice in the provider's answer has no message.")
    return found


def _says(message: Mapping[str, bytes]) -> bool:
    return any(message.get(name, _NULL) not in EMPTY_VALUES for name in _SAYING)


def _produced(message: Mapping[str, bytes]) -> int:
    """Bytes of text, reasoning and tool calls."""
    content = message.get("content", _NULL)
    calls = message.get("tool_calls", _NULL)
    parts = flattened(content) if content.startswith(b"[") else (content, b"")
    thoughts = next((text for field in (PLAIN, CONTENT) if is_text(text := message.get(field, _NULL))), None)
    if thoughts is None:
        thoughts = text_of_details(message[DETAILS]) if DETAILS in message else b""
    said = sum([len(text) - 2 for text in (*parts, thoughts) if is_text(text)])
    return said + (len(calls) if calls.startswith(b"[") else 0)
