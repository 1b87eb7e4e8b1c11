"""pydantic-ai: its OpenRouter model and its OpenAI model, through the direct request functions."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from play import Json, Play, Shown
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest, TextPart, ThinkingPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openrouter import OpenRouterModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openrouter import OpenRouterProvider
from pydantic_ai.tools import ToolDefinition
from with_openai import client


class _Direct:
    """A conversation with one of its models."""

    def __init__(self, play: Play, model: str, stream: bool) -> None:
        openai = client(play.base_url, play.key)
        self._model = self._made(model, openai)
        functions = [tool["function"] for tool in play.tools]
        tools = [
            ToolDefinition(name=one["name"], parameters_json_schema=one["parameters"], description=one["description"])
            for one in functions
        ]
        self._parameters = ModelRequestParameters(function_tools=tools)
        self._messages: list[Any] = [ModelRequest(parts=[UserPromptPart(one["content"])]) for one in play.messages]
        self._stream = stream
        self._response: Any = None

    def _made(self, model: str, openai: AsyncOpenAI) -> Model:
        raise NotImplementedError

    async def ask(self) -> Shown:
        asked: Json = {"model_request_parameters": self._parameters}
        if self._stream:
            async with model_request_stream(self._model, self._messages, **asked) as stream:
                async for _ in stream:
                    pass
                self._response = stream.get()
        else:
            self._response = await model_request(self._model, self._messages, **asked)
        return _shown(self._response)

    def answer(self, results: list[Json]) -> None:
        made = [ToolReturnPart(one["name"], one["content"], one["id"]) for one in results]
        self._messages += [self._response, ModelRequest(parts=made)]


class OpenRouter(_Direct):
    """OpenRouterModel."""

    def _made(self, model: str, openai: AsyncOpenAI) -> Model:
        return OpenRouterModel(model, provider=OpenRouterProvider(openai_client=openai))


class OpenAi(_Direct):
    """OpenAIChatModel."""

    def _made(self, model: str, openai: AsyncOpenAI) -> Model:
        return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=openai))


def _shown(response: Any) -> Shown:
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    details = response.usage.details
    return Shown(
        reasoning="".join(part.content for part in response.parts if isinstance(part, ThinkingPart)),
        content="".join(part.content for part in response.parts if isinstance(part, TextPart)),
        calls=[{"id": call.tool_call_id, "name": call.tool_name, "arguments": call.args} for call in calls],
        usage={
            "prompt": response.usage.input_tokens,
            "completion": response.usage.output_tokens,
            "cached": response.usage.cache_read_tokens,
            "reasoning": details.get("reasoning_tokens"),
        },
        finish={"tool_call": "tool_calls"}.get(response.finish_reason, response.finish_reason),
    )
