"""openai-python: its helper with the message sent back as it was got, and plain chunks with the fields it knows."""

from __future__ import annotations

from functools import cache
from typing import Any

from openai import AsyncOpenAI
from play import Json, Play, Shown


@cache
def client(base_url: str, key: str) -> AsyncOpenAI:
    """One for all conversations, as its users have it."""
    return AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30)


class Helper:
    """`create()` and `.stream()`; the message goes back as the SDK made it."""

    def __init__(self, play: Play, model: str, stream: bool) -> None:
        self._openai = client(play.base_url, play.key)
        self._asked: Json = {"model": model, "tools": play.tools}
        self._messages: list[Any] = list(play.messages)
        self._stream = stream
        self._message: Any = None

    async def ask(self) -> Shown:
        asked = {**self._asked, "messages": self._messages}
        if self._stream:
            async with self._openai.chat.completions.stream(**asked) as stream:
                completion: Any = await stream.get_final_completion()
        else:
            completion = await self._openai.chat.completions.create(**asked)
        self._message = completion.choices[0].message
        return shown(completion.to_dict())

    def answer(self, results: list[Json]) -> None:
        self._messages += [self._message, *tool_messages(results)]


class Plain:
    """`create()` and `create(stream=True)`; only the fields that OpenAI's API knows go back."""

    def __init__(self, play: Play, model: str, stream: bool) -> None:
        self._openai = client(play.base_url, play.key)
        self._asked: Json = {"model": model, "tools": play.tools}
        self._messages: list[Any] = list(play.messages)
        self._stream = stream
        self._completion: Json = {}

    async def ask(self) -> Shown:
        asked = {**self._asked, "messages": self._messages}
        if self._stream:
            chunks = await self._openai.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
            self._completion = gathered([chunk.to_dict() async for chunk in chunks])
        else:
            self._completion = (await self._openai.chat.completions.create(**asked)).to_dict()
        return shown(self._completion)

    def answer(self, results: list[Json]) -> None:
        message = self._completion["choices"][0]["message"]
        known = {name: message[name] for name in ("role", "content", "tool_calls") if message.get(name)}
        self._messages += [known, *tool_messages(results)]


def gathered(chunks: list[Json]) -> Json:
    """Chunks put together as the SDK's documentation shows it."""
    message: Json = {"role": "assistant", "content": "", "reasoning": "", "tool_calls": []}
    choice: Json = {"message": message, "finish_reason": None}
    whole: Json = {"choices": [choice], "usage": None}
    for chunk in chunks:
        whole["usage"] = chunk.get("usage") or whole["usage"]
        for part in chunk["choices"]:
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
            delta = part["delta"]
            for field in ("content", "reasoning"):
                message[field] += delta.get(field) or ""
            for call in delta.get("tool_calls") or ():
                if call["index"] == len(message["tool_calls"]):
                    message["tool_calls"].append({**call, "function": dict(call["function"])})
                else:
                    message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    for call in message["tool_calls"]:
        del call["index"]
    return whole


def shown(completion: Json) -> Shown:
    """A completion of OpenAI's shape."""
    choice, usage = completion["choices"][0], completion["usage"]
    message = choice["message"]
    return Shown(
        reasoning=message.get("reasoning") or message.get("reasoning_content") or "",
        content=message.get("content") or "",
        calls=[
            {"id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            for call in message.get("tool_calls") or ()
        ],
        usage={
            "prompt": usage["prompt_tokens"],
            "completion": usage["completion_tokens"],
            "cached": usage["prompt_tokens_details"]["cached_tokens"],
            "reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
            "cost": usage["cost"],
        },
        finish=choice["finish_reason"],
    )


def tool_messages(results: list[Json]) -> list[Json]:
    """Results as messages of OpenAI's shape."""
    return [{"role": "tool", "tool_call_id": one["id"], "content": one["content"]} for one in results]
