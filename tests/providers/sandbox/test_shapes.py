"""Each dialect's answer has the shape that was captured from the real provider."""

from __future__ import annotations

import re
from typing import Any

import pytest

from providers.sandbox import Answer, Dialect, Sandbox, Tokens, ToolCall
from providers.sandbox.samples import AWKWARD, PARALLEL_TOOLS, THINKING
from tests.providers.sandbox.raw import ask, held

ANSWER = Answer(
    content="Hello",
    reasoning="The",
    tool_calls=(ToolCall("weather", "{}"),),
    fragment=9,
    tokens=Tokens(prompt=8, completion=113, cached=8, reasoning=90),
)
DIALECTS: tuple[Dialect, ...] = ("moonshot", "cometapi", "openrouter", "openai")
REASONING_FIELD = {
    "moonshot": "reasoning_content",
    "cometapi": "reasoning_content",
    "openrouter": "reasoning",
    "openai": "reasoning",
}


async def stream_of(dialect: Dialect, **changes: Any) -> list[Any]:
    async with Sandbox(dialect) as box:
        box.answer(ANSWER)
        return (await ask(box, changes)).events


def deltas(events: list[Any]) -> list[Any]:
    return [event["choices"][0]["delta"] for event in events[:-1] if event["choices"]]


MOONSHOT_USAGE = {
    "prompt_tokens": 8,
    "completion_tokens": 113,
    "total_tokens": 121,
    "cached_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 90},
}


async def test_moonshot_streams_as_captured() -> None:
    events = await stream_of("moonshot")
    opened = {"index": 0, "id": "functions.weather:0", "type": "function"}
    assert deltas(events) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "The"},
        {"content": "Hello"},
        {"tool_calls": [{**opened, "function": {"name": "weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {},
    ]
    first = events[0]
    assert list(first) == ["id", "object", "created", "model", "choices", "system_fingerprint"]
    assert re.fullmatch(r"cmpl-\w{20}", first["id"])
    assert {event["id"] for event in events[:-1]} == {first["id"]}
    assert first["system_fingerprint"].startswith("fpv0_")
    finish, usage, done = events[-3:]
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "tool_calls", "usage": MOONSHOT_USAGE}]
    assert (usage["choices"], usage["usage"], done) == ([], MOONSHOT_USAGE, "[DONE]")


async def test_moonshot_sends_no_usage_chunk_unless_it_is_asked_for() -> None:
    events = await stream_of("moonshot", stream_options=None)
    assert events[-2]["choices"][0]["usage"] == MOONSHOT_USAGE
    assert not any("usage" in event for event in events[:-1])


async def test_moonshot_headers_name_the_account() -> None:
    async with Sandbox("moonshot") as box:
        seen = await ask(box)
    assert {"msh-request-id", "msh-org-id", "msh-uid", "msh-project-id", "set-cookie"} <= set(seen.headers)
    assert seen.headers["set-cookie"].startswith("__cf_bm=")
    assert seen.headers["content-type"] == "text/event-stream"


async def test_cometapi_streams_as_captured() -> None:
    events = await stream_of("cometapi", stream_options=None)
    first, usage = events[0], events[-2]
    assert first["model"] == "kimi-k2-thinking-2025-11-06"
    assert isinstance(first["obfuscation"], str)
    assert first["choices"][0]["logprobs"] is None
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 121
    assert "latency_checkpoint" in usage["usage"]
    assert events[-1] == "[DONE]"


async def test_openrouter_streams_as_captured() -> None:
    async with Sandbox("openrouter") as box:
        box.answer(ANSWER)
        seen = await ask(box)
    assert seen.body.startswith(b": OPENROUTER PROCESSING\n\n")
    events = seen.events
    detail = {"type": "reasoning.text", "text": "The", "format": "unknown", "index": 0}
    opened = {"index": 0, "id": "functions.weather:0", "type": "function"}
    assert deltas(events) == [
        {"content": "", "role": "assistant", "reasoning": "The", "reasoning_details": [detail]},
        {"content": "Hello", "role": "assistant"},
        {
            "content": None,
            "role": "assistant",
            "tool_calls": [{**opened, "function": {"name": "weather", "arguments": ""}}],
        },
        {
            "content": None,
            "role": "assistant",
            "tool_calls": [{"index": 0, "function": {"arguments": "{}"}}],
        },
        {"content": "", "role": "assistant", "reasoning": None},
        {"content": "", "role": "assistant"},
    ]
    assert list(events[0]) == ["id", "object", "created", "model", "provider", "choices"]
    assert re.fullmatch(r"gen-\d{10}-\w{20}", events[0]["id"])
    assert seen.headers["x-generation-id"] == events[0]["id"]
    finishes = [event["choices"][0]["finish_reason"] for event in events[-3:-1]]
    assert finishes == ["tool_calls", "tool_calls"]
    assert events[-2]["choices"][0]["native_finish_reason"] == "tool_calls"
    assert "usage" not in events[-3]
    usage = events[-2]["usage"]
    assert usage["cost"] == pytest.approx(8 * 0.4e-6 + 113 * 1.75e-6)
    assert usage["cost_details"]["upstream_inference_cost"] == usage["cost"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 8


async def test_openrouter_pads_json_that_is_not_streamed() -> None:
    async with Sandbox("openrouter") as box:
        box.answer(ANSWER)
        seen = await ask(box, {"stream": False})
    assert seen.body.startswith(b"\n         \n")
    choice = seen.json["choices"][0]
    assert choice["message"]["reasoning_details"][0]["text"] == "The"
    assert choice["native_finish_reason"] == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
async def test_openrouter_replays_given_reasoning_details_to_the_byte(stream: bool) -> None:
    given = (
        '[{"type":"reasoning.text", "text":"a","index":0,"format":"anthropic-claude-v1"}]',
        '[{"signature":"EqQ\\u002bB==","index":0,"type":"reasoning.text"}]',
        '[{"type":"reasoning.encrypted","data":"ENC/+","index":1,"n":1.0},{"type":"reasoning.future","x":12345678901234567890}]',
    )
    async with Sandbox("openrouter") as box:
        box.answer(Answer(content="ok", reasoning="a", reasoning_details=given))
        body = (await ask(box, {"stream": stream})).body
    if stream:
        assert [text for text in given if b'"reasoning_details":' + text.encode() in body] == list(given)
    else:
        joined = ",".join(text[1:-1] for text in given)
        assert f'"reasoning_details":[{joined}]'.encode() in body


async def test_openai_names_reasoning_as_it_is_set_up() -> None:
    async with Sandbox("openai", reasoning_field="reasoning_content") as box:
        box.answer(ANSWER)
        events = (await ask(box)).events
    assert deltas(events)[1] == {"reasoning_content": "The"}
    assert deltas(await stream_of("openai"))[1] == {"reasoning": "The"}


async def test_openai_sends_usage_only_if_it_is_asked_for() -> None:
    assert (await stream_of("openai"))[-2]["choices"] == []
    assert not any("usage" in event for event in (await stream_of("openai", stream_options=None))[:-1])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("answer", [AWKWARD, PARALLEL_TOOLS, THINKING], ids=["awkward", "tools", "thinking"])
async def test_a_client_holds_exactly_the_script(dialect: Dialect, answer: Answer) -> None:
    async with Sandbox(dialect) as box:
        box.answer(answer)
        got = held((await ask(box)).events, REASONING_FIELD[dialect])
        message = (await ask(box, {"stream": False})).json["choices"][0]["message"]
    assert got == {
        "content": answer.expected_content,
        "reasoning": answer.expected_reasoning,
        "finish": answer.finish,
        "tool_calls": answer.expected_tool_calls,
    }
    assert (message["content"] or "") == answer.expected_content
    assert message[REASONING_FIELD[dialect]] == answer.expected_reasoning
    calls = [{key: call[key] for key in ("id", "type", "function")} for call in message.get("tool_calls") or ()]
    assert calls == answer.expected_tool_calls


async def test_parallel_calls_take_turns_when_interleaved() -> None:
    async with Sandbox("moonshot") as box:
        box.answer(PARALLEL_TOOLS)
        events = (await ask(box)).events
    order = [delta["tool_calls"][0]["index"] for delta in deltas(events) if "tool_calls" in delta]
    assert order[:6] == [0, 1, 0, 1, 0, 1]


def test_fragments_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Answer(content="abc", content_fragments=("a", "b"))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_answer_has_an_id_of_its_own(dialect: Dialect) -> None:
    async with Sandbox(dialect) as box:
        ids = {(await ask(box)).events[0]["id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_models_are_listed(dialect: Dialect) -> None:
    async with Sandbox(dialect, models=("one", "two")) as box:
        listed = (await ask(box, path="/models", body=None)).json["data"]
    assert [item["id"] for item in listed] == ["one", "two"]


async def test_prompt_tokens_grow_with_the_request() -> None:
    async with Sandbox("moonshot") as box:
        short = (await ask(box, {"stream": False})).json["usage"]["prompt_tokens"]
        messages = [{"role": "user", "content": "word " * 400}]
        long = (await ask(box, {"stream": False, "messages": messages})).json["usage"]["prompt_tokens"]
    assert long - short == pytest.approx(500, abs=5)


@pytest.mark.parametrize(
    ("dialect", "last", "extra"),
    [
        ("moonshot", {"role": "assistant", "content": "Hel", "partial": True}, {}),
        ("openrouter", {"role": "assistant", "content": "Hel"}, {}),
        ("openai", {"role": "assistant", "content": "Hel"}, {"continue_final_message": True}),
    ],
)
async def test_a_prefix_is_carried_on_without_being_repeated(
    dialect: Dialect, last: dict[str, Any], extra: dict[str, Any]
) -> None:
    async with Sandbox(dialect) as box:
        box.answer(Answer(content="Hello", reasoning="hm"))
        got = held((await ask(box, {"messages": [{"role": "user", "content": "x"}, last], **extra})).events)
    assert (got["content"], got["reasoning"]) == ("lo", "")


@pytest.mark.parametrize("dialect", ["moonshot", "cometapi", "openai"])
async def test_a_plain_last_assistant_message_is_not_carried_on(dialect: Dialect) -> None:
    last = {"role": "assistant", "content": "Hel"}
    async with Sandbox(dialect) as box:
        box.answer(Answer(content="Hello"))
        got = held((await ask(box, {"messages": [{"role": "user", "content": "x"}, last]})).events)
    assert got["content"] == "Hello"
