"""The protocol of a dialect: what goes out, what comes in whole, what comes in as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, Protocol

import msgspec

from providers.errors import ProviderError
from providers.reasoning_memory import Thought
from providers.splice import JsonObject
from providers.usage import Usage as Usage

Extract = Literal["think", "kimi_markers"]
"""`<think>…</think>` at the start of a text, and Kimi's raw markers of tool calls."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class Call(msgspec.Struct, frozen=True, gc=False):
    """What one attempt sends upstream."""

    body: JsonObject
    """The client's request."""
    model: str
    """The upstream's own id of the model."""
    stream: bool
    supports: frozenset[str] | None = None
    """Parameters the endpoint takes (OpenRouter's names); None: not known, all."""
    reasoning_mandatory: bool = False
    """The model always reasons: a client's wish for none must not become the upstream's 400."""
    provider: str = ""
    """The provider's slug."""
    recalled: Mapping[str, str] = NOTHING
    """What is remembered of the reasoning before tool calls: by call id, see `reasoning_memory`."""
    origins: Mapping[str, str] = NOTHING
    """Slugs of the providers that issued signed blocks: by identity, see `reasoning_memory`."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What is ours in an answer."""

    id: str
    """`gen-…`, constant over a stream."""
    model: str
    """The catalogue id that serves the request."""
    provider: str
    """The provider's display name."""
    created: int
    """Unix seconds."""
    exclude_reasoning: bool = False
    """The client wants no reasoning returned."""
    usage_chunk: bool = False
    """The client asked for a usage chunk of its own (`stream_options.include_usage`)."""
    remember: bool = False
    """Tools may be called, so the reasoning before a call is collected (`thoughts`)."""
    extract: frozenset[Extract] = frozenset()
    """What is looked for in text that should not be there."""


class Tail(msgspec.Struct, frozen=True, gc=False):
    """What is known only when the answer is complete, as JSON to splice in."""

    cost: Decimal | None = None
    """USD for the whole request, by our price."""
    prompt_cost: Decimal | None = None
    """The part of `cost` that is not the completion's."""
    metadata: bytes | None = None
    """`openrouter_metadata`, where the client asked for it."""
    usage: Usage | None = None
    """Shown instead of what the upstream reported: estimated, or summed over the attempts of a rescue."""


class Whole(Protocol):
    """A complete, non-streamed answer."""

    @property
    def usage(self) -> Usage | None: ...

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice; never None for a complete answer."""
        ...

    @property
    def produced(self) -> int:
        """Bytes of text, reasoning and tool arguments produced; to estimate tokens where usage is missing."""
        ...

    @property
    def thoughts(self) -> tuple[Thought, ...]:
        """The reasoning worth remembering, one a choice; complete once the answer is. () for most answers."""
        ...

    @property
    def malformed(self) -> bool | None:
        """Whether the arguments of a tool call are no JSON object. None: no tools were called, or the answer was
        cut off; known once it is complete."""
        ...

    def render(self, tail: Tail) -> bytes:
        """The client's JSON."""
        ...


class StreamReader(Protocol):
    """An answer that arrives in pieces. Feed bytes, get bytes that end at an event's end.

    Everything before the first real delta (role-only chunks, comments, empty deltas) is held back,
    so the first bytes handed out are content: the point of no return. The finish and the usage are
    held back too, until `finish`.
    """

    @property
    def events(self) -> int:
        """Data events seen so far; comments do not count."""
        ...

    @property
    def started(self) -> bool:
        """Content was handed out."""
        ...

    @property
    def ended(self) -> bool:
        """`[DONE]` or an error was seen: feed no more."""
        ...

    @property
    def error(self) -> ProviderError | None:
        """Why the stream is broken."""
        ...

    @property
    def usage(self) -> Usage | None:
        """What the upstream reported last."""
        ...

    @property
    def finish_reason(self) -> str | None:
        """Of the first choice."""
        ...

    @property
    def produced(self) -> int:
        """Bytes of text, reasoning and tool arguments so far."""
        ...

    @property
    def thoughts(self) -> tuple[Thought, ...]:
        """The reasoning worth remembering, one a choice; complete once the answer is. () for most answers."""
        ...

    @property
    def malformed(self) -> bool | None:
        """Whether the arguments of a tool call are no JSON object. None: no tools were called, or the answer was
        cut off; known once it is complete."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Never raises; a fault shows in `error`. What came before the fault is still returned."""
        ...

    def eof(self) -> bytes:
        """The upstream closed its stream. Without a finish reason that is an `error` (Broken), and an
        answer with no content at all is one too (EmptyAnswer)."""
        ...

    def finish(self, tail: Tail) -> bytes:
        """The finish chunk, the usage (with cost), and `[DONE]`."""
        ...

    def fail(self, error: ProviderError, status: int, metadata: Mapping[str, object], tail: Tail) -> bytes:
        """One in-band error chunk (`error {code, message, metadata}`, finish_reason "error"), and `[DONE]`."""
        ...


class Dialect(Protocol):
    """One kind of upstream."""

    @property
    def name(self) -> str: ...

    def encode(self, call: Call) -> bytes:
        """The upstream request's body. Raises InvalidRequest."""
        ...

    def forwards(self) -> frozenset[str]:
        """Names of client headers (lower case) that this kind of upstream wants to see."""
        ...

    def whole(self, data: bytes, envelope: Envelope) -> Whole:
        """Read a 200 answer to a non-streamed request. Raises ProviderError (an error in it, malformed, empty)."""
        ...

    def stream(self, envelope: Envelope) -> StreamReader:
        """A reader for a 200 answer to a streamed request."""
        ...

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """What an answer other than 200 means."""
        ...
