"""The repeated part of a stream's chunks: where only the delta differs, only the delta is read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from providers.dialects.delta import ChoiceStream
from providers.dialects.render import Chunks
from providers.edit import as_utf8

_NULL = b"null"
_BEFORE_DELTA = b'"delta":'
_TRIES = 16
"""Templates learned in a row without one use, after which a stream is taken to have none."""


class Template(NamedTuple):
    """Upstream's bytes around the delta, and ours."""

    prefix: bytes
    suffix: bytes
    choice: ChoiceStream
    before: bytes
    after: bytes


class Templates:
    """The template of the last chunk that was read in full."""

    __slots__ = ("_chunks", "_template", "_tries")

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._template: Template | None = None
        self._tries = _TRIES

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
        try:
            made = template.choice.delta(delta if delta.isascii() else as_utf8(delta))
        except ValueError:  # more members than the last chunk had, or a fault: for the full reading to see
            return None
        self._tries = _TRIES
        return b"" if made is None else template.before + made + template.after

    def forget(self) -> None:
        """Read the next chunk in full."""
        self._template = None

    def learn(self, data: bytes, choice: Mapping[str, bytes], stream: ChoiceStream, more: Mapping[str, bytes]) -> None:
        """Remember the surroundings of the only choice of a chunk that carried nothing but its delta."""
        raw = choice.get("delta", b"")
        if not self._tries or choice.get("finish_reason", _NULL) != _NULL or choice.get("usage", _NULL) != _NULL:
            return
        start = data.find(raw)
        if not raw or data.count(raw) != 1 or not data[:start].rstrip(b" ").endswith(_BEFORE_DELTA):
            return
        self._tries -= 1
        before, after = self._chunks.around(stream.around(choice), more)
        self._template = Template(data[:start], data[start + len(raw) :], stream, before, after)
