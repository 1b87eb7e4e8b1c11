"""What a client holds after an answer, reduced to what can be compared with the script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.clients.lab import CACHED, COMPLETION, PROMPT, Scene

Json = dict[str, Any]

WAYS = ("whole", "stream", "stream+usage", "helper", "helper+usage")
"""One JSON, `create(stream=True)`, and the SDK's own `.stream()`; without and with `include_usage`."""


@dataclass(frozen=True)
class Got:
    """What an SDK handed out. `error` has class, api, status, code, type, message, body, headers."""

    completion: Json | None = None
    """Not of a plain stream."""
    chunks: Sequence[Json] = ()
    error: Json | None = None

    def held(self) -> Json:
        """What the client holds, as `script_of` says it. Of a helper: the final completion it accumulated."""
        assert self.error is None, self.error
        completion = accumulated(self.chunks) if self.completion is None else self.completion
        return reduced(completion)


def accumulated(chunks: Sequence[Json]) -> Json:
    """A stream put together by hand, as users of `create(stream=True)` do; the ids all in one set."""
    message: Json = {"role": "", "content": "", "tool_calls": []}
    choice: Json = {"message": message}
    whole: Json = {"choices": [choice]}
    for chunk in chunks:
        whole.update({key: value for key, value in chunk.items() if key != "choices" and value is not None})
        for part in chunk["choices"]:
            choice.update({key: part[key] for key in ("finish_reason", "native_finish_reason") if part.get(key)})
            _add(message, part["delta"])
    return whole


def _add(message: Json, delta: Json) -> None:
    for field in ("role", "content", "reasoning", "reasoning_content"):
        if delta.get(field):
            message[field] = message.get(field, "") + delta[field]
    if delta.get("reasoning_details"):
        message.setdefault("reasoning_details", []).extend(delta["reasoning_details"])
    for part in delta.get("tool_calls") or ():
        if part["index"] == len(message["tool_calls"]):
            message["tool_calls"].append({"id": part["id"], "type": part["type"], "function": dict(part["function"])})
        else:
            message["tool_calls"][part["index"]]["function"]["arguments"] += part["function"]["arguments"]


def details_text(message: Json) -> str:
    """The text of `reasoning_details`."""
    return "".join(item.get("text") or "" for item in message.get("reasoning_details") or ())


def reduced(completion: Json) -> Json:
    """A completion as `script_of` says it."""
    choice = completion["choices"][0]
    message, usage = choice["message"], completion["usage"]
    return {
        "id": completion["id"][:4],
        "model": completion["model"],
        "provider": completion["provider"],
        "choices": len(completion["choices"]),
        "role": message["role"],
        "content": message.get("content") or "",
        "reasoning": message.get("reasoning") or "",
        "reasoning_content": message.get("reasoning_content") or "",
        "details": details_text(message),
        "tool_calls": [_call(call) for call in message.get("tool_calls") or ()],
        "finish_reason": choice["finish_reason"],
        "usage": {
            "prompt": usage["prompt_tokens"],
            "completion": usage["completion_tokens"],
            "total": usage["total_tokens"],
            "cached": usage["prompt_tokens_details"]["cached_tokens"],
            "reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
            "cost": usage["cost"],
        },
    }


def _call(call: Json) -> Json:
    function = call["function"]
    return {
        "id": call["id"],
        "type": call["type"],
        "function": {"name": function["name"], "arguments": function["arguments"]},
    }


def script_of(scene: Scene) -> Json:
    """What a client must hold after a scene."""
    answer, usage = scene.answer, _usage(scene)
    return {
        "id": "gen-",
        "model": scene.model,
        "provider": scene.provider,
        "choices": 1,
        "role": "assistant",
        "content": answer.expected_content,
        "reasoning": answer.expected_reasoning,
        # OpenRouter's own shape goes through unchanged, and it has no `reasoning_content`.
        "reasoning_content": "" if scene.dialect == "openrouter" else answer.expected_reasoning,
        "details": answer.expected_reasoning,
        "tool_calls": answer.expected_tool_calls,
        "finish_reason": answer.finish,
        "usage": usage,
    }


def _usage(scene: Scene) -> Json:
    answer = scene.answer
    prompt, cached, completion = answer.tokens.prompt, answer.tokens.cached, answer.completion_tokens
    assert prompt is not None, "a script says how long its prompt is taken to be"
    cost = ((prompt - cached) * PROMPT + cached * CACHED + completion * COMPLETION) / 1_000_000
    return {
        "prompt": prompt,
        "completion": completion,
        "total": prompt + completion,
        "cached": cached,
        # The simulated OpenAI-compatible server does not report them.
        "reasoning": 0 if scene.box[0] == "openai" else answer.reasoning_tokens,
        "cost": float(cost),
    }


def stream_faults(chunks: Sequence[Json], usage_chunk: bool) -> list[str]:
    """What a strict client would stumble over in a stream that ended well."""
    faults = []
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    if len({chunk["id"] for chunk in chunks}) != 1:
        faults.append("the id is not constant")
    if [choice["delta"].get("role") for choice in choices if choice["delta"].get("role")] != ["assistant"]:
        faults.append("the role is not said once")
    if [bool(choice["finish_reason"]) for choice in choices].count(True) != 1 or not choices[-1]["finish_reason"]:
        faults.append("finish_reason is not said once, at the end")
    if "native_finish_reason" not in choices[-1]:
        faults.append("there is no native_finish_reason")
    if [index for index, chunk in enumerate(chunks) if chunk.get("usage")] != [len(chunks) - 1]:
        faults.append("usage is not in the last chunk, and only there")
    if (chunks[-1]["choices"] == []) is not usage_chunk:
        faults.append("usage has a chunk of its own unasked, or has none though it was asked for")
    if any("error" in chunk for chunk in chunks):
        faults.append("a chunk has an error")
    return faults
