"""Whether what a model wrote as the arguments of its calls is what it must be: one JSON object each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from providers.edit import text_of
from providers.reasoning import joined
from providers.splice import value_of
from providers.surrogates import hide_lone_surrogates

MOST_ARGUMENTS = 1024 * 1024
"""Bytes of one choice's arguments beyond which they are neither kept nor judged."""


def is_object(text: str) -> bool:
    """Whether a text is one JSON object."""
    try:
        data, _ = hide_lone_surrogates(text.encode())
        return isinstance(value_of(data), dict)
    except ValueError:
        return False


def is_malformed(arguments: Sequence[bytes]) -> bool:
    """Whether JSON strings, joined, say something else than one JSON object; saying nothing is an empty one."""
    return _is_malformed(text_of(joined(list(arguments))))


def _is_malformed(text: str) -> bool:
    return text.strip() != "" and not is_object(text)


class _Function(msgspec.Struct, gc=False):
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str | None = None


_choices = msgspec.json.Decoder(list[_Choice]).decode


def malformed_in(choices: bytes | msgspec.Raw) -> bool | None:
    """Whether a call in the choices of a whole answer has malformed arguments; None: none calls anything.

    One that was cut off for another reason than its calls says nothing of who wrote it.
    """
    try:
        ended = [choice for choice in _choices(choices) if choice.finish_reason == "tool_calls"]
    except (ValueError, RecursionError):
        return True
    functions = [call.function for choice in ended for call in choice.message.tool_calls or ()]
    if not functions:
        return None
    return any([_is_malformed(function.arguments or "") for function in functions if function is not None])
