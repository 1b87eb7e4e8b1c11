"""What is ours in an answer, rendered: the envelope, the chunks, the end of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from providers.dialects.base import Envelope, Tail
from providers.splice import encode

DONE = b"data: [DONE]\n\n"
CHUNK = b'"chat.completion.chunk"'
COMPLETION = b'"chat.completion"'

NEVER_NULL = ("tool_calls", "reasoning_details", "audio", "images")
"""Members of a message or delta that may be missing, but that OpenRouter's TypeScript SDK refuses as null."""

OURS = frozenset(("id", "object", "created", "model", "provider", "usage", "openrouter_metadata"))
"""Top-level members of an answer that the upstream's values never reach the client in."""


def envelope_members(envelope: Envelope, object_: bytes) -> dict[str, bytes]:
    """The envelope's members in OpenRouter's order."""
    return {
        "id": encode(envelope.id),
        "object": object_,
        "created": encode(envelope.created),
        "model": encode(envelope.model),
        "provider": encode(envelope.provider),
    }


def members(values: Mapping[str, bytes]) -> bytes:
    """`"key":value` of each, with a comma after each."""
    return b"".join([encode(key) + b":" + value + b"," for key, value in values.items()])


class Chunks:
    """The chunks of one stream: all start with the same bytes."""

    __slots__ = ("_start",)

    def __init__(self, envelope: Envelope) -> None:
        self._start = b"data: {" + members(envelope_members(envelope, CHUNK))

    def chunk(self, choices: Sequence[bytes], more: Mapping[str, bytes]) -> bytes:
        """One event. `more` are further top-level members."""
        return b"".join((self._start, members(more), b'"choices":[', b",".join(choices), b"]}\n\n"))

    def plain(self, choice: bytes) -> bytes:
        """One event with one choice and nothing else."""
        return self._start + b'"choices":[' + choice + b"]}\n\n"

    def around(self, choice: tuple[bytes, bytes], more: Mapping[str, bytes]) -> tuple[bytes, bytes]:
        """What stands before and after the delta in an event of one choice, given the same of the choice."""
        return self._start + members(more) + b'"choices":[' + choice[0], choice[1] + b"]}\n\n"

    def last(self, choices: Sequence[bytes], more: Mapping[str, bytes], usage: bytes | None, tail: Tail) -> bytes:
        """One event that also carries what is known only at the end."""
        end = {} if usage is None else {"usage": usage}
        if tail.metadata is not None:
            end["openrouter_metadata"] = tail.metadata
        after = b"".join([b"," + encode(key) + b":" + value for key, value in end.items()])
        return self.chunk(choices, more)[:-3] + after + b"}\n\n"


ERROR_CHOICE = b'{"index":0,"delta":{"content":""},"finish_reason":"error"}'
"""The choice of a chunk that tells of an error."""
