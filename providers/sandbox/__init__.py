"""Simulated providers on real sockets, for the demo, the tests and the benchmark."""

from providers.sandbox.answer import Answer, Tokens, ToolCall
from providers.sandbox.connection import Received
from providers.sandbox.damage import Cut, Empty, ErrorInStream, MalformedJson
from providers.sandbox.refusals import (
    Refuse,
    Status,
    bad_key,
    content_filter,
    context_exceeded,
    html_502,
    invalid_request,
    model_retired,
    overloaded,
    quota,
    rate_limited,
    server_error,
)
from providers.sandbox.reply import Ending, Phase
from providers.sandbox.server import REGISTRY, Dialect, Sandbox
from providers.sandbox.timing import Hang, KeepAlive, Slow
from providers.sandbox.wire import Close, RawBytes, Reset, Wire, event_stream, json_answer

__all__ = [
    "REGISTRY",
    "Answer",
    "Close",
    "Cut",
    "Dialect",
    "Empty",
    "Ending",
    "ErrorInStream",
    "Hang",
    "KeepAlive",
    "MalformedJson",
    "Phase",
    "RawBytes",
    "Received",
    "Refuse",
    "Reset",
    "Sandbox",
    "Slow",
    "Status",
    "Tokens",
    "ToolCall",
    "Wire",
    "bad_key",
    "content_filter",
    "context_exceeded",
    "event_stream",
    "html_502",
    "invalid_request",
    "json_answer",
    "model_retired",
    "overloaded",
    "quota",
    "rate_limited",
    "server_error",
]
