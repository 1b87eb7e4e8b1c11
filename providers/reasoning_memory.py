"""What the gateway keeps of an answer's reasoning, for clients that send less of it back, and how it is found again.

A store maps a name to a text for an hour. Names are tool-call ids and identities of signed blocks (`block:…`); the
text of the first is what `kept` made, that of the second the slug of the provider the block came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from providers.details import has_signature, identities, may_be_signed, merged
from providers.edit import members_of, text_of
from providers.reasoning import CONTENT, DETAILS, EMPTY_VALUES, PLAIN, is_text, joined, text_of_details
from providers.splice import encode
from providers.surrogates import hide_lone_surrogates, restored

MOST_KEPT = 1024 * 1024
"""Bytes of reasoning of one message beyond which nothing is kept."""

_CALLS = b'"tool_calls"'
_NULL = b"null"
_TEXT = ',"text":'
_NONE = msgspec.Raw(_NULL)


class Thought(NamedTuple):
    """The reasoning of one message of an answer."""

    calls: tuple[str, ...]
    """Ids of the tool calls that followed it; () where none did."""
    text: bytes
    """A JSON string; `""` where it has no text."""
    details: bytes | None
    """The `reasoning_details` the upstream itself sent, merged."""
    signed: tuple[str, ...]
    """Identities of its signed and encrypted blocks."""


class Collector:
    """The reasoning of one message while it arrives."""

    __slots__ = ("_details", "_signed", "_size", "_texts")

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._details: list[bytes] = []
        self._signed = False
        self._size = 0

    def add(self, members: Mapping[str, bytes]) -> None:
        """A delta's, or a whole message's, fields of reasoning."""
        details = members.get(DETAILS)
        if details is not None and details not in EMPTY_VALUES:
            self._size += len(details)
            self._details.append(details)
            self._signed = self._signed or may_be_signed(details)
        for field in (CONTENT, PLAIN):
            if is_text(text := members.get(field)) and text is not None:
                self._size += len(text)
                self._texts.append(text)
                break
        if self._size > MOST_KEPT:
            self._texts.clear()
            self._details.clear()

    def thought(self, calls: tuple[str, ...]) -> Thought | None:
        """What was said; None where that was nothing, or nobody will ask for it."""
        if self._size > MOST_KEPT or not (self._texts or self._details) or not (calls or self._signed):
            return None
        try:
            details = merged(self._details) if self._details else None
        except ValueError:
            details = None
        text = joined(self._texts) if self._texts else text_of_details(details or b"[]")
        return Thought(calls, text, details, tuple(identities(details)) if details else ())


def kept(thought: Thought, provider: str) -> str:
    """A thought as a text for the store; `provider` is the slug of the one who had it."""
    record = [b'{"provider":' + encode(provider)]
    if is_text(thought.text):
        record.append(b'"text":' + thought.text)
    if thought.details is not None:
        record.append(b'"details":' + thought.details)
    return (b",".join(record) + b"}").decode("utf-8", "replace")


class Kept(NamedTuple):
    """What `kept` wrote, read again, and held against what a client sends back.

    Some keep the last piece of a stream alone. A text that is but the end of what was said is one of theirs: nobody
    writes that by himself. Any other is the client's own, and stays.
    """

    provider: str
    text: bytes | None
    details: bytes | None

    def whole(self, sent: bytes) -> bytes:
        """The text of which `sent` is but the end, else `sent`. JSON strings."""
        if self.text is None or sent == self.text:
            return sent
        end, whole = text_of(sent), text_of(self.text)
        return self.text if 0 < len(end) < len(whole) and whole.endswith(end) else sent

    def lost(self, message: Mapping[str, bytes]) -> dict[str, bytes | None]:
        """The members that give an assistant's message back what it lacks of this; none where a text of it is its
        own. A list of no details is the client's wish, and stays."""
        whole, sent = text_of(self.text or b""), message.get(DETAILS, _NULL)
        said = {name: self._spoken(message.get(name, b""), whole) for name in (PLAIN, CONTENT)}
        in_details = "" if sent in EMPTY_VALUES else self._spoken(text_of_details(sent), whole)
        if not all(whole.endswith(text) for text in (*said.values(), in_details)):
            return {}
        changes: dict[str, bytes | None] = {name: self.text for name, text in said.items() if text and text != whole}
        lacking = sent == _NULL or (in_details != whole and _is_piece(in_details, sent))
        if not (lacking or changes) or not self._holds(sent):
            return {}
        if lacking and self.details is not None:
            changes[DETAILS] = self.details
        return changes

    def _spoken(self, text: bytes, whole: str) -> str:
        """What a JSON string says; most often that is all of it, which need not be read again."""
        return whole if text == self.text else text_of(text)

    def _holds(self, details: bytes) -> bool:
        """Whether these can be a part of its own."""
        if details in EMPTY_VALUES:
            return True
        return self.details is not None and set(identities(details)) <= set(identities(self.details))


def _is_piece(text: str, details: bytes) -> bool:
    """Whether details with this text, which is not all of it, are one delta's. Signatures come alone, at the end;
    encrypted blocks are whole without a text."""
    return bool(text) or has_signature(details)


def is_whole(text: bytes, record: str) -> bool:
    """Whether a JSON string is, to the byte, the text that `kept` wrote: so it is most often, and then there is no
    need to read all of that."""
    return record.startswith(text.decode("utf-8", "replace"), record.find(_TEXT) + len(_TEXT))


def read(record: str) -> Kept | None:
    """None where a record cannot be read."""
    data = record.encode("utf-8", "replace")
    try:
        members = members_of(data)
    except ValueError:
        members = _with_halves(data)
    if not members:
        return None
    return Kept(text_of(members.get("provider", b"")), members.get("text"), members.get("details"))


def _with_halves(data: bytes) -> dict[str, bytes]:
    """The members of an object whose texts hold halves of characters; {} where it is none."""
    try:
        data, stand_ins = hide_lone_surrogates(data)
        return {name: restored(value, stand_ins) for name, value in members_of(data).items()}
    except ValueError:
        return {}


class _Call(msgspec.Struct):
    id: str | None = None


class _Message(msgspec.Struct):
    role: msgspec.Raw = _NONE
    reasoning: msgspec.Raw = _NONE
    reasoning_content: msgspec.Raw = _NONE
    reasoning_details: msgspec.Raw = _NONE
    tool_calls: msgspec.Raw = _NONE


_messages = msgspec.json.Decoder(list[_Message]).decode
_calls = msgspec.json.Decoder(list[_Call]).decode


class Names(NamedTuple):
    """What may be remembered of a conversation."""

    missing: tuple[str, ...] = ()
    """Ids of calls whose message brings no reasoning, and identities of signed blocks."""
    brought: tuple[str, ...] = ()
    """Ids of calls whose message brings reasoning, which may be but a part of what was said: worth a look, not a
    wait. One that several messages have is not among them, nor in `missing`: whose reasoning it leads to is not known.
    """


NO_NAMES = Names()


def asked_for(messages: bytes) -> Names:
    """The names a store should be asked for before a request with these messages (a JSON array) is sent. NO_NAMES
    for most requests; never raises."""
    if _CALLS not in messages and not may_be_signed(messages):
        return NO_NAMES
    missing: list[str] = []
    brought: list[str] = []
    try:
        for message in _messages(messages):
            if bytes(message.role) == b'"assistant"':
                _name(message, missing, brought)
    except (ValueError, RecursionError):
        return NO_NAMES
    absent, times = dict.fromkeys(missing), Counter(brought)
    return Names(
        tuple([name for name in absent if name not in times]),
        tuple([name for name in times if times[name] == 1 and name not in absent]),
    )


def _name(message: _Message, missing: list[str], brought: list[str]) -> None:
    calls, details = call_ids(bytes(message.tool_calls)), bytes(message.reasoning_details)
    texts = (bytes(message.reasoning), bytes(message.reasoning_content), details)
    if any(text not in EMPTY_VALUES for text in texts):
        brought += dict.fromkeys(calls)
        missing += identities(details)
    else:
        missing += calls


def call_ids(calls: bytes) -> list[str]:
    """The ids in a message's `tool_calls`; [] where it is no list of calls."""
    try:
        return [call.id for call in _calls(calls) if call.id] if calls.startswith(b"[") else []
    except ValueError:
        return []
