"""A streamed answer: the upstream's bytes in, the client's events out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from providers.classify import classify_in_band, tells_of_error
from providers.dialects.base import Envelope, Tail, Usage
from providers.dialects.chunk import index_of, more_of_chunk, usage_in
from providers.dialects.delta import MOST_MEMBERS, ChoiceStream
from providers.dialects.profile import Profile
from providers.dialects.render import DONE, ERROR_CHOICE, Chunks
from providers.dialects.template import Templates
from providers.edit import as_utf8, members_of, objects_of, text_of
from providers.errors import BadAnswer, Broken, EmptyAnswer, ProviderError
from providers.reasoning import EMPTY_VALUES
from providers.reasoning_memory import Thought
from providers.redact import shown
from providers.splice import encode
from providers.sse import MAX_EVENT_BYTES, Event, EventReader
from providers.surrogates import hide_lone_surrogates, restored
from providers.usage import parse_usage, render_usage

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MOST_CHOICES = 128

_NULL = b"null"
_NO_ERROR = EMPTY_VALUES | {b"false"}
_USAGE = frozenset(("usage", "x_groq"))
_SPACE = b" \t\r\n\xef\xbb\xbf"


class Reader:
    """`base.StreamReader` for every profile."""

    def __init__(self, envelope: Envelope, profile: Profile) -> None:
        self.events = 0
        self.started = False
        self.ended = False
        self.error: ProviderError | None = None
        self._profile = profile
        self._envelope = envelope
        self._chunks = Chunks(envelope)
        self._sse = EventReader()
        self._choices: dict[bytes, ChoiceStream] = {}
        self._usage: bytes | None = None
        self._held: dict[str, bytes] = {}
        """Top-level members of chunks that were not handed out: they go with the next one that is."""
        self._templates = Templates(self._chunks, self._sse, self._held)
        self._begun = False
        self._body: list[bytes] | None = None
        self._body_size = 0

    @property
    def usage(self) -> Usage | None:
        """What the upstream reported last."""
        return None if self._usage is None else parse_usage(self._usage)

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's name, of the first choice."""
        return next((choice.finish_reason for choice in self._choices.values()), None)

    @property
    def produced(self) -> int:
        """Bytes of text, reasoning and tool arguments so far."""
        return sum([choice.produced for choice in self._choices.values()])

    @property
    def thoughts(self) -> tuple[Thought, ...]:
        """See `base.StreamReader`."""
        thoughts = [choice.thought for choice in self._choices.values()]
        return tuple([thought for thought in thoughts if thought is not None])

    @property
    def malformed(self) -> bool | None:
        """See `base.StreamReader`."""
        told = [choice.malformed for choice in self._choices.values()]
        return True if True in told else False if False in told else None

    def feed(self, data: bytes) -> bytes:
        """See `base.StreamReader`."""
        if self.ended:
            return b""
        idle = self._sse.idle
        if idle and (known := self._templates.known(data)) is not None:
            self.events += 1
            return known
        if not self._begun:
            self._sniff(data)
            if self.ended:
                return b""
        if self._body is not None:
            self._keep(data)
            return b""
        whole, rest = self._sse.split(data)
        if idle and not rest and len(whole) == 1:  # and it is none that is known
            return self._read(whole[0])
        return self._each(whole) + self._take(self._sse.rest(rest), at_end=False)

    def eof(self) -> bytes:
        """See `base.StreamReader`."""
        if self.ended:
            return b""
        if self._body is not None:
            out = self._whole(b"".join(self._body).strip(_SPACE))
        else:
            out = self._take(self._sse.close(), at_end=True)
        if not self.ended:
            out += self._close(properly=False)
        return out

    def finish(self, tail: Tail) -> bytes:
        """See `base.StreamReader`."""
        usage = render_usage(tail.usage or self.usage, tail.cost, tail.prompt_cost)
        ends = [self._choices[index].end() for index in sorted(self._choices, key=_number)]
        own_chunk = self._envelope.usage_chunk and usage is not None
        last_choices: list[bytes] = [] if own_chunk else ends[-1:]
        out = [self._chunks.plain(end) for end in (ends if own_chunk else ends[:-1])]
        return b"".join((*out, self._chunks.last(last_choices, self._held, usage, tail), DONE))

    def fail(self, error: ProviderError, status: int, metadata: Mapping[str, object], tail: Tail) -> bytes:
        """See `base.StreamReader`."""
        self.ended = True
        message = f"{self._envelope.provider}: {error.message}"
        described = encode({"code": status, "message": message, "metadata": dict(metadata)})
        usage = render_usage(tail.usage or self.usage, tail.cost, tail.prompt_cost)
        return self._chunks.last([ERROR_CHOICE], {"error": described}, usage, tail) + DONE

    def _sniff(self, data: bytes) -> None:
        """Tell a stream of events from a JSON answer and from a page by the first byte that is not blank."""
        first = data.lstrip(_SPACE)[:1]
        if not first:
            return
        self._begun = True
        if first == b"<":
            self._fail(BadAnswer("The provider answered with a page instead of a stream of events."))
        elif first == b"{":
            self._body = []

    def _keep(self, data: bytes) -> None:
        if self._body is not None:
            self._body.append(data)
            self._body_size += len(data)
            if self._body_size > MAX_ANSWER_BYTES:
                self._fail(BadAnswer(f"The provider's answer is longer than {MAX_ANSWER_BYTES >> 20} MiB."))

    def _each(self, whole: list[bytes]) -> bytes:
        """The lines of whole events."""
        out: list[bytes] = []
        known_as, after = self._templates.known, self._sse.after
        for lines in whole:
            if (known := known_as(lines + after)) is not None:
                self.events += 1
                out.append(known)
            else:
                out.append(self._read(lines))
                if self.ended:
                    break
        return b"".join(out)

    def _read(self, lines: bytes) -> bytes:
        event = self._sse.event(lines)
        return b"" if event is None else self._event(event, at_end=False)

    def _take(self, events: Iterable[Event], *, at_end: bool) -> bytes:
        out: list[bytes] = []
        for event in events:
            if chunk := self._event(event, at_end):
                out.append(chunk)
            if self.ended:
                break
        if self._sse.too_long and not self.ended:
            self._fail(BadAnswer(f"The provider sent an event of more than {MAX_EVENT_BYTES >> 20} MiB."))
        return b"".join(out)

    def _event(self, event: Event, at_end: bool) -> bytes:
        data = event.data.strip()
        if data == b"[DONE]":
            return self._close(properly=True)
        if not data or data.startswith(b":"):
            return b""  # a keep-alive in disguise
        self.events += 1
        self._templates.unsettle()
        try:
            if not event.name and (known := self._templates.apply(data)) is not None:
                return known
            if not data.isascii():
                data = as_utf8(data)
            if event.name == b"error":
                return self._told(members_of(data).get("error", data) if data.startswith(b"{") else data)
            return self._chunk(data)
        except ValueError:
            return self._mended(data, at_end)

    def _mended(self, data: bytes, at_end: bool) -> bytes:
        """What can still be made of an event that is not JSON."""
        masked, stand_ins = hide_lone_surrogates(data) if b"\\u" in data else (data, {})
        if stand_ins:
            chunk = self._event(Event(masked), at_end)
            self._templates.forget()
            return restored(chunk, stand_ins)
        if b"\n" in data:  # events that no blank line parted
            return self._take([Event(line) for line in data.split(b"\n")], at_end=at_end)
        cut = Broken("The provider's stream was cut in the middle of an event.")
        start = shown(data[:200].decode("utf-8", "replace"))
        self._fail(cut if at_end else BadAnswer(f"The provider sent an event that cannot be read: {start}"))
        return b""

    def _chunk(self, data: bytes) -> bytes:
        top = members_of(data)
        error = top.get("error", _NULL)
        if error not in _NO_ERROR:
            return self._told(error)
        if tells_of_error(top):
            return self._told(data)
        told = not top.keys().isdisjoint(_USAGE)
        if told and (usage := usage_in(top)) is not None:
            self._usage = usage
        raw_choices = top.get("choices", _NULL)
        choices = objects_of(raw_choices) if raw_choices != _NULL else []
        made = self._take_choices(choices)
        more = more_of_chunk(top)
        if not made:
            self._templates.hold(more)
            if len(self._held) > MOST_MEMBERS:
                raise ValueError("too many members")
            return b""
        self.started = True
        if len(choices) == 1 and (not told or (top.get("usage", _NULL) == _NULL and "x_groq" not in top)):
            self._templates.learn(data, choices[0], self._choices[index_of(choices[0], 0)], more)
        if self._held:
            more = {**self._held, **more}
            self._held.clear()
        return self._chunks.chunk(made, more)

    def _take_choices(self, choices: list[dict[str, bytes]]) -> list[bytes]:
        taken: list[bytes] = []
        for position, choice in enumerate(choices):
            index = index_of(choice, position)
            state = self._choices.get(index)
            if state is None:
                if len(self._choices) >= MOST_CHOICES:
                    raise ValueError("too many choices")
                state = ChoiceStream(index, self._profile, self._envelope)
                self._choices[index] = state
            if not choice.keys().isdisjoint(_USAGE) and (usage := usage_in(choice)) is not None:
                self._usage = usage
            if (made := state.take(choice)) is not None:
                taken.append(made)
            if state.finish_reason == "error":
                self._told(choice.get("error") or encode({"code": text_of(choice["finish_reason"])}))
                break
        return taken

    def _told(self, error: bytes) -> bytes:
        """The provider itself says that it failed."""
        self._fail(classify_in_band(error, self._profile.errors))
        return b""

    def _fail(self, error: ProviderError) -> None:
        self.error = error
        self.ended = True

    def _whole(self, body: bytes) -> bytes:
        """A whole answer, though a stream was asked for."""
        chunk = self._event(Event(body), at_end=True)
        if not self.ended:
            chunk += self._close(properly=True)
        return chunk

    def _close(self, *, properly: bool) -> bytes:
        """Judge the answer once its last byte is there; `properly`: the provider itself said so. What was held back
        for fear of a marker is handed out."""
        self.ended = True
        out = self._rest()
        choices = self._choices.values()
        said = any(choice.said for choice in choices)
        if not properly and (not choices or any(choice.finish_reason is None for choice in choices)):
            self.error = Broken("The provider's stream ended before the answer did.")
            return out
        for choice in choices:
            choice.finish_by_default()
        if not said and all(choice.finish_reason in ("stop", "tool_calls") for choice in choices):
            self.error = EmptyAnswer("The provider's answer has nothing in it.")
        return out

    def _rest(self) -> bytes:
        if not self._envelope.extract:
            return b""
        rests = [rest for choice in self._choices.values() if (rest := choice.rest()) is not None]
        self.started = self.started or bool(rests)
        return b"".join([self._chunks.plain(rest) for rest in rests])


def _number(index: bytes) -> int:
    return int(index)
