"""A stream's reader that hands out only what the client does not have yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from providers.dialects.base import StreamReader, Tail, Usage
from providers.edit import changed, members_of
from providers.errors import Diverged, EmptyAnswer, ProviderError
from providers.reasoning_memory import MOST_KEPT, Thought, call_ids
from providers.splice import encode, raw_items
from router.rescue.compare import Comparison
from router.rescue.transcript import Segment, split


class _Shape(NamedTuple):
    """An event, to put another delta in."""

    data: bytes
    choice: bytes

    def event(self, delta: bytes) -> bytes:
        choice = changed(self.choice, members_of(self.choice), {"delta": delta})
        return b"data: " + changed(self.data, members_of(self.data), {"choices": b"[" + choice + b"]"}) + b"\n\n"


class Resumed:
    """`StreamReader` around another one, whose events pass through a comparison."""

    def __init__(
        self, reader: StreamReader, comparison: Comparison, said: Sequence[Segment], *, may_be_empty: bool
    ) -> None:
        """`said`: what the client has; `may_be_empty`: nothing may be left to say."""
        self._reader = reader
        self._comparison = comparison
        self._may_be_empty = may_be_empty
        self._error: ProviderError | None = None
        self._shape: _Shape | None = None
        self._reasoning = "".join([segment.text for segment in said if segment.kind == "reasoning"])
        self._calls = [call.id for segment in said for call in segment.calls.values() if call.id]
        """Ids that the client has."""

    @property
    def events(self) -> int:
        return self._reader.events

    @property
    def started(self) -> bool:
        """The provider answers: also where all it has said yet is known to the client."""
        return self._reader.started

    @property
    def ended(self) -> bool:
        return self._reader.ended or self._error is not None

    @property
    def error(self) -> ProviderError | None:
        error = self._reader.error
        if self._error is None and self._may_be_empty and isinstance(error, EmptyAnswer):
            return None if self._reader.finish_reason == "stop" else error
        return self._error or error

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    @property
    def finish_reason(self) -> str | None:
        return self._reader.finish_reason

    @property
    def produced(self) -> int:
        return self._reader.produced

    @property
    def malformed(self) -> bool | None:
        return self._reader.malformed

    @property
    def thoughts(self) -> tuple[Thought, ...]:
        """The reasoning of the whole answer, under the ids that its client can bring back."""
        thoughts = self._reader.thoughts
        if not thoughts and self._calls and 0 < len(self._reasoning) <= MOST_KEPT:  # it was said before, not again
            thoughts = (Thought((), encode(self._reasoning), None, ()),)
        return tuple([thought._replace(calls=tuple(self._calls)) for thought in thoughts])

    def feed(self, data: bytes) -> bytes:
        """See StreamReader."""
        return self._through(self._reader.feed(data))

    def eof(self) -> bytes:
        """See StreamReader."""
        return self._through(self._reader.eof())

    def finish(self, tail: Tail) -> bytes:
        """See StreamReader."""
        done = b"data: [DONE]\n\n"
        events = self._reader.finish(tail).removesuffix(done)
        return b"".join([_without_role(event) for event in split(events)]) + done

    def fail(self, error: ProviderError, status: int, metadata: Mapping[str, object], tail: Tail) -> bytes:
        """See StreamReader."""
        return self._reader.fail(error, status, metadata, tail)

    def _through(self, events: bytes) -> bytes:
        out: list[bytes] = []
        try:
            out.extend(map(self._event, split(events)))
            if self._reader.ended and self.error is None:
                rest = self._comparison.end()
                if rest is not None and self._shape is not None:
                    out.append(self._shape.event(rest))
        except Diverged as error:
            self._error = error
        return b"".join(out)

    def _event(self, data: bytes) -> bytes:
        choices = raw_items(members_of(data)["choices"])
        if len(choices) != 1:
            raise Diverged("it answered with more than one choice")
        choice = members_of(choices[0])
        self._shape = _Shape(data, choices[0])
        raw = choice["delta"]
        new = self._comparison.take(raw, members_of(raw))
        if new is None:
            return b""
        self._calls += call_ids(members_of(new).get("tool_calls", b""))
        return self._shape.event(new)


def _without_role(data: bytes) -> bytes:
    """A finishing event without the role that one which was never begun brings."""
    members = members_of(data)
    choices = [_unroled(choice) for choice in raw_items(members["choices"])]
    return b"data: " + changed(data, members, {"choices": b"[" + b",".join(choices) + b"]"}) + b"\n\n"


def _unroled(choice: bytes) -> bytes:
    members = members_of(choice)
    delta = members["delta"]
    inner = members_of(delta)
    return changed(choice, members, {"delta": changed(delta, inner, {"role": None})}) if "role" in inner else choice
