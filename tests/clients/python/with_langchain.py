"""langchain-openrouter: `ainvoke` and `astream`, the chunks added up as LangChain does."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openrouter import ChatOpenRouter
from play import Json, Play, Shown
from with_openrouter import client


class Chat:
    """ChatOpenRouter with tools bound."""

    def __init__(self, play: Play, model: str, stream: bool) -> None:
        # Given a client, because its own `max_retries=0` leaves the SDK's default, which tries again for an hour.
        chat = ChatOpenRouter(model=model, api_key=play.key, client=client(play.base_url, play.key))
        self._chat = chat.bind_tools(play.tools)
        self._messages: list[Any] = [HumanMessage(one["content"]) for one in play.messages]
        self._stream = stream
        self._message: Any = None

    async def ask(self) -> Shown:
        if self._stream:
            whole: Any = None
            async for chunk in self._chat.astream(self._messages):
                whole = chunk if whole is None else whole + chunk
            self._message = whole
        else:
            self._message = await self._chat.ainvoke(self._messages)
        return _shown(self._message)

    def answer(self, results: list[Json]) -> None:
        made = [ToolMessage(one["content"], tool_call_id=one["id"]) for one in results]
        self._messages += [self._message, *made]


def _shown(message: Any) -> Shown:
    usage = message.usage_metadata or {}
    return Shown(
        reasoning=message.additional_kwargs.get("reasoning_content") or "",
        content=message.text,
        calls=[{"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in message.tool_calls],
        usage={
            "prompt": usage.get("input_tokens"),
            "completion": usage.get("output_tokens"),
            "cached": usage.get("input_token_details", {}).get("cache_read"),
            "reasoning": usage.get("output_token_details", {}).get("reasoning"),
        },
        finish=message.response_metadata.get("finish_reason"),
    )
