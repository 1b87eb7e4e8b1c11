"""A second answer held against what the client has of the first: only what goes beyond it is let through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from providers.edit import changed, members_of
from providers.errors import Diverged
from providers.reasoning import CONTENT, DETAILS, EMPTY_VALUES, PLAIN, is_text
from providers.splice import encode, raw_items
from router.rescue.transcript import Part, Segment, parts_of

UNMISTAKABLE = 32
"""Characters two texts share at their beginnings that cannot be chance."""

Delta = Mapping[str, bytes]


class Comparison(Protocol):
    """Takes each delta of the second answer."""

    @property
    def corrected(self) -> bool:
        """The answer repeated what it was to carry on, and that was cut off."""
        ...

    def take(self, raw: bytes, delta: Delta) -> bytes | None:
        """What is new in a delta (its JSON and its members), or None. Raises Diverged."""
        ...

    def end(self) -> bytes | None:
        """The answer is complete: a delta with what was held back and is new after all. Raises Diverged."""
        ...


def _parts(delta: Delta) -> list[Part]:
    try:
        return parts_of(delta)
    except ValueError as error:
        raise Diverged("it answered with something else than what had been sent") from error


class Replayed:
    """An answer from the start: it must say all that the client has, in the same order and to the character."""

    corrected = False

    def __init__(self, said: Sequence[Segment]) -> None:
        self._left: Iterator[Segment] = iter([segment for segment in said if segment.calls or segment.text])
        self._now: _Text | _Calls | None = None
        self._following = next(self._left, None)
        self._advance()

    def take(self, raw: bytes, delta: Delta) -> bytes | None:
        """See Comparison."""
        if self._now is None:
            return raw
        new: list[Part] = []
        for part in _parts(delta):
            new.extend([part] if self._now is None else self._compare(part))
        return _said(new, delta) if new else None

    def end(self) -> bytes | None:
        """See Comparison."""
        if self._now is not None:
            raise Diverged("its answer is shorter than what had been sent")
        return None

    def _compare(self, part: Part) -> list[Part]:
        now = self._now
        assert now is not None
        if part.kind != now.kind:
            raise Diverged("its answer has other parts than what had been sent")
        now.take(part)
        if now.beyond and self._following is not None:
            raise Diverged("its answer is longer in a part that had been sent whole")
        if now.complete:
            self._advance()
            return now.beyond
        return []

    def _advance(self) -> None:
        segment = self._following
        self._following = next(self._left, None)
        if segment is None:
            self._now = None
        else:
            self._now = _Calls(segment) if segment.kind == "calls" else _Text(segment)


class _Text:
    """A run of text or reasoning."""

    def __init__(self, segment: Segment) -> None:
        self.kind = segment.kind
        self.beyond: list[Part] = []
        self._text = segment.text
        self._at = 0

    @property
    def complete(self) -> bool:
        return self._at == len(self._text)

    def take(self, part: Part) -> None:
        """What goes on after the run is in `beyond`. Raises Diverged."""
        held = _agreed(self._text, self._at, part.text)
        self._at += held
        if held < len(part.text):
            self.beyond.append(Part(part.kind, part.text[held:]))


class _Calls:
    """A run of tool calls. Those sent in turns may come in other turns: what is new waits until all agree."""

    kind = "calls"

    def __init__(self, segment: Segment) -> None:
        self.beyond: list[Part] = []
        self._calls = {index: (call.name, "".join(call.arguments)) for index, call in segment.calls.items()}
        self._at: dict[int, int] = {}

    @property
    def complete(self) -> bool:
        return all(self._at.get(index) == len(arguments) for index, (_, arguments) in self._calls.items())

    def take(self, part: Part) -> None:
        """What goes on after the run is in `beyond`. Raises Diverged."""
        if part.index not in self._calls:
            self.beyond.append(part)
            return
        name, arguments = self._calls[part.index]
        first = part.index not in self._at
        if (first or part.name) and part.name != name:
            raise Diverged("it called another tool than had been sent")
        at = self._at.get(part.index, 0)
        held = _agreed(arguments, at, part.text)
        self._at[part.index] = at + held
        if held < len(part.text):
            self.beyond.append(_more_arguments(part.index, part.text[held:]))


def _in_common(one: str, other: str) -> int:
    """How many characters two texts share at their beginnings."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, others) in pairs if mine != others), min(len(one), len(other)))


def _agreed(text: str, at: int, more: str) -> int:
    """How many characters of `more` the client has already. Raises Diverged where it has others."""
    held = min(len(more), len(text) - at)
    if text[at : at + held] != more[:held]:
        raise Diverged("its answer differs from what had been sent")
    return held


def _more_arguments(index: int, text: str) -> Part:
    item = encode({"index": index, "function": {"arguments": text}})
    return Part("calls", text, index, item=item)


def _said(parts: Sequence[Part], delta: Delta) -> bytes:
    """A delta that says these parts, in the fields that `delta` says them in."""
    members: dict[str, bytes] = {}
    for part in parts:
        if part.kind == "content":
            members["content"] = encode(part.text)
        elif part.kind == "reasoning":
            members.update(_reasoning(part.text, delta))
    calls = [part.item for part in parts if part.kind == "calls"]
    if calls:
        members["tool_calls"] = b"[" + b",".join(calls) + b"]"
    return b"{" + b",".join([encode(name) + b":" + value for name, value in members.items()]) + b"}"


def _reasoning(text: str, delta: Delta) -> dict[str, bytes]:
    value = encode(text)
    members = {name: value for name in (PLAIN, CONTENT) if is_text(delta.get(name))}
    details = delta.get(DETAILS, b"null")
    if details not in EMPTY_VALUES:
        entry = raw_items(details)[-1]
        members[DETAILS] = b"[" + changed(entry, members_of(entry), {"text": value}) + b"]"
    return members


class Continued:
    """An answer that is to go on where the text stops. One that says the text again is cut or refused.

    `text` is what the provider was given, `blank` the white space after it that it was not given but the client has.
    """

    def __init__(self, text: str, blank: str) -> None:
        self._text = text
        self._blank = blank
        self._heard = ""
        self._decided = False
        self.corrected = False

    def take(self, raw: bytes, delta: Delta) -> bytes | None:
        """See Comparison."""
        if self._decided:
            return raw
        parts = _parts(delta)
        if any(part.kind == "reasoning" for part in parts):
            raise Diverged("it began to reason anew instead of going on")
        self._heard += "".join([part.text for part in parts if part.kind == "content"])
        calls = [part for part in parts if part.kind == "calls"]
        text = self._new_text(at_end=bool(calls))
        new = ([Part("content", text)] if text else []) + calls
        return _said(new, delta) if new else None

    def end(self) -> bytes | None:
        """See Comparison."""
        text = "" if self._decided else self._new_text(at_end=True)
        return _said([Part("content", text)], {}) if text else None

    def _new_text(self, *, at_end: bool) -> str:
        """What of the text heard so far is new; "" while that is not clear. Raises Diverged."""
        self._cut_repetition()
        heard, blank = self._heard, self._blank
        if not at_end and (blank.startswith(heard) or self._may_repeat()):
            return ""
        if not self.corrected and _in_common(heard, self._text) >= UNMISTAKABLE:
            raise Diverged("it began anew, and differently, instead of going on")
        if heard and not heard.startswith(blank):
            raise Diverged("it went on with other white space than had been sent")
        self._decided = True
        return heard[len(blank) :]

    def _may_repeat(self) -> bool:
        return not self.corrected and self._text.startswith(self._heard)

    def _cut_repetition(self) -> None:
        """A long text said again is taken away; of a short one nobody can tell whether it was meant."""
        text = self._text
        if self.corrected or not self._heard.startswith(text):
            return
        if len(text) < UNMISTAKABLE or text in (text + text)[1:-1]:
            raise Diverged("it may have said again what it was to carry on")
        self._heard = self._heard[len(text) :]
        self.corrected = True
