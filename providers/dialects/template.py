"""The repeated part of a stream's events: where only a text or a delta differs, no more than that is read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from providers.dialects.chunk import more_of_choice
from providers.dialects.delta import ChoiceStream
from providers.dialects.extracted import ExtractedDelta
from providers.dialects.render import Chunks
from providers.dialects.tools import CallStream
from providers.edit import as_utf8
from providers.reasoning import FIELDS
from providers.reasoning_memory import Collector
from providers.sse import MAX_EVENT_BYTES, EventReader

_NULL = b"null"
_BEFORE_DELTA = b'"delta":'
_TRIES = 16
"""Templates learned in a row without one use, after which a stream is taken to have none."""
_TEXT_TRIES = 4
_RARELY = 64
"""After so many tries a text is looked for in one delta of so many: what comes may change in kind."""
_MOST_TEXTS = 3
"""Kinds of events told apart by what is around their text: content, reasoning, arguments."""

_string = msgspec.json.Decoder(str).decode


class Template(NamedTuple):
    """Upstream's bytes around the delta, and ours."""

    prefix: bytes
    suffix: bytes
    choice: ChoiceStream
    before: bytes
    after: bytes
    rest: Mapping[str, bytes]
    """Further members of the choice."""
    more: Mapping[str, bytes]
    """Further top-level members."""


class TextTemplate(msgspec.Struct, frozen=True, gc=False):
    """An event as the upstream sends it, and as the client gets it, but for its text."""

    start: bytes
    """Through the quote that opens the text."""
    end: bytes
    """From the quote that closes it, through the blank line."""
    opens: int
    closes: int
    """Where the text is in an event, with its quotes."""
    pieces: list[bytes]
    """The client's event, split at the text."""
    choice: ChoiceStream
    memory: Collector | CallStream | None
    """Where reasoning is remembered, and what a call is given."""
    extract: ExtractedDelta | None
    """What the text passes through."""
    field: str


class Templates:
    """What the last events looked like that were read in full."""

    __slots__ = ("_calls", "_chunks", "_held", "_sse", "_template", "_text_tries", "_texts", "_tries", "_used")

    def __init__(self, chunks: Chunks, sse: EventReader, held: dict[str, bytes]) -> None:
        """`held` are the top-level members that go with the next chunk handed out: that one has no template."""
        self._chunks = chunks
        self._sse = sse
        self._held = held
        self._template: Template | None = None
        self._texts: list[TextTemplate] = []
        """The latest first."""
        self._tries = _TRIES
        self._text_tries = _TEXT_TRIES
        self._used = False
        self._calls = False
        """There are arguments of calls among the texts."""

    def known(self, event: bytes) -> bytes | None:
        """The client's event for an upstream's, blank line and all, that equals one before it but for its text.

        Sound, because what stands between start and end is one JSON string: no line ends in it, nor anything else.
        """
        for known in self._texts:
            if event.startswith(known.start) and event.endswith(known.end):
                text = event[known.opens : known.closes]
                try:
                    if not (said := _string(text)) or len(event) > MAX_EVENT_BYTES:
                        return None
                except ValueError:
                    return None
                if known.extract is not None and not known.extract.passes(known.field, said):
                    return None
                known.choice.text += len(text) - 2
                if known.memory is not None:
                    known.memory.add({known.field: text})
                self._used = True
                return text.join(known.pieces)
        return None

    def apply(self, data: bytes) -> bytes | None:
        """The client's event for one that equals the last but for its delta; None: it must be read in full.

        Sound, because what stands between the two must itself be one JSON object.
        """
        template = self._template
        if template is None or not (data.startswith(template.prefix) and data.endswith(template.suffix)):
            return None
        delta = data[len(template.prefix) : -len(template.suffix)]
        if not (delta.startswith(b"{") and delta.endswith(b"}")):
            return None
        if not delta.isascii():
            delta = as_utf8(delta)
        try:
            made = template.choice.delta(delta)
        except ValueError:  # more members than the last chunk had, or a fault: for the full reading to see
            return None
        self._tries = _TRIES
        if made is None:
            template.choice.hold(template.rest)
            self.hold(template.more)
            return b""
        self._learn_text(delta, template)
        return template.before + made + template.after

    def hold(self, more: Mapping[str, bytes]) -> None:
        """Keep top-level members of a chunk that is not handed out for the next one."""
        if more:
            self._held.update(more)
            self.forget()

    def forget(self) -> None:
        """Read the next chunk in full."""
        self._template = None
        self._texts = []

    def unsettle(self) -> None:
        """An event is read in another way: it may change how the arguments of a call go on."""
        if self._calls:
            self._calls = False
            self._texts = [known for known in self._texts if known.field != "arguments"]

    def learn(self, data: bytes, choice: Mapping[str, bytes], stream: ChoiceStream, more: Mapping[str, bytes]) -> None:
        """Remember the surroundings of the only choice of a chunk that carried nothing but its delta."""
        raw = choice.get("delta", b"")
        if self._used:
            self._tries = _TRIES
        if not self._tries:
            self._texts = []
            return
        if choice.get("finish_reason", _NULL) != _NULL or choice.get("usage", _NULL) != _NULL or "x_groq" in choice:
            return
        start = data.find(raw)
        if not raw or data.count(raw) != 1 or not data[:start].rstrip(b" ").endswith(_BEFORE_DELTA):
            return
        self._tries -= 1
        rest = more_of_choice(choice)
        before, after = self._chunks.around(stream.around(rest), more)
        self._template = Template(data[:start], data[start + len(raw) :], stream, before, after, rest, more)
        self._learn_text(raw, self._template)

    def _learn_text(self, delta: bytes, template: Template) -> None:
        """Remember what is around the text of a delta that brings nothing else."""
        if self._used:
            self._used, self._text_tries = False, _TEXT_TRIES
        self._text_tries -= 1
        if self._text_tries < 0 and self._text_tries % _RARELY:
            return
        parts = template.choice.parts(delta)
        if parts is None or b"\n" in template.prefix + delta + template.suffix:
            return
        start = self._sse.before + template.prefix + parts.before + b'"'
        end = b'"' + parts.after + template.suffix + self._sse.after
        first, *others = parts.made
        pieces = [template.before + first, *others]
        pieces[-1] += template.after
        choice, field = template.choice, parts.field
        memory = choice.memory if field in FIELDS else choice.calls if field == "arguments" else None
        extract = choice.extract if field != "arguments" else None
        text = TextTemplate(start, end, len(start) - 1, 1 - len(end), pieces, choice, memory, extract, field)
        self._texts = [text, *self._texts[: _MOST_TEXTS - 1]]
        self._calls = self._calls or field == "arguments"
