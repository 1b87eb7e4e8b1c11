"""A complete answer: the upstream's JSON in, the client's out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from providers.classify import classify_in_band, tells_of_error
from providers.dialects import extracted
from providers.dialects.arguments import malformed_in
from providers.dialects.assemble import assembled, is_stream
from providers.dialects.base import Envelope, Extract, Tail, Usage
from providers.dialects.choice import NO_CHOICES, Choice, RawMembers
from providers.dialects.profile import Profile
from providers.edit import as_utf8, rewritten, with_items
from providers.errors import BadAnswer, EmptyAnswer
from providers.reasoning import EMPTY_VALUES
from providers.reasoning_memory import Thought
from providers.redact import is_markup
from providers.splice import encode, items_in, members_in
from providers.surrogates import hide_lone_surrogates, restored
from providers.usage import parse_usage, render_usage

_NULL = msgspec.Raw(b"null")
_MALFORMED = "A message in the provider's answer is malformed."
_NO_ERROR = EMPTY_VALUES | {b"false"}
_SPACE = b" \t\r\n\xef\xbb\xbf"


class WholeAnswer:
    """`base.Whole` for every profile. Raises ProviderError where the answer is none."""

    def __init__(self, data: bytes, envelope: Envelope, profile: Profile) -> None:
        self._envelope = envelope
        self.produced = 0
        self.thoughts: tuple[Thought, ...] = ()
        self._body, self._members, self._stand_ins = _read(data, envelope, profile)
        _refuse_error(self._body, self._members, profile)
        if envelope.extract:
            self._body, self._members = _extracted(self._body, self._members, envelope.extract)
        items = _items(self._members)
        try:
            choices = [Choice(item, profile) for item in items]
            self.finish_reason: str | None = _judged(choices)
            made = self._taken(choices, profile)
        except ValueError as error:
            raise BadAnswer(_MALFORMED) from error
        self._choices = msgspec.Raw(with_items(bytes(self._members["choices"]), items, made))
        usage = self._members.get("usage", _NULL)
        self.usage: Usage | None = None if usage == _NULL else parse_usage(bytes(usage))

    def _taken(self, choices: Sequence[Choice], profile: Profile) -> list[msgspec.Raw]:
        """What the client is shown of each choice; what is counted and remembered of it is noted."""
        remember = self._envelope.remember or profile.emits == "details"
        made: list[msgspec.Raw] = []
        for choice in choices:
            self.produced += choice.produced
            if remember and (thought := choice.thought()) is not None:
                self.thoughts += (thought,)
            made.append(choice.rendered(len(made), self._envelope))
        return made

    @property
    def malformed(self) -> bool | None:
        """See `base.Whole`. Read only by who knows that tools were called: it costs another reading."""
        return malformed_in(self._choices)

    def render(self, tail: Tail) -> bytes:
        """See `base.Whole`."""
        envelope, members = self._envelope, self._members
        changes: dict[str, object] = {"id": envelope.id, "object": "chat.completion", "created": envelope.created}
        if "provider" in members:
            changes["model"], changes["provider"] = envelope.model, envelope.provider
        else:
            changes["model"] = _with_provider(envelope.model, envelope.provider)
        changes["choices"] = self._choices
        if "system_fingerprint" not in members:
            changes["system_fingerprint"] = _NULL  # OpenRouter's SDKs refuse an answer without it
        stale: list[str] = []
        if (usage := render_usage(tail.usage or self.usage, tail.cost, tail.prompt_cost)) is not None:
            changes["usage"] = msgspec.Raw(usage)
        elif "usage" in members:
            stale.append("usage")
        if tail.metadata is not None:
            changes["openrouter_metadata"] = msgspec.Raw(tail.metadata)
        elif "openrouter_metadata" in members:
            stale.append("openrouter_metadata")
        if "error" in members:
            stale.append("error")
        made = rewritten(self._body, members, changes, stale)
        return restored(made, self._stand_ins) if self._stand_ins else made


@lru_cache(maxsize=1024)
def _with_provider(model: str, provider: str) -> msgspec.Raw:
    """The value of `model` with `provider` behind it: where OpenRouter has it, not at the end."""
    return msgspec.Raw(encode(model) + b',"provider":' + encode(provider))


def _read(data: bytes, envelope: Envelope, profile: Profile) -> tuple[bytes, RawMembers, dict[bytes, bytes]]:
    """The answer's object, its members, and stand-ins for what is no valid text in it."""
    body = data.strip(_SPACE)
    if not body:
        raise BadAnswer("The provider's answer is empty.")
    if not body.isascii():
        body = as_utf8(body)
    stand_ins: dict[bytes, bytes] = {}
    try:
        if is_stream(body):
            # One blank line more, for a last event that came without.
            body, stand_ins = hide_lone_surrogates(body)
            body = assembled(body + b"\n\n", envelope, profile)
        return body, members_in(body), stand_ins
    except ValueError:
        pass
    try:
        body, stand_ins = hide_lone_surrogates(body)
        return body, members_in(body), stand_ins
    except ValueError as error:
        what = "a page" if is_markup(body[:200].decode("utf-8", "replace")) else "something that is not a JSON object"
        raise BadAnswer(f"The provider answered with {what} instead of a completion.") from error


def _refuse_error(body: bytes, members: RawMembers, profile: Profile) -> None:
    """Raises what the provider says went wrong."""
    error = members.get("error")
    if error is not None and (told := bytes(error)) not in _NO_ERROR:
        raise classify_in_band(told, profile.errors)
    if members.get("choices", _NULL) == _NULL and tells_of_error({name: bytes(one) for name, one in members.items()}):
        raise classify_in_band(body, profile.errors)


def _extracted(body: bytes, members: RawMembers, wanted: frozenset[Extract]) -> tuple[bytes, RawMembers]:
    if "choices" not in members:
        return body, members
    try:
        choices = msgspec.Raw(extracted.choices(bytes(members["choices"]), wanted))
    except ValueError:
        return body, members  # what is wrong with it is said where it is read
    return rewritten(body, members, {"choices": choices}), {**members, "choices": choices}


def _items(members: RawMembers) -> list[msgspec.Raw]:
    """The choices."""
    if "choices" not in members:
        raise BadAnswer("The provider's answer has no choices.")
    try:
        found = items_in(members["choices"])
    except ValueError as error:
        raise BadAnswer(NO_CHOICES) from error
    if not found:
        raise EmptyAnswer("The provider's answer has an empty list of choices.")
    return found


def _judged(choices: Sequence[Choice]) -> str:
    """The first choice's finish reason. Raises ProviderError where there is no answer to finish."""
    silent = True
    for choice in choices:
        if choice.finish_reason == "error":
            raise choice.error()
        silent = silent and not choice.says and choice.finish_reason in ("stop", "tool_calls")
    if silent:
        raise EmptyAnswer("The provider's answer has nothing in it.")
    return choices[0].finish_reason
