"""What errors mean, and what of them is shown."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.classify import by_status, classify, classify_in_band, context_limit
from providers.errors import (
    BadAnswer,
    BadCredentials,
    ContentRefused,
    ContextExceeded,
    InvalidRequest,
    ModelUnavailable,
    OutOfQuota,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFault,
)
from providers.redact import kept, shown, without_secrets
from providers.retry_after import LONGEST, retry_after


def body(message: str = "", **members: object) -> bytes:
    return json.dumps({"error": {"message": message, **members}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, BadCredentials),
        (402, OutOfQuota),
        (403, BadCredentials),
        (404, ModelUnavailable),
        (408, ServerFault),
        (409, ServerFault),
        (413, InvalidRequest),
        (422, InvalidRequest),
        (425, ServerFault),
        (429, RateLimited),
        (500, ServerFault),
        (502, ServerFault),
        (503, Overloaded),
        (504, ServerFault),
        (520, ServerFault),
        (524, ServerFault),
        (529, Overloaded),
        (204, BadAnswer),
        (301, BadAnswer),
    ],
)
def test_a_status_alone(status: int, kind: type[ProviderError]) -> None:
    assert by_status(status) is kind
    assert type(classify(status, {}, b"")) is kind
    assert classify(status, {}, b"").upstream_status == status


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        (400, body("x", code="insufficient_quota"), OutOfQuota),
        (429, body("Your account is in arrears", type="x"), OutOfQuota),
        (402, body("Insufficient Balance", type="unknown_error", code="invalid_request_error"), OutOfQuota),
        (403, body("Workspace monthly budget of $500.00 exceeded. Contact your org admin."), OutOfQuota),
        (400, body("…maximum context length…", type="invalid_request_error", code=None), ContextExceeded),
        (413, body("Request too large: tokens per minute", code="rate_limit_exceeded"), RateLimited),
        (429, body("You have exceeded the token limit per minute", code="x"), RateLimited),
        (400, body("Please reduce the length of the messages or completion.", code="x"), ContextExceeded),
        (400, body("nope", code="content_policy_violation"), ContentRefused),
        (400, body("nope", code="data_inspection_failed"), ContentRefused),
        (400, body("The response was filtered due to Azure OpenAI's content management policy"), ContentRefused),
        (404, body("The model `x` does not exist", code="model_not_found"), ModelUnavailable),
        (400, body("acme/fake-1.0 is not a valid model ID", code=400), ModelUnavailable),
        (400, body("The model `x` has been decommissioned", code="model_decommissioned"), ModelUnavailable),
        (500, body("server is busy"), Overloaded),
        (400, body("x", type="engine_overloaded_error"), Overloaded),
        (500, body("x", code="rate_limit_exceeded"), RateLimited),
        (400, body("API key not valid", code="invalid_api_key"), BadCredentials),
        (401, body("x", type="authentication_error", code="invalid_request_error"), BadCredentials),
        (429, body("x", type="authentication_error"), RateLimited),
        (500, body("x", type="invalid_request_error"), InvalidRequest),
        (503, body("x", type="invalid_request_error"), Overloaded),
        (429, body("x", code="invalid_request_error"), RateLimited),
        (400, body("x", code="tool_use_failed"), BadAnswer),
        (400, body("x", type="server_error"), ServerFault),
        (400, b'{"code":"Arrearage","message":"Access denied","request_id":"1"}', OutOfQuota),
        (429, b'{"code":"Throttling.RateQuota","message":"Requests throttled","request_id":"1"}', RateLimited),
        (402, b'{"error":"You need credits"}', OutOfQuota),
        (412, b'{"error":{"message":"Account suspended","code":"x"}}', BadCredentials),
        (412, b'{"error":"Your account is suspended"}', OutOfQuota),
        (403, b'{"message":"Input is too long for requested model."}', ContextExceeded),
        (500, b'{"response":{"error":{"message":"Insufficient balance"}}}', OutOfQuota),
        (500, b'{"header":{"message":"too many requests"}}', RateLimited),
        (500, b'{"msg":"no available channel"}', ModelUnavailable),
        (422, b'{"detail":{"error":{"message":"x","type":"overloaded_error"}}}', Overloaded),
        (503, b'{"code":"unavailable","error":"The model is at capacity"}', Overloaded),
        (400, b'[{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"x"}}]', InvalidRequest),
    ],
)
def test_codes_and_texts_come_before_the_status(status: int, data: bytes, kind: type[ProviderError]) -> None:
    assert type(classify(status, {}, data)) is kind


def test_a_vendors_own_meaning_comes_first() -> None:
    assert type(classify(500, {}, body(code="1000"), {"1000": BadCredentials})) is BadCredentials
    assert type(classify(500, {}, body(code="1000"))) is ServerFault


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("This model's maximum context length is 128,000 tokens. However, you requested 130000 tokens", 128000),
        ("Your request exceeded model token limit : 262144", 262144),
        ("Range of input length should be [1, 30720]", 30720),
        ("The input (9000 tokens) is longer than the model's context length (8192 tokens).", 8192),
        ("prompt is too long: 205000 tokens > 200000 maximum", 200000),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 1048576),
        ("the request exceeds the available context size (4096 tokens), try increasing it", 4096),
        ("`inputs` tokens + `max_new_tokens` must be <= 8193", 8193),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease", 200000),
        ("Current length is 9000 while limit is 8192", 8192),
        ("This model's maximum prompt length is 131072 but the request contains 200000 tokens.", 131072),
        ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32768),
        ("prompt too long; exceeded max context length by 1119046 tokens", None),
        ("Input token length too long", None),
    ],
)
def test_the_room_there_is_is_read_from_the_message(text: str, limit: int | None) -> None:
    error = classify(400, {}, body(text, type="invalid_request_error"))
    assert type(error) is ContextExceeded
    assert error.context_limit == limit == context_limit(text)


def test_an_error_in_band_goes_by_its_own_status() -> None:
    error = classify_in_band(b'{"code":429,"message":"slow down"}')
    assert (type(error), error.upstream_status, error.message) == (RateLimited, 429, "slow down")
    assert type(classify_in_band(b'{"message":"x","code":"server_error"}')) is ServerFault
    assert type(classify_in_band(b'"text"')) is ServerFault
    assert type(classify_in_band(b'{"status_code":400,"message":"x"}')) is InvalidRequest


def test_what_is_no_json_is_shown_as_text_and_pages_not_at_all() -> None:
    assert classify(422, {}, b"Failed to deserialize\nthe body").message == "Failed to deserialize the body"
    page = classify(502, {"content-type": "text/html"}, b"<html><h1>secret host 10.0.0.1</h1></html>")
    assert page.message == "The provider answered HTTP 502 with an HTML page."
    assert page.raw is None
    hidden = classify(502, {}, body("upstream said: <!DOCTYPE html><html>page</html>"))
    assert hidden.message == "upstream said:"


@given(st.integers(100, 599), st.binary(max_size=200), st.dictionaries(st.sampled_from(["retry-after"]), st.text()))
def test_no_body_and_no_header_makes_it_fail(status: int, data: bytes, headers: dict[str, str]) -> None:
    assert isinstance(classify(status, headers, data), ProviderError)
    assert isinstance(classify_in_band(data), ProviderError)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcdefghijklmnop",
        "sk-proj-abc***def",
        "ak-f1abcdefgh123",
        "Bearer abcdef123456",
        "org-0123456789abcdef",
        "org_01habcdefgh234",
        "user_2abcDEF1234567890",
        "someone@example.org",
        "proj_abcdefghij1234567890",
    ],
)
def test_secrets_and_account_ids_reach_neither_message_nor_raw(secret: str) -> None:
    said = f"Refused: {secret} (api_key=hunter2hunter2, see https://u:hunter2hunter2@host/x?key=hunter2hunter2)"
    error = classify(401, {}, body(said, user_id=secret))
    for text in (error.message, error.raw or ""):
        assert secret.removeprefix("Bearer ") not in text
        assert "hunter2" not in text
    assert "Refused: " in error.message


@pytest.mark.parametrize(
    "text",
    [
        "The account balance is too low",
        "at least one user message is required: messages[0]",
        "format xai-responses-v1 is unknown",
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
        "no available channel for group default and model X (distributor) (request id: 2026010112)",
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
    ],
)
def test_plain_words_are_left_alone(text: str) -> None:
    assert without_secrets(text) == text


def test_messages_and_bodies_are_cut() -> None:
    assert len(shown("a" * 5000)) == 1000
    assert len(kept("ü" * 5000).encode()) <= 4000
    assert shown("a\r\n\x00 b") == "a b"


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "1"}, "", 1),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after": "0"}, "", 0),
        ({"retry-after": "-5"}, "", 0),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "inf"}, "", LONGEST),
        ({"retry-after": "1e12"}, "", LONGEST),
        ({"retry-after": "soon"}, "try again after 3 seconds", 3),
        ({"retry-after-ms": "250", "retry-after": "7"}, "", 0.25),
        ({"x-retry-after": "4"}, "", 4),
        ({"retry-after": "Wed, 05 Nov 2025 00:00:10 GMT"}, "", 10),
        ({"retry-after": "Wed, 05 Nov 2025 00:00:10 GMT", "date": "Wed, 05 Nov 2025 00:00:08 GMT"}, "", 2),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}, "", 0),
        ({}, "please try again after 1 seconds", 1),
        ({}, "Please try again in 7.66s. Visit", 7.66),
        ({}, "Please try again in 1m30s.", 90),
        ({}, "Please try again in 2 minutes", 120),
        ({}, "Please try again in 500ms", 0.5),
        ({}, "limited to 1 requests per minute. Please retry shortly.", None),
        ({}, "", None),
    ],
)
def test_the_wait_asked_for(headers: dict[str, str], text: str, seconds: float | None) -> None:
    found = retry_after(headers, text, now=lambda: 1762300800.0)
    assert found == (None if seconds is None else pytest.approx(seconds))
    assert found is None or not math.isnan(found)
