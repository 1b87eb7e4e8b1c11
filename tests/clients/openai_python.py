"""openai-python as its users drive it: one completion in each of its ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import APIError, APIStatusError, AsyncOpenAI, LengthFinishReasonError
from openai.types.chat import ChatCompletion

from tests.clients.held import Got, Json
from tests.clients.lab import QUESTION, TOOLS

KEY = "sk-to-0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def client(base_url: str, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """The unmodified client, with its default number of retries unless told otherwise."""
    async with AsyncOpenAI(**{"base_url": base_url, "api_key": KEY, "timeout": 30, **options}) as made:
        yield made


async def ask(openai: AsyncOpenAI, model: str, way: str, messages: Any = QUESTION, **options: Any) -> Got:
    """One completion. An error of the SDK's is handed back, with the chunks that came before it."""
    asked = {"model": model, "messages": messages, "tools": TOOLS, **options}
    if way.endswith("+usage"):
        asked["stream_options"] = {"include_usage": True}
    chunks: list[Json] = []
    try:
        completion = await _WAYS[way.removesuffix("+usage")](openai, asked, chunks)
    except APIError as error:
        return Got(chunks=chunks, error=described(error))
    return Got(None if completion is None else completion.to_dict(), chunks)


async def _whole(openai: AsyncOpenAI, asked: Json, chunks: list[Json]) -> ChatCompletion:
    return await openai.chat.completions.create(**asked)


async def _stream(openai: AsyncOpenAI, asked: Json, chunks: list[Json]) -> None:
    async with await openai.chat.completions.create(**asked, stream=True) as stream:
        async for chunk in stream:
            chunks.append(chunk.to_dict())


async def _helper(openai: AsyncOpenAI, asked: Json, chunks: list[Json]) -> ChatCompletion:
    async with openai.chat.completions.stream(**asked) as stream:
        async for event in stream:
            if event.type == "chunk":
                chunks.append(event.chunk.to_dict())
        try:
            return await stream.get_final_completion()
        except LengthFinishReasonError as error:  # so the helper hands out what a limit cut
            return error.completion


_WAYS = {"whole": _whole, "stream": _stream, "helper": _helper}


def described(error: APIError) -> Json:
    """An error in the words both SDKs have for it."""
    response = error.response if isinstance(error, APIStatusError) else None
    return {
        "class": type(error).__name__,
        "api": True,
        "status": response and response.status_code,
        "code": error.code,
        "type": error.type,
        "message": error.message,
        "body": error.body,
        "headers": dict(response.headers) if response else {},
    }
