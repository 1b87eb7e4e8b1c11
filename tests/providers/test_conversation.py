"""Conversations in which nobody need look for anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.conversation import is_plain
from providers.dialects import REGISTRY
from providers.dialects.base import Call
from providers.reasoning_memory import NO_NAMES, asked_for
from providers.splice import JsonObject

ASKED = {"role": "user", "content": "Why?"}
PLAIN: list[list[dict[str, Any]]] = [
    [ASKED],
    [{"role": "system", "content": "Be brief."}, ASKED, {"role": "assistant", "content": "Because."}, ASKED],
    [{"role": "user", "content": [{"type": "text", "text": "tool_calls, reasoning, signature"}]}],
    [{"role": "user", "content": '"role":"developer","tool_calls":"reasoning"'}, {"role": "assistant"}],
]
SAID = {"role": "assistant", "content": "Because."}
OTHER: list[Any] = [
    [ASKED, {**SAID, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}],
    [{**SAID, "reasoning": "so"}],
    [{**SAID, "reasoning_content": "so"}],
    [{**SAID, "reasoning_details": []}],
    [ASKED, {"role": "developer", "content": "x"}],
    [{"role": "tool", "tool_call_id": "c1", "content": "1"}],
    [{"content": "x"}],
    ["x"],
    {"role": "user"},
    7,
]


def body(messages: Any) -> JsonObject:
    return JsonObject(json.dumps({"model": "m", "messages": messages}).encode())


@pytest.mark.parametrize("messages", PLAIN)
def test_where_a_conversation_is_but_text_nothing_is_asked_for_and_nothing_changed(messages: Any) -> None:
    request = body(messages)
    assert is_plain(request)
    assert asked_for(request.values["messages"]) is NO_NAMES
    for dialect in REGISTRY.values():
        sent = JsonObject(dialect.encode(Call(request, "up", False)))
        assert sent.values["messages"] == request.values["messages"]


@pytest.mark.parametrize("messages", OTHER)
def test_a_conversation_with_anything_else_is_looked_at(messages: Any) -> None:
    request = body(messages)
    assert [is_plain(request), is_plain(request)] == [False, False]


def test_a_request_without_messages_is_not_plain() -> None:
    assert not is_plain(JsonObject(b'{"model":"m"}'))
