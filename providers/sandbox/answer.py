"""What a simulated model says: an answer as a value, and the deltas it is streamed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from providers.splice import raw_items


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool. `arguments` is JSON text, exactly as it is to arrive."""

    name: str
    arguments: str
    id: str | None = None
    """None: Kimi K2's form, `functions.<name>:<index>`."""
    fragments: tuple[str, ...] | None = None
    """The arguments as they are split into deltas; None: by `Answer.fragment`."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider reports as used. `prompt` includes `cached`, `completion` includes `reasoning`."""

    prompt: int | None = None
    """None: a quarter of the request's bytes, so that it grows with the prompt."""
    completion: int | None = None
    """None: one a delta."""
    cached: int = 0
    reasoning: int | None = None
    """None: one a reasoning delta."""


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a streamed answer; only what it carries is set."""

    reasoning: str | None = None
    content: str | None = None
    details: str | None = None
    """JSON array to be sent as `reasoning_details`, character for character."""
    call: ToolCall | None = None
    """Set on the delta that opens a tool call."""
    index: int | None = None
    """Which tool call this delta belongs to."""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: reasoning first, then content, then tool calls, split the same way every time."""

    content: str = "Hello!"
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    """None: `tool_calls` where there are any, else `stop`."""
    tokens: Tokens = field(default_factory=Tokens)
    fragment: int = 4
    """Characters a delta, where no fragments are given."""
    content_fragments: tuple[str, ...] | None = None
    reasoning_fragments: tuple[str, ...] | None = None
    reasoning_details: tuple[str, ...] = ()
    """OpenRouter dialect: one JSON array a delta, replayed exactly; the n-th goes with the n-th reasoning
    fragment, those left over travel alone. Empty: made from the reasoning, format `unknown`, index 0."""
    whole_reasoning_details: str | None = None
    """OpenRouter dialect, not streamed: the message's JSON array. None: every item of `reasoning_details`."""
    interleave: bool = False
    """Whether parallel tool calls take turns delta by delta."""

    def __post_init__(self) -> None:
        """Raises ValueError where fragments do not add up to their text."""
        _must_join("content", self.content, self.content_fragments)
        _must_join("reasoning", self.reasoning, self.reasoning_fragments)
        for call in self.tool_calls:
            _must_join(f"arguments of {call.name}", call.arguments, call.fragments)

    @property
    def expected_content(self) -> str:
        """What a client must hold as content."""
        return self.content

    @property
    def expected_reasoning(self) -> str:
        """What a client must hold as reasoning."""
        return self.reasoning

    @property
    def expected_tool_calls(self) -> list[dict[str, object]]:
        """What a client must hold as `tool_calls`."""
        return [
            {
                "id": self.call_id(index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(self.tool_calls)
        ]

    @property
    def expected_reasoning_details(self) -> list[bytes]:
        """The exact bytes of every `reasoning_details` item that was given, in order."""
        return [item for array in self.reasoning_details for item in raw_items(array.encode())]

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def reasoning_tokens(self) -> int:
        return len(self._reasoning()) if self.tokens.reasoning is None else self.tokens.reasoning

    @property
    def completion_tokens(self) -> int:
        return sum(1 for _ in self.deltas()) if self.tokens.completion is None else self.tokens.completion

    def call_id(self, index: int) -> str:
        call = self.tool_calls[index]
        return call.id or f"functions.{call.name}:{index}"

    def deltas(self) -> Iterator[Delta]:
        """The answer in the order it is streamed, without role and finish."""
        for text, details in zip_longest(self._reasoning(), self.reasoning_details):
            yield Delta(reasoning=text, details=details)
        for text in _split(self.content, self.content_fragments, self.fragment):
            yield Delta(content=text)
        calls = [list(self._call(index)) for index in range(len(self.tool_calls))]
        if self.interleave:
            turns = zip_longest(*calls)
            yield from (delta for turn in turns for delta in turn if delta is not None)
        else:
            yield from chain.from_iterable(calls)

    def _reasoning(self) -> tuple[str, ...]:
        return _split(self.reasoning, self.reasoning_fragments, self.fragment)

    def _call(self, index: int) -> Iterator[Delta]:
        call = self.tool_calls[index]
        yield Delta(call=call, index=index)
        for text in _split(call.arguments, call.fragments, self.fragment):
            yield Delta(index=index, arguments=text)


def _split(text: str, fragments: tuple[str, ...] | None, size: int) -> tuple[str, ...]:
    if fragments is not None:
        return fragments
    return tuple(text[at : at + size] for at in range(0, len(text), size))


def _must_join(what: str, text: str, fragments: tuple[str, ...] | None) -> None:
    if fragments is not None and "".join(fragments) != text:
        raise ValueError(f"the fragments of the {what} do not add up to it: {fragments!r} is not {text!r}")
