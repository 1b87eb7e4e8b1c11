"""A second turn: what a client sends back, and what must reach the provider of it."""

from __future__ import annotations

from typing import Any

from tests.clients.held import Json, details_text
from tests.clients.lab import QUESTION, Scene
from tests.clients.scripts import ANSWERS

FIELDS = ("reasoning", "reasoning_content", "reasoning_details")
SPOKEN = {name: ANSWERS[name] for name in ("rich", "awkward", "parallel")}


def conversation(scene: Scene, message: Any) -> list[Any]:
    """The question, the assistant's message as the client has it, and a result for each call."""
    ids = [call["id"] for call in scene.answer.expected_tool_calls]
    return [*QUESTION, message, *({"role": "tool", "tool_call_id": id_, "content": result_of(id_)} for id_ in ids)]


def result_of(call: str) -> str:
    """The result of a call by its id: JSON in a string that must not be read."""
    return f'{{"of":"{call}"}} 18°\u2028'


def check_upstream(scene: Scene, sent: Json, messages: list[Json]) -> None:
    """That the provider was sent `conversation(scene, sent)` in its own dialect."""
    user, assistant, *results = messages
    assert [user, *results] == [message for message in conversation(scene, None) if message is not None]
    assert assistant["role"] == "assistant"
    assert (assistant.get("content") or "") == scene.answer.content
    calls = [{key: call[key] for key in ("id", "type", "function")} for call in assistant["tool_calls"]]
    for call in calls:
        call["function"].pop("parsed_arguments", None)  # openai-python's helper adds it, and sends it
    assert calls == scene.answer.expected_tool_calls
    if scene.dialect == "openrouter":
        assert {field: assistant.get(field) for field in FIELDS} == {field: sent.get(field) for field in FIELDS}
        assert details_text(assistant) == scene.answer.reasoning
    else:
        told = {field: assistant[field] for field in FIELDS if field in assistant}
        assert told == {"reasoning_content": scene.answer.reasoning}
