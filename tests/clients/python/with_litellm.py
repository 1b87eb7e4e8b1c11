"""litellm as a client: through its openrouter/ provider and its openai/ provider."""

from __future__ import annotations

from typing import Any

import litellm
from play import Json, Play, Shown

litellm.suppress_debug_info = True
litellm.drop_params = False


class _Completion:
    """`acompletion`; a stream is put together by its own `stream_chunk_builder`."""

    prefix: str

    def __init__(self, play: Play, model: str, stream: bool) -> None:
        self._asked: Json = {
            "model": f"{self.prefix}/{model}",
            "api_base": play.base_url,
            "api_key": play.key,
            "tools": play.tools,
            "num_retries": 0,
            "timeout": 30,
        }
        self._messages: list[Any] = list(play.messages)
        self._stream = stream
        self._message: Any = None

    async def ask(self) -> Shown:
        asked = {**self._asked, "messages": self._messages}
        if self._stream:
            chunks = await litellm.acompletion(**asked, stream=True, stream_options={"include_usage": True})
            whole: Any = litellm.stream_chunk_builder([chunk async for chunk in chunks], messages=self._messages)
        else:
            whole = await litellm.acompletion(**asked)
        self._message = whole.choices[0].message
        return _shown(whole)

    def answer(self, results: list[Json]) -> None:
        made = [{"role": "tool", "tool_call_id": one["id"], "content": one["content"]} for one in results]
        self._messages += [self._message, *made]


class OpenRouter(_Completion):
    """openrouter/."""

    prefix = "openrouter"


class OpenAi(_Completion):
    """openai/."""

    prefix = "openai"


def _shown(whole: Any) -> Shown:
    message = whole.choices[0].message
    prompt, completion = whole.usage.prompt_tokens_details, whole.usage.completion_tokens_details
    return Shown(
        reasoning=getattr(message, "reasoning_content", None) or "",
        content=message.content or "",
        calls=[
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in message.tool_calls or ()
        ],
        usage={
            "prompt": whole.usage.prompt_tokens,
            "completion": whole.usage.completion_tokens,
            "cached": prompt and prompt.cached_tokens,
            "reasoning": completion and completion.reasoning_tokens,
        },
        finish=whole.choices[0].finish_reason,
    )
