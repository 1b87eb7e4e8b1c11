"""The ways to have an answer carried on: by an endpoint that takes its beginning, or by saying all of it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import structs

from providers.dialects.base import Call, Dialect, StreamReader
from providers.dialects.continuation import Begun, continued, prefix_of
from providers.splice import JsonObject
from router.rescue.compare import Continued, Replayed
from router.rescue.resumed import Resumed
from router.rescue.transcript import Segment


class Way(Protocol):
    """How one endpoint is to carry on. Made for one attempt."""

    @property
    def how(self) -> str:
        """`continue` or `replay`."""
        ...

    @property
    def corrected(self) -> bool:
        """The answer said again what it was to carry on, and that was cut off."""
        ...

    def call(self, call: Call) -> Call:
        """What is asked, given what would be asked without it."""
        ...

    def reader(self, reader: StreamReader) -> StreamReader:
        """What reads the answer, given what would read it without it."""
        ...


class Replay:
    """The same request again; what the client has is held back as long as the answer agrees with it."""

    how = "replay"
    corrected = False

    def __init__(self, said: Sequence[Segment]) -> None:
        self._said = said
        self._comparison = Replayed(said)

    def call(self, call: Call) -> Call:
        return call

    def reader(self, reader: StreamReader) -> StreamReader:
        return Resumed(reader, self._comparison, self._said, may_be_empty=False)


class Continue:
    """The same request, with what was said so far as the assistant's beginning."""

    how = "continue"

    def __init__(self, body: JsonObject, said: Sequence[Segment], text: str, blank: str) -> None:
        """`blank`: the white space that follows `text` at the client, and is not sent."""
        self._body = body
        self._said = said
        self._comparison = Continued(text, blank)

    @property
    def corrected(self) -> bool:
        return self._comparison.corrected

    def call(self, call: Call) -> Call:
        return structs.replace(call, body=self._body)

    def reader(self, reader: StreamReader) -> StreamReader:
        return Resumed(reader, self._comparison, self._said, may_be_empty=True)


def ways(
    body: JsonObject, said: Sequence[Segment], tokens: int, dialect: Dialect, named: str | None = None
) -> Iterator[Way]:
    """The ways an upstream can be asked, the better first. `tokens`: about how many `said` is; `named`: see Endpoint's
    `prefix`."""
    onward = _continue(body, said, tokens, dialect, named)
    if onward is not None:
        yield onward
    yield Replay(said)


def _continue(
    body: JsonObject, said: Sequence[Segment], tokens: int, dialect: Dialect, named: str | None
) -> Continue | None:
    """Possible once text was begun, and nothing but text and the reasoning before it was said."""
    prefix = prefix_of(dialect, named)
    kinds = [segment.kind for segment in said]
    if prefix is None or kinds not in (["content"], ["reasoning", "content"]):
        return None
    whole = said[-1].text
    text = whole.rstrip() if prefix.trims else whole
    asked = continued(body, Begun(text, said[0].text if len(said) > 1 else "", tokens), prefix) if text else None
    return None if asked is None else Continue(asked, said, text, whole[len(text) :])
