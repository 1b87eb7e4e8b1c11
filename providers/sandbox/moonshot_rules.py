"""What Moonshot answers 400 to, in its own words: pinned sampling, thinking, tool and message rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_PINNED = re.compile(r"kimi-k(2\.[5-9]|[3-9])")
_ALWAYS_THINKING = re.compile(r"kimi-k2(-thinking|\.7-code)")
_MAX_STOPS = 5

Body = Mapping[str, Any]


def first_fault(body: Body) -> str | None:
    """The message of the first rule that this request breaks, or None."""
    rules = (_sampling, _thinking, _tool_choice, _stop, _messages)
    return next((message for rule in rules for message in rule(body)), None)


def is_thinking(body: Body) -> bool:
    """Whether the model would reason on this request."""
    model = str(body.get("model"))
    if _ALWAYS_THINKING.match(model):
        return True
    asked = body.get("thinking")
    disabled = isinstance(asked, dict) and asked.get("type") == "disabled"
    return _PINNED.match(model) is not None and not disabled


def _sampling(body: Body) -> Iterator[str]:
    if not _PINNED.match(str(body.get("model"))):
        return
    pinned = {"temperature": 1 if is_thinking(body) else 0.6, "top_p": 0.95, "n": 1}
    for name, value in pinned.items():
        if body.get(name) not in (None, value):
            yield f"invalid {name}: only {value} is allowed for this model"


def _thinking(body: Body) -> Iterator[str]:
    asked = body.get("thinking")
    if asked is None:
        return
    if not isinstance(asked, dict):
        kind = "bool" if isinstance(asked, bool) else type(asked).__name__
        yield f"invalid thinking: (expected type object) is illegal, and {kind} is not acceptable"
    elif "k2.7-code" in str(body.get("model")) and asked.get("type") != "enabled":
        yield "invalid thinking: only type=enabled is allowed for this model"


def _tool_choice(body: Body) -> Iterator[str]:
    choice = body.get("tool_choice")
    if not is_thinking(body):
        return
    if choice == "required":
        yield "tool_choice 'required' is incompatible with thinking enabled"
    elif isinstance(choice, dict):
        yield "tool_choice 'specified' is incompatible with thinking enabled"


def _stop(body: Body) -> Iterator[str]:
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > _MAX_STOPS:
        yield f"stop array too long. Expected an array with maximum length {_MAX_STOPS}, but got {len(stop)}"


def _messages(body: Body) -> Iterator[str]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "Invalid request: messages is required"
        return
    called: set[object] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            yield f"Invalid request: message at position {index} is not an object"
        elif message.get("role") == "assistant":
            yield from _assistant(body, message, index)
            called |= {call.get("id") for call in message.get("tool_calls") or ()}
        elif message.get("role") == "tool" and message.get("tool_call_id") not in called:
            yield "tool_call_id  is not found"


def _assistant(body: Body, message: Mapping[str, Any], index: int) -> Iterator[str]:
    reasoning = message.get("reasoning_content")
    content = message.get("content")
    if message.get("tool_calls"):
        if is_thinking(body) and not isinstance(reasoning, str):
            yield (
                f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {index}"
            )
        if isinstance(content, list) and any(part.get("text") == "" for part in content):
            yield "text content is empty"
    elif not content and not reasoning:
        yield f"the message at position {index} with role 'assistant' must not be empty"
