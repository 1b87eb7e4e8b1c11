"""Each dialect refuses in the real provider's words, statuses and headers."""

from __future__ import annotations

from typing import Any

import pytest

from providers.sandbox import (
    Answer,
    Dialect,
    Refuse,
    Sandbox,
    Status,
    bad_key,
    content_filter,
    context_exceeded,
    html_502,
    invalid_request,
    model_retired,
    overloaded,
    quota,
    rate_limited,
    server_error,
)
from tests.providers.sandbox.raw import ask

RELAYED = "bad_response_status_code"


@pytest.mark.parametrize(
    ("fault", "status", "kind", "words"),
    [
        (rate_limited(2), 429, "rate_limit_reached_error", "please try again after 2 seconds"),
        (overloaded(), 429, "engine_overloaded_error", "The engine is currently overloaded, please try"),
        (bad_key(), 401, "incorrect_api_key_error", "Incorrect API key provided"),
        (quota(), 429, "exceeded_current_quota_error", "suspended due to insufficient balance"),
        (model_retired(), 404, "resource_not_found_error", "kimi-k2-thinking"),
        (context_exceeded(131072), 400, "invalid_request_error", "exceeded model token limit : 131072"),
        (invalid_request("no"), 400, "invalid_request_error", "no"),
        (content_filter(), 400, "content_filter", "considered high risk"),
        (server_error(), 500, "server_error", ""),
    ],
)
async def test_moonshot_refuses_in_its_own_words(fault: Refuse, status: int, kind: str, words: str) -> None:
    async with Sandbox("moonshot") as box:
        box.script(fault)
        seen = await ask(box)
    assert seen.status == status
    assert set(seen.json["error"]) == {"message", "type"}
    assert seen.json["error"]["type"] == kind
    assert words in seen.json["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "status", "kind", "code"),
    [
        (model_retired(), 503, "comet_api_error", "model_not_found"),
        (invalid_request(), 500, "comet_api_error", "invalid_request"),
        (quota(), 403, RELAYED, RELAYED),
        (overloaded(), 503, RELAYED, RELAYED),
        (bad_key(), 401, "comet_api_error", ""),
    ],
)
async def test_cometapi_refuses_with_odd_statuses(fault: Refuse, status: int, kind: str, code: str) -> None:
    async with Sandbox("cometapi") as box:
        box.script(fault)
        seen = await ask(box)
    error = seen.json["error"]
    assert (seen.status, error["type"], error["code"]) == (status, kind, code)
    assert f"(request id: {seen.headers['x-oneapi-request-id']})" in error["message"]


async def test_cometapi_names_the_unrouted_model() -> None:
    async with Sandbox("cometapi") as box:
        box.script(model_retired())
        message = (await ask(box)).json["error"]["message"]
    assert message.startswith("no available channel for group default and model kimi-k2-thinking (distributor)")


@pytest.mark.parametrize(
    ("fault", "status", "metadata"),
    [
        (rate_limited(), 429, {"raw", "provider_name"}),
        (overloaded(), 503, {"raw", "provider_name", "error_type"}),
        (quota(), 402, set()),
        (content_filter(), 403, {"reasons", "flagged_input", "provider_name", "model_slug"}),
        (context_exceeded(), 400, {"provider_name"}),
        (model_retired(), 404, set()),
    ],
)
async def test_openrouter_refuses_with_code_and_metadata(fault: Refuse, status: int, metadata: set[str]) -> None:
    async with Sandbox("openrouter") as box:
        box.script(fault)
        seen = await ask(box)
    error = seen.json["error"]
    assert (seen.status, error["code"]) == (status, status)
    assert set(error.get("metadata", {})) == metadata
    assert "user_id" in seen.json


async def test_openai_refuses_with_integer_codes() -> None:
    async with Sandbox("openai") as box:
        box.script(context_exceeded(8192))
        seen = await ask(box)
        unauthorized = await ask(box, key="wrong")
    assert seen.json["error"] == {
        "message": seen.json["error"]["message"],
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }
    assert "maximum context length is 8192 tokens" in seen.json["error"]["message"]
    assert (unauthorized.status, unauthorized.json) == (401, {"error": "Unauthorized"})


async def test_retry_after_is_told_only_where_it_is_given() -> None:
    async with Sandbox("moonshot") as box:
        box.script(rate_limited(1), rate_limited(None))
        told, silent = await ask(box), await ask(box)
    assert told.headers["retry-after"] == told.headers["x-retry-after"] == "1"
    assert "retry-after" not in silent.headers
    assert "try again after" not in silent.json["error"]["message"]


async def test_any_status_takes_any_body_and_headers() -> None:
    async with Sandbox("openrouter") as box:
        box.script(Status(529), Status(418, b"short", (("Content-Type", "text/plain"), ("X-A", "b"))), html_502())
        own, given, page = await ask(box), await ask(box), await ask(box)
    assert (own.status, own.json["error"]["code"]) == (529, 529)
    assert (given.status, given.body, given.headers["x-a"]) == (418, b"short", "b")
    assert given.headers["content-type"] == "text/plain"
    assert (page.status, page.headers["content-type"]) == (502, "text/html")
    assert page.body.startswith(b"<html>")


async def test_a_wrong_key_is_refused_and_does_not_use_up_the_script() -> None:
    async with Sandbox("moonshot") as box:
        box.script(Answer(content="first"))
        assert (await ask(box, key="sk-wrong")).status == 401
        assert (await ask(box, key=None)).status == 401
        assert (await ask(box, {"stream": False})).json["choices"][0]["message"]["content"] == "first"
        assert len(box.requests) == 3


async def test_no_key_is_asked_for_where_none_is_set() -> None:
    async with Sandbox("openai", key=None) as box:
        assert (await ask(box, key=None)).status == 200


async def test_only_listed_models_are_served() -> None:
    async with Sandbox("moonshot", models=("kimi-k3",)) as box:
        assert (await ask(box)).json["error"]["type"] == "resource_not_found_error"
        assert (await ask(box, {"model": "kimi-k3"})).status == 200


async def test_other_routes_are_not_found() -> None:
    async with Sandbox("openai") as box:
        assert (await ask(box, path="/embeddings")).status == 404


CALL = {"role": "assistant", "tool_calls": [{"id": "functions.f:0", "type": "function"}]}
TOOL = {"role": "tool", "tool_call_id": "functions.f:0", "content": "1"}
USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"messages": [USER, CALL, TOOL]},
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
        ),
        (
            {"model": "kimi-k2.6", "temperature": 0.7},
            "invalid temperature: only 1 is allowed for this model",
        ),
        (
            {"model": "kimi-k2.6", "temperature": 1, "thinking": {"type": "disabled"}},
            "invalid temperature: only 0.6 is allowed for this model",
        ),
        ({"model": "kimi-k3", "top_p": 1}, "invalid top_p: only 0.95 is allowed for this model"),
        ({"model": "kimi-k3", "n": 2}, "invalid n: only 1 is allowed for this model"),
        ({"tool_choice": "required"}, "tool_choice 'required' is incompatible with thinking enabled"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice 'specified' is incompatible with thinking enabled",
        ),
        (
            {"stop": list("abcdef")},
            "stop array too long. Expected an array with maximum length 5, but got 6",
        ),
        (
            {"model": "kimi-k2.7-code", "thinking": {"type": "disabled"}},
            "invalid thinking: only type=enabled is allowed for this model",
        ),
        ({"messages": [USER, TOOL]}, "tool_call_id  is not found"),
        (
            {"messages": [USER, {"role": "assistant", "content": ""}]},
            "the message at position 1 with role 'assistant' must not be empty",
        ),
        (
            {
                "messages": [
                    USER,
                    {**CALL, "reasoning_content": "", "content": [{"type": "text", "text": ""}]},
                    TOOL,
                ]
            },
            "text content is empty",
        ),
    ],
)
async def test_moonshot_refuses_what_the_real_one_does(changes: dict[str, Any], message: str) -> None:
    async with Sandbox("moonshot") as box:
        seen = await ask(box, changes)
    assert (seen.status, seen.json) == (400, {"error": {"message": message, "type": "invalid_request_error"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [USER, {**CALL, "reasoning_content": ""}, TOOL]},
        {"messages": [USER, {**CALL, "reasoning_content": "hm"}, TOOL]},
        {"messages": [USER, CALL, TOOL], "model": "kimi-k2-0905-preview"},
        {"messages": [USER, CALL, TOOL], "model": "kimi-k2.6", "thinking": {"type": "disabled"}},
        {"model": "kimi-k2.6", "temperature": 1, "top_p": 0.95, "n": 1},
        {"model": "kimi-k2.6", "temperature": 0.6, "thinking": {"type": "disabled"}},
        {"model": "kimi-k2.6", "tool_choice": "required", "thinking": {"type": "disabled"}},
        {"temperature": 0.3},
        {"stop": list("abcde")},
        {"messages": [{"role": "system", "tools": []}, USER]},
    ],
)
async def test_moonshot_accepts_what_the_real_one_does(changes: dict[str, Any]) -> None:
    async with Sandbox("moonshot") as box:
        assert (await ask(box, changes)).status == 200


async def test_cometapi_answers_500_to_missing_messages() -> None:
    async with Sandbox("cometapi") as box:
        seen = await ask(box, {"messages": None})
    assert (seen.status, seen.json["error"]["code"]) == (500, "invalid_request")
    assert seen.json["error"]["message"].startswith("field messages is required")


@pytest.mark.parametrize("dialect", ["moonshot", "cometapi", "openrouter", "openai"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"null", b"\xff"])
async def test_a_body_that_is_no_object_is_refused_not_fatal(dialect: Dialect, body: bytes) -> None:
    async with Sandbox(dialect) as box:
        assert (await ask(box, body=body)).status in (400, 500)


async def test_validation_can_be_left_out() -> None:
    async with Sandbox("moonshot", check=False) as box:
        assert (await ask(box, {"model": "kimi-k3", "temperature": 0.1})).status == 200
