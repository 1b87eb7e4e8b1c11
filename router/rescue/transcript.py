"""What the client of a stream already holds: text, reasoning and tool calls, whatever events they came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from providers.edit import members_of, objects_of
from providers.reasoning import CONTENT, DETAILS, EMPTY_VALUES, FIELDS, PLAIN, is_text, text_of_details
from providers.splice import raw_items, value_of

MANY = 256
"""Events are kept as they are up to so many and only then read: most answers are shorter, and cost nothing."""
LARGE = 4096
"""Bytes."""

Kind = Literal["reasoning", "content", "calls"]

_NULL = b"null"
_KNOWN = frozenset(("role", "content", "tool_calls", *FIELDS))
_PLAIN_ENTRY = frozenset(("type", "text", "format", "index", "id", "signature"))
_NO_FORMAT = (_NULL, b'""', b'"unknown"')
_CALL = frozenset(("index", "id", "type", "function"))
_FUNCTION = frozenset(("name", "arguments"))


class OpaqueError(ValueError):
    """Something that cannot be said a second time: signed, encrypted, of more than one choice, or unknown to us."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one delta says of one kind. Of a tool call: `text` is of its arguments, `item` its JSON."""

    kind: Kind
    text: str
    index: int = 0
    id: str = ""
    name: str = ""
    item: bytes = b""


@dataclass(slots=True)
class Call:
    """A tool call, as far as it came."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Segment:
    """An unbroken run of one kind."""

    kind: Kind
    pieces: list[str] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def add(self, part: Part) -> None:
        if part.kind != "calls":
            self.pieces.append(part.text)
            return
        call = self.calls.setdefault(part.index, Call())
        call.id = call.id or part.id
        call.name = call.name or part.name
        call.arguments.append(part.text)


class _Choice(msgspec.Struct):
    index: int = 0
    delta: msgspec.Raw = msgspec.Raw(_NULL)
    logprobs: msgspec.Raw = msgspec.Raw(_NULL)


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["reasoning.text"]
    text: str
    format: Literal["unknown"] = "unknown"
    index: int = 0


class _UsualDelta(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["assistant"] = "assistant"
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[_Entry] | None = None


class _UsualChoice(msgspec.Struct):
    delta: _UsualDelta
    index: Literal[0] = 0
    logprobs: None = None


class _Usual(msgspec.Struct):
    """Nearly every chunk of nearly every answer: read in one go, since long answers have many."""

    choices: tuple[_UsualChoice]


_chunk = msgspec.json.Decoder(_Chunk).decode
_usual = msgspec.json.Decoder(_Usual).decode


class Transcript:
    """Collects the events handed to the client: they are appended to `events`, and `condense`d when there are `MANY`
    or after `LARGE` ones, so that hearing one costs next to nothing; memory is that of the text."""

    __slots__ = ("_opaque", "_segments", "events")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        """Whole events, as they were handed out, and not read yet."""
        self._segments: list[Segment] = []
        self._opaque = False

    def said(self) -> list[Segment] | None:
        """All of it in order; None where it cannot be said a second time."""
        self.condense()
        return None if self._opaque else self._segments

    def condense(self) -> None:
        """Read what is not read yet, and keep its text alone."""
        events = b"".join(self.events)
        self.events.clear()
        if self._opaque:
            return
        try:
            for event in split(events):
                self._read(event)
        except (ValueError, RecursionError):
            self._opaque = True
            self._segments = []
        for segment in self._segments:
            if len(segment.pieces) > 1:
                segment.pieces = [segment.text]

    def _read(self, event: bytes) -> None:
        try:
            delta = _usual(event).choices[0].delta
        except msgspec.ValidationError:
            self._read_unusual(event)
            return
        reasoning = delta.reasoning or delta.reasoning_content
        if not reasoning and delta.reasoning_details:
            reasoning = "".join([entry.text for entry in delta.reasoning_details])
        if reasoning:
            self._segment("reasoning").pieces.append(reasoning)
        if delta.content:
            self._segment("content").pieces.append(delta.content)

    def _read_unusual(self, event: bytes) -> None:
        for choice in _chunk(event).choices:
            if choice.index != 0 or bytes(choice.logprobs) not in EMPTY_VALUES:
                raise OpaqueError
            for part in parts_of(members_of(choice.delta)):
                self._segment(part.kind).add(part)

    def _segment(self, kind: Kind) -> Segment:
        """The run that goes on, or a new one."""
        if not self._segments or self._segments[-1].kind != kind:
            self._segments.append(Segment(kind))
        return self._segments[-1]


def split(events: bytes) -> Iterator[bytes]:
    """The JSON of each of the client's events."""
    for event in events.split(b"\n\n"):
        if event:
            yield event.removeprefix(b"data: ")


def parts_of(delta: Mapping[str, bytes]) -> list[Part]:
    """What a delta says, reasoning first. Raises OpaqueError (or another ValueError) where that is not all of it."""
    for name, value in delta.items():
        if name not in _KNOWN and value not in EMPTY_VALUES:
            raise OpaqueError
    found: list[Part] = []
    if reasoning := _reasoning(delta):
        found.append(Part("reasoning", reasoning))
    content = delta.get("content", _NULL)
    if content not in EMPTY_VALUES:
        found.append(Part("content", _text(content)))
    calls = delta.get("tool_calls", _NULL)
    if calls not in EMPTY_VALUES:
        found.extend(map(_call, raw_items(calls)))
    return found


def _reasoning(delta: Mapping[str, bytes]) -> str:
    details = delta.get(DETAILS, _NULL)
    if details not in EMPTY_VALUES and not all(map(_is_plain, objects_of(details))):
        raise OpaqueError
    for name in (PLAIN, CONTENT):
        if is_text(text := delta.get(name)) and text is not None:
            return _text(text)
    return "" if details in EMPTY_VALUES else _text(text_of_details(details))


def _is_plain(entry: Mapping[str, bytes]) -> bool:
    """Nothing but text: neither signed, nor to be signed by what would have come later."""
    return (
        entry.get("type") == b'"reasoning.text"'
        and entry.keys() <= _PLAIN_ENTRY
        and entry.get("signature", _NULL) in EMPTY_VALUES
        and entry.get("format", _NULL) in _NO_FORMAT
    )


def _call(item: bytes) -> Part:
    members = members_of(item)
    function = members_of(members.get("function", b"{}"))
    _must_be_known(members, _CALL)
    _must_be_known(function, _FUNCTION)
    name, arguments = function.get("name", _NULL), function.get("arguments", _NULL)
    id_ = members.get("id", _NULL)
    index = value_of(members.get("index", b"0"))
    return Part(
        kind="calls",
        text="" if arguments == _NULL else _text(arguments),
        index=index if isinstance(index, int) else 0,
        id="" if id_ == _NULL else _text(id_),
        name="" if name == _NULL else _text(name),
        item=item,
    )


def _must_be_known(members: Mapping[str, bytes], known: Iterable[str]) -> None:
    if any(name not in known and value not in EMPTY_VALUES for name, value in members.items()):
        raise OpaqueError


def _text(value: bytes) -> str:
    text = value_of(value)
    if not isinstance(text, str):
        raise OpaqueError
    return text
