"""The OpenRouter Python SDK: its own message goes back, of a stream one put together from its own types."""

from __future__ import annotations

from functools import cache
from typing import Any

from openrouter import OpenRouter
from play import Json, Play, Shown


@cache
def client(base_url: str, key: str) -> OpenRouter:
    """One for all conversations; by itself it would try again for an hour."""
    return OpenRouter(api_key=key, server_url=base_url, timeout_ms=30_000, retry_config=None)


class Sdk:
    """`chat.send_async`, whole and streamed."""

    def __init__(self, play: Play, model: str, stream: bool) -> None:
        self._sdk = client(play.base_url, play.key)
        self._asked: Json = {"model": model, "tools": play.tools}
        self._messages: list[Any] = list(play.messages)
        self._stream = stream
        self._message: Any = None

    async def ask(self) -> Shown:
        if self._stream:
            return await self._streamed()
        made = await self._sdk.chat.send_async(**self._asked, messages=self._messages, stream=False)
        choice = made.choices[0]
        self._message = choice.message
        calls = [call.model_dump() for call in choice.message.tool_calls or ()]
        return _shown(choice.message.reasoning, choice.message.content, calls, made.usage, choice.finish_reason)

    async def _streamed(self) -> Shown:
        chunks = await self._sdk.chat.send_async(**self._asked, messages=self._messages, stream=True)
        said: Json = {"content": "", "reasoning": ""}
        details: list[Any] = []
        calls: list[Json] = []
        usage, finish = None, None
        async with chunks:
            async for chunk in chunks:
                if chunk.error:
                    raise RuntimeError(chunk.error.message)
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    for field in said:
                        said[field] += getattr(choice.delta, field) or ""
                    details += choice.delta.reasoning_details or ()
                    for call in choice.delta.tool_calls or ():
                        _add(calls, call)
        self._message = {"role": "assistant", **said, "reasoning_details": details, "tool_calls": calls}
        return _shown(said["reasoning"], said["content"], calls, usage, finish)

    def answer(self, results: list[Json]) -> None:
        made = [{"role": "tool", "tool_call_id": one["id"], "content": one["content"]} for one in results]
        self._messages += [self._message, *made]


def _add(calls: list[Json], call: Any) -> None:
    if call.index == len(calls):
        function = {"name": call.function.name, "arguments": call.function.arguments or ""}
        calls.append({"id": call.id, "type": "function", "function": function})
    else:
        calls[call.index]["function"]["arguments"] += call.function.arguments or ""


def _shown(reasoning: Any, content: Any, calls: list[Json], usage: Any, finish: str | None) -> Shown:
    return Shown(
        reasoning=reasoning or "",
        content=content or "",
        calls=[{"id": call["id"], **call["function"]} for call in calls],
        usage={
            "prompt": usage.prompt_tokens,
            "completion": usage.completion_tokens,
            "cached": usage.prompt_tokens_details.cached_tokens,
            "reasoning": usage.completion_tokens_details.reasoning_tokens,
            "cost": usage.cost,
        },
        finish=finish,
    )
