"""Replays of recorded provider traffic, compared with a reading of the same bytes by simpler means."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.dialects import REGISTRY
from providers.dialects.base import Call, Envelope, Tail
from providers.errors import (
    BadCredentials,
    ContextExceeded,
    InvalidRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFault,
)
from providers.splice import JsonObject

FOLDER = Path(__file__).parents[4] / "shared" / "recordings"
FILES = sorted(FOLDER.glob("*.json"))
ENVELOPE = Envelope(id="gen-1", model="author/model", provider="Provider", created=1)
ERRORS: dict[str, type[ProviderError]] = {
    "084": ContextExceeded,
    "086": InvalidRequest,
    "088": RateLimited,
    "093": RateLimited,
    "107": BadCredentials,
    "109": InvalidRequest,
    "125": ServerFault,
    "141": ServerFault,
    "145": ContextExceeded,
    "156": Overloaded,
}
STYLES = {"openrouter": "openrouter", "vercel-ai-gateway": "openrouter"}

pytestmark = pytest.mark.skipif(not FILES, reason="no recordings of provider traffic beside this checkout")
Answer = dict[str, Any]


def load(path: Path) -> Answer:
    recording: Answer = json.loads(path.read_text())
    return recording


def named(*, status_ok: bool, stream: bool | None = None) -> list[Any]:
    chosen = [(path, load(path)) for path in FILES]
    return [
        pytest.param(recording, id=path.stem)
        for path, recording in chosen
        if (recording["response"]["status"] == 200) is status_ok and stream in (None, recording["stream"])
    ]


def events(text: str) -> list[Answer]:
    """The reference: whole text, one event a line."""
    lines = text.replace("\r\n", "\n").split("\n")
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [json.loads(one) for one in data if one and one != "[DONE]"]


def gathered(chunks: list[Answer]) -> Answer:
    """What a stream says in the end: texts, details, calls by id, usage."""
    said: Answer = {"content": "", "reasoning": "", "details": [], "calls": {}, "usage": None, "finish": None}
    at_index: dict[int, str] = {}
    for chunk in chunks:
        said["usage"] = chunk.get("usage") or said["usage"]
        for choice in chunk.get("choices") or []:
            said["usage"] = choice.get("usage") or said["usage"]
            said["finish"] = choice.get("finish_reason") or said["finish"]
            gather(said, at_index, choice.get("delta") or {})
    return said


def gather(said: Answer, at_index: dict[int, str], delta: Answer) -> None:
    said["content"] += delta.get("content") or ""
    details = delta.get("reasoning_details") or []
    text = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
    said["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or text
    said["details"] += details
    for call in delta.get("tool_calls") or []:
        if call.get("id"):
            at_index[call.get("index", 0)] = call["id"]
            said["calls"].setdefault(call["id"], ["", ""])
        entry = said["calls"][at_index[call.get("index", 0)]]
        entry[0] = entry[0] or call["function"].get("name") or ""
        entry[1] += call["function"].get("arguments") or ""


def replayed(recording: Answer, pieces: int) -> tuple[list[Answer], ProviderError | None]:
    stream = REGISTRY[STYLES.get(recording["provider"], "openai")].stream(ENVELOPE)
    data = recording["response"]["body"].encode()
    out = b"".join(stream.feed(data[at : at + pieces]) for at in range(0, len(data), pieces)) + stream.eof()
    if stream.error is None:
        out += stream.finish(Tail())
    return events(out.decode()), stream.error


@pytest.mark.parametrize("recording", named(status_ok=True, stream=True))
@pytest.mark.parametrize("pieces", [1 << 30, 1400, 7])
def test_a_recorded_stream_says_the_same(recording: Answer, pieces: int) -> None:
    if recording["provider"] == "perplexity" and pieces == 7:
        pytest.skip("341 kB in pieces of 7 bytes")
    upstream = events(recording["response"]["body"])
    fault = any(chunk.get("error") for chunk in upstream)
    chunks, error = replayed(recording, pieces)
    assert (error is not None) is fault
    expected, said = gathered(upstream), gathered(chunks)
    for part in ("content", "reasoning", "calls"):
        assert said[part] == expected[part]
    if STYLES.get(recording["provider"]) == "openrouter" or expected["details"]:
        assert said["details"] == expected["details"]
    if not fault:
        assert said["finish"] == ("tool_calls" if expected["calls"] else expected["finish"] or "stop")
        assert {key: said["usage"][key] for key in expected["usage"] if "details" not in key} == {
            key: value for key, value in expected["usage"].items() if "details" not in key
        }


@pytest.mark.parametrize("recording", named(status_ok=True, stream=True))
def test_a_recorded_stream_is_right_for_the_strictest_client(recording: Answer) -> None:
    chunks, error = replayed(recording, 1 << 30)
    calls: dict[tuple[int, int], set[str]] = {}
    roles: list[int] = []
    for chunk in chunks:
        assert isinstance(chunk["choices"], list)
        assert "error" not in chunk
        assert (chunk["id"], chunk["model"], chunk["provider"]) == ("gen-1", "author/model", "Provider")
        for choice in chunk["choices"]:
            assert choice["finish_reason"] != ""
            roles += [choice["index"]] * ("role" in choice["delta"])
            for call in choice["delta"].get("tool_calls") or []:
                seen = calls.setdefault((choice["index"], call["index"]), set())
                once = {"id", "type"} & call.keys() | {"name"} & call["function"].keys()
                assert once.isdisjoint(seen)
                assert isinstance(call["function"].get("arguments", ""), str)
                seen |= once
    assert len(roles) == len(set(roles))
    assert all(seen >= {"id", "type", "name"} for seen in calls.values())
    assert sorted({index for _, index in calls}) == list(range(len(calls)))
    assert error is not None or ["usage" in chunk for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@pytest.mark.parametrize("recording", named(status_ok=True, stream=False))
def test_a_recorded_answer_says_the_same(recording: Answer) -> None:
    body = recording["response"]["body"]
    whole = REGISTRY[STYLES.get(recording["provider"], "openai")].whole(body.encode(), ENVELOPE)
    made, upstream = json.loads(whole.render(Tail(cost=Decimal("0.5")))), json.loads(body)
    message, original = made["choices"][0]["message"], upstream["choices"][0]["message"]
    assert {key: message[key] for key in original} == original
    if STYLES.get(recording["provider"]) == "openrouter":
        assert message == {"content": None, **original}
    assert made["usage"]["cost"] == 0.5
    assert made["usage"]["prompt_tokens"] == upstream["usage"]["prompt_tokens"]
    ours = {"id", "model", "provider", "created", "object", "usage", "choices"}
    rest = {key: upstream[key] for key in upstream.keys() - ours}
    assert {key: made[key] for key in made.keys() - ours} == {"system_fingerprint": None, **rest}


@pytest.mark.parametrize("recording", named(status_ok=True))
def test_a_recorded_request_reaches_an_openrouter_style_provider_unchanged(recording: Answer) -> None:
    body = JsonObject(recording["request"]["body"].encode())
    sent = JsonObject(REGISTRY["openrouter"].encode(Call(body, "up", recording["stream"])))
    for key in ("messages", "tools", "tool_choice", "reasoning", "response_format"):
        assert sent.get(key) == body.get(key)


@pytest.mark.parametrize("path", [path for path in FILES if path.name[:3] in ERRORS], ids=lambda path: path.stem)
def test_a_recorded_error_means_what_it_says(path: Path) -> None:
    response = load(path)["response"]
    error = REGISTRY["openai"].classify(response["status"], response["headers"], response["body"].encode())
    assert type(error) is ERRORS[path.name[:3]]
    assert "user_X" not in (error.raw or "") + error.message


def test_every_recorded_error_has_a_meaning_here() -> None:
    failed = {path.name[:3] for path in FILES if load(path)["response"]["status"] != 200}
    assert failed == set(ERRORS)
