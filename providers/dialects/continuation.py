"""A request for the rest of an answer: the client's own, with what was said so far as the assistant's beginning."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from providers.dialects.base import Dialect
from providers.dialects.engine import ProfileDialect
from providers.dialects.profile import PREFIXES, Prefix
from providers.reasoning import CONTENT
from providers.splice import JsonObject, encode

_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class Begun:
    """What was said so far."""

    text: str
    reasoning: str
    """What was thought before the text; "" where nothing was, or it is not known."""
    tokens: int
    """How many tokens both are, about."""


class _Message(msgspec.Struct):
    role: str


_messages = msgspec.json.Decoder(list[_Message]).decode


def prefix_of(dialect: Dialect, named: str | None = None) -> Prefix | None:
    """How an upstream takes over a begun answer; `named`: as the operator says. None: not at all, or not known."""
    name = named
    if name is None and isinstance(dialect, ProfileDialect):
        name = dialect.profile.prefix
    return PREFIXES.get(name or "none")


def continued(body: JsonObject, begun: Begun, prefix: Prefix) -> JsonObject | None:
    """The request to send, `begun.text` as it is; None where this one cannot be sent with a beginning."""
    if any(body.get(name) is not None for name in prefix.not_with) or _ends_with_assistant(body):
        return None
    message = {"role": b'"assistant"', "content": encode(begun.text), **prefix.message}
    if prefix.reasoning and begun.reasoning:
        message[CONTENT] = encode(begun.reasoning)
    rendered = b"{" + b",".join([encode(name) + b":" + value for name, value in message.items()]) + b"}"
    messages = body.values["messages"].rstrip(b" \t\r\n")
    changes: dict[str, bytes | None] = {"messages": messages[:-1] + b"," + rendered + b"]", **prefix.request}
    for name in _LIMITS:
        most = body.get(name)
        if most is not None:
            changes[name] = encode(max(1, int(most) - begun.tokens))
    return JsonObject(body.rewritten(changes))


def _ends_with_assistant(body: JsonObject) -> bool:
    """The client hands over a beginning of its own: two in a row would be read as two answers."""
    messages = _messages(body.values["messages"])
    return bool(messages) and messages[-1].role == "assistant"
