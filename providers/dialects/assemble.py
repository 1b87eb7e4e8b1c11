"""A stream put together into one complete answer, where an upstream streams although nobody asked for a stream."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from providers.details import merged
from providers.dialects.base import Envelope, Tail
from providers.dialects.profile import Profile
from providers.dialects.render import DONE, OURS
from providers.dialects.stream import Reader
from providers.edit import changed, members_of, objects_of
from providers.errors import BadAnswer
from providers.reasoning import CONTENT, DETAILS, EMPTY_VALUES, PLAIN, is_text, joined
from providers.splice import encode, raw_items

_NULL = b"null"
_TEXTS = ("content", PLAIN, CONTENT, "refusal")
_HEADS = (b"data:", b"event:", b":", b"id:", b"retry:")
Members = dict[str, bytes]


def is_stream(body: bytes) -> bool:
    """Whether an answer, without leading blanks, is a stream of events."""
    return body.startswith(_HEADS)


def assembled(data: bytes, envelope: Envelope, profile: Profile) -> bytes:
    """The JSON of the complete answer. Raises what the stream's `error` would be; no lone surrogate may be in it."""
    reader = Reader(
        structs.replace(envelope, exclude_reasoning=False, usage_chunk=False, remember=False, extract=frozenset()),
        profile,
    )
    out = reader.feed(data) + reader.eof()
    if reader.error is not None:
        raise reader.error
    try:
        return _answer(out + reader.finish(Tail()))
    except ValueError as error:
        raise BadAnswer("The provider's stream cannot be put together into one answer.") from error


def _answer(events: bytes) -> bytes:
    top: Members = {}
    choices: dict[bytes, _Choice] = {}
    for event in events.removesuffix(DONE).split(b"\n\n"):
        chunk = members_of(event.removeprefix(b"data: ")) if event else {}
        for choice in objects_of(chunk.pop("choices", b"[]")):
            choices.setdefault(choice["index"], _Choice()).add(choice)
        top.update({name: value for name, value in chunk.items() if name not in OURS or name == "usage"})
    told = [choices[index].rendered(index) for index in sorted(choices, key=int)]
    return b'{"choices":[' + b",".join(told) + b"]" + _after(top) + b"}"


def _after(members: Mapping[str, bytes]) -> bytes:
    return b"".join([b"," + encode(name) + b":" + value for name, value in members.items()])


class _Choice:
    """One choice while its deltas are added up."""

    def __init__(self) -> None:
        self._texts: dict[str, list[bytes]] = {}
        self._details: list[bytes] = []
        self._calls: dict[bytes, _Call] = {}
        self._rest: Members = {}
        self._more: Members = {}

    def add(self, choice: Members) -> None:
        for name, value in members_of(choice.pop("delta", b"{}")).items():
            self._add(name, value)
        for name, value in choice.items():
            if name == "logprobs":
                self._more[name] = _with_lists_joined(self._more.get(name, _NULL), value)
            elif name != "index" and (value != _NULL or name not in self._more):
                self._more[name] = value

    def _add(self, name: str, value: bytes) -> None:
        if name in _TEXTS:
            if is_text(value):
                self._texts.setdefault(name, []).append(value)
        elif name == DETAILS:
            if value not in EMPTY_VALUES:
                self._details.append(value)
        elif name == "tool_calls" and value.startswith(b"["):
            for call in objects_of(value):
                self._calls.setdefault(call["index"], _Call()).add(call)
        elif value.startswith(b"[") and self._rest.get(name, b"").startswith(b"["):
            self._rest[name] = _joined_lists(self._rest[name], value)
        elif value != _NULL or name not in self._rest:
            self._rest[name] = value

    def rendered(self, index: bytes) -> bytes:
        message: Members = {"role": b'"assistant"', "content": _NULL if self._calls else b'""'}
        message.update(self._rest)
        message.update({name: joined(self._texts[name]) for name in _TEXTS if name in self._texts})
        if self._details:
            message[DETAILS] = merged(self._details)
        if self._calls:
            message["tool_calls"] = b"[" + b",".join([call.rendered() for call in self._calls.values()]) + b"]"
        told = b"{" + _after(message)[1:] + b"}"
        return b'{"index":' + index + b',"message":' + told + _after(self._more) + b"}"


class _Call:
    """One tool call while its deltas are added up."""

    def __init__(self) -> None:
        self._members: Members = {}
        self._function: Members = {}
        self._arguments: list[bytes] = []

    def add(self, call: Members) -> None:
        function = members_of(call.pop("function", b"{}"))
        arguments = function.pop("arguments", b"")
        if is_text(arguments):
            self._arguments.append(arguments)
        self._function.update(function)
        self._members.update({name: value for name, value in call.items() if name != "index"})

    def rendered(self) -> bytes:
        function = {**self._function, "arguments": joined(self._arguments)}
        return b"{" + _after({**self._members, "function": b"{" + _after(function)[1:] + b"}"})[1:] + b"}"


def _with_lists_joined(before: bytes, value: bytes) -> bytes:
    """An object whose members that are lists (of token probabilities) go on those of the one before."""
    if not before.startswith(b"{") or not value.startswith(b"{"):
        return before if value == _NULL else value
    first = members_of(before)
    joint: dict[str, bytes | None] = {}
    for name, more in members_of(value).items():
        if first.get(name, b"").startswith(b"[") and more.startswith(b"["):
            joint[name] = _joined_lists(first[name], more)
        elif more != _NULL:
            joint[name] = more
    return changed(before, first, joint)


def _joined_lists(first: bytes, second: bytes) -> bytes:
    return b"[" + b",".join([*raw_items(first), *raw_items(second)]) + b"]"
