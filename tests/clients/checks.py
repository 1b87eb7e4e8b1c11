"""What must hold of an answer as a client shows it, and of the second turn as the provider is sent it."""

from __future__ import annotations

import json
from typing import Any

from providers.sandbox import Answer
from tests.clients.held import Json, script_of
from tests.clients.lab import QUESTION, Scene, profile
from tests.clients.second_turn import result_of

CHECKS = ("reasoning", "content", "tool calls", "usage", "finish", "sent back", "reasoning sent back", "raises")


def misses(scene: Scene, held: Json, requests: list[Json]) -> set[str]:
    """The checks that did not hold: of what the client shows in both turns, and of what it sent in the second."""
    if scene.played is not None:
        return set() if held["first"] is None and held["error"] else {"raises"}
    if held["error"] is not None:
        return {held["error"]}
    shown = _shown(scene, held["first"]) | _shown(scene, held["second"])
    return shown | _sent(scene, requests[1]["messages"])


def _shown(scene: Scene, shown: Json) -> set[str]:
    script = script_of(scene)
    wanted = {"reasoning": script["reasoning"], "content": script["content"], "finish": script["finish_reason"]}
    wrong = {name for name, value in wanted.items() if shown[name] != value}
    if not _same_calls(shown["calls"], script["tool_calls"]):
        wrong.add("tool calls")
    usage = {name: value for name, value in shown["usage"].items() if value is not None}
    expected = {name: script["usage"][name] for name in usage}
    if not {"prompt", "completion"} <= usage.keys() or usage != expected:
        wrong.add("usage")
    return wrong


def _same_calls(shown: list[Json], script: list[Json]) -> bool:
    """Ids, names and arguments: to the character where the client hands out text, else the value."""
    if [(call["id"], call["name"]) for call in shown] != [(one["id"], one["function"]["name"]) for one in script]:
        return False
    texts = [one["function"]["arguments"] for one in script]
    return all(
        call["arguments"] == (text if isinstance(call["arguments"], str) else json.loads(text))
        for call, text in zip(shown, texts, strict=True)
    )


def _sent(scene: Scene, messages: list[Json]) -> set[str]:
    """What of the second turn did not reach the provider."""
    user, assistant, *results = messages
    wrong = set()
    calls = [
        {"id": call["id"], "name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])}
        for call in assistant.get("tool_calls") or ()
    ]
    script = scene.answer.expected_tool_calls
    told = [(one["tool_call_id"], _text(one["content"])) for one in results]
    whole = _text(user["content"]) == QUESTION[0]["content"] and _text(assistant.get("content")) == scene.answer.content
    expected = [(call["id"], result_of(call["id"])) for call in script]
    if not whole or told != expected or not _same_calls(calls, script):
        wrong.add("sent back")
    if not _reasoning_came_back(scene, assistant):
        wrong.add("reasoning sent back")
    return wrong


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


def _reasoning_came_back(scene: Scene, assistant: Json) -> bool:
    """In the one field the upstream reads; an OpenRouter-style one reads three, and none may say otherwise."""
    fields = {name: assistant[name] for name in ("reasoning", "reasoning_content") if name in assistant}
    reads, text = profile(scene.dialect).reads, scene.answer.reasoning
    if reads != "details":
        return fields == ({reads: text} if reads else {}) and "reasoning_details" not in assistant
    details = assistant.get("reasoning_details") or []
    told = {said for said in (*fields.values(), "".join(one.get("text") or "" for one in details)) if said}
    return told == ({text} if text else set()) and _proofs(details) == _proofs(_issued(scene.answer))


def _issued(answer: Answer) -> list[Json]:
    return [json.loads(item) for item in answer.expected_reasoning_details]


def _proofs(details: list[Json]) -> list[str]:
    """What an issuer wants back unchanged: signatures, and encrypted blocks with their ids."""
    signatures = [one["signature"] for one in details if one.get("signature")]
    return signatures + [f"{one.get('id')} {one['data']}" for one in details if one.get("data")]
