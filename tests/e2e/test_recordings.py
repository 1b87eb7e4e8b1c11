"""Recorded provider traffic, replayed through the whole gateway: what the provider said reaches the client exact."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from providers.sandbox import RawBytes, Sandbox
from tests.e2e.harness import Bench, Offer, Running
from tests.e2e.recorded import (
    MISSING,
    STREAM_SPELLINGS,
    WHOLE_SPELLINGS,
    Json,
    Recording,
    Said,
    events,
    parsed,
    recordings,
    said_by,
    said_in,
    spelled,
)
from tests.e2e.talk import USER, post

ALL = recordings()
WHOLE = [one for one in ALL if one.status == 200 and not one.stream]
STREAMS = [one for one in ALL if one.status == 200 and one.stream]
FAILED = [one for one in ALL if one.status != 200]
STATUSES = {401: 502, 500: 502}
"""Those of a provider that the client is told otherwise: not its fault, and not of its key."""
LONG = 100_000
"""Bytes above which a recording is not sent piece by piece."""

pytestmark = pytest.mark.skipif(not ALL, reason=MISSING)


async def replaying(
    bench: Bench, some: list[Recording], split: int | None = None
) -> tuple[Running, dict[str, Sandbox]]:
    """A gateway in which each recording is a model, replayed by a provider of its own."""
    boxes = {dialect: await bench.box(dialect, check=False) for dialect in ("openai", "openrouter")}
    offers = []
    for one in some:
        boxes[one.dialect].always(RawBytes(one.message, split=split), f"up-{one.name}")
        endpoint = {"model": f"up-{one.name}", "price": {"prompt": "2", "completion": "3"}}
        offers.append(Offer(boxes[one.dialect], f"p{one.name}", endpoint=endpoint, model=model_of(one)))
    quick = {"retries": {"backoff": 0.01, "wait_retry_after": 0}, "hedge": {"after": "off"}, "rescue": {"mode": "off"}}
    return await bench.gateway(offers, **quick), boxes


def model_of(recording: Recording) -> str:
    return f"recorded/r{recording.name}"


async def asked(gateway: Running, recording: Recording, stream: bool | None = None) -> tuple[int, Any, bytes]:
    """Status, what the answer says, and its bytes."""
    stream = recording.stream if stream is None else stream
    answer = await post(gateway, {"model": model_of(recording), "messages": USER, "stream": stream})
    if answer.status != 200:
        return answer.status, json.loads(answer.body)["error"], answer.body
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    if stream:
        assert answer.body.endswith(b"\n\ndata: [DONE]\n\n")
        return 200, said_by(events(answer.body.decode())), answer.body
    whole = parsed(answer.body.decode())
    for choice in whole["choices"]:
        choice["delta"] = choice["message"]
    return 200, said_by([whole]), answer.body


def check_said(recording: Recording, said: Said) -> None:
    """The client holds what the provider said, by the reference's reading of its bytes."""
    original = said_in(recording)
    assert said.content == original.content
    assert said.reasoning == original.reasoning
    assert said.calls == original.calls
    if recording.dialect == "openrouter" or original.details:
        # As text, so that the order of keys counts.
        assert json.dumps(said.details) == json.dumps(original.details)
    else:
        assert "".join(one["text"] for one in said.details) == original.reasoning
    if original.error is not None:
        assert original.error["message"] in said.error["message"]
        assert said.finish == "error"
        return
    assert said.error is None
    assert said.finish == ("tool_calls" if original.calls else original.finish or "stop")
    check_usage(original.usage, said.usage)


def check_usage(original: Json | None, usage: Json | None) -> None:
    """Every count as the provider spelled it, and our price of them."""
    assert original is not None
    assert usage is not None
    ours = {"cost", "cost_details"}
    kept = {key: value for key, value in original.items() if key not in ours and value is not None}
    for key, value in kept.items():
        shown = usage[key]
        if isinstance(value, dict):
            shown = {name: shown[name] for name in value if value[name] is not None}
            value = {name: one for name, one in value.items() if one is not None}
        assert shown == value, key
    prompt, total = (int(original[name][1:]) for name in ("prompt_tokens", "total_tokens"))
    assert Decimal(usage["cost"][1:]) == (prompt * 2 + (total - prompt) * 3) / Decimal(1_000_000)
    if isinstance(original.get("cost"), str):
        reported = usage["cost_details"]["upstream_inference_cost"]
        assert Decimal(reported[1:]) == Decimal(original["cost"][1:])


@pytest.mark.parametrize("spelling", WHOLE_SPELLINGS)
async def test_an_answer_says_the_same_however_it_is_spelled(bench: Bench, spelling: str) -> None:
    gateway, _ = await replaying(bench, [spelled(one, spelling) for one in WHOLE])
    for one in WHOLE:
        status, said, _ = await asked(gateway, one)
        assert status == 200, (one.name, said)
        check_said(one, said)


@pytest.mark.parametrize("spelling", STREAM_SPELLINGS)
async def test_a_stream_says_the_same_however_it_is_spelled(bench: Bench, spelling: str) -> None:
    # Without `[DONE]` only a finish reason tells a whole answer from a cut one, and not every provider gives one.
    some = [one for one in STREAMS if not spelling.startswith("no ") or spelling == "no space" or ends_well(one)]
    gateway, _ = await replaying(bench, [spelled(one, spelling) for one in some])
    for one in some:
        status, said, _ = await asked(gateway, one)
        assert status == 200, (one.name, said)
        check_said(one, said)


@pytest.mark.parametrize("size", [7, 1400])
async def test_an_answer_says_the_same_in_whatever_pieces_it_comes(bench: Bench, size: int) -> None:
    some = [one for one in (*STREAMS, *WHOLE) if len(one.body) < (LONG if size > 100 else LONG // 10)]
    gateway, _ = await replaying(bench, some, split=size)
    for one in some:
        status, said, _ = await asked(gateway, one)
        assert status == 200, (one.name, said)
        check_said(one, said)


async def test_a_whole_answer_to_a_streamed_question_becomes_a_stream(bench: Bench) -> None:
    gateway, _ = await replaying(bench, WHOLE)
    for one in WHOLE:
        status, said, _ = await asked(gateway, one, stream=True)
        assert status == 200, (one.name, said)
        check_said(one, said)


def ends_well(recording: Recording) -> bool:
    said = said_in(recording)
    return said.finish is not None or said.error is not None


async def test_a_stream_cut_before_its_finish_is_never_a_whole_answer(bench: Bench) -> None:
    cut = [one for one in STREAMS if said_in(one).finish is not None]
    halves = [_cut(one) for one in cut]
    gateway, _ = await replaying(bench, halves)
    for one in halves:
        status, said, _ = await asked(gateway, one)
        assert status >= 500 or said.error is not None, one.name
        assert status >= 500 or said.finish == "error", one.name


def _cut(recording: Recording) -> Recording:
    """Up to the first finish reason, in the middle of its chunk."""
    at = re.search(r'"finish_reason": ?"[a-z]', recording.body)
    assert at is not None
    return replace(recording, body=recording.body[: at.start()])


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_tells_what_the_provider_said_and_nothing_of_who_we_are(bench: Bench, stream: bool) -> None:
    gateway, _ = await replaying(bench, FAILED)
    for one in FAILED:
        status, error, raw = await asked(gateway, one, stream=stream)
        assert (status, error["code"]) == (STATUSES.get(one.status, one.status),) * 2, one.name
        assert error["metadata"]["provider_name"] == f"P{one.name}"
        if one.status != 401:  # which quotes the key
            assert words_of(one) in error["message"], one.name
        assert b"user_X" not in raw


def words_of(recording: Recording) -> str:
    """What the provider said, by the reference's reading."""
    try:
        body = json.loads(recording.body)
    except ValueError:
        return recording.body
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("metadata", {}).get("raw") or error["message"]
        return json.loads(error)["error"]["message"] if error.startswith("{") else error
    return error or body["message"]


async def test_a_recorded_conversation_reaches_an_openrouter_style_provider_unchanged(bench: Bench) -> None:
    some = [one for one in (*STREAMS, *WHOLE) if one.request.get("messages")]
    gateway, boxes = await replaying(bench, some)
    kept = ("messages", "tools", "tool_choice", "reasoning", "response_format", "temperature", "max_tokens")
    for one in some:
        wanted = {name: one.request[name] for name in kept if name in one.request}
        answer = await post(gateway, {**wanted, "model": model_of(one), "stream": one.stream})
        assert answer.status == 200, (one.name, answer.body)
        if one.dialect == "openrouter":
            received = boxes["openrouter"].requests[-1].json
            # As text, so that the order of keys counts.
            assert json.dumps({name: received.get(name) for name in wanted}) == json.dumps(wanted), one.name


@pytest.mark.parametrize("stream", [False, True])
def test_every_other_spelling_is_another_one(stream: bool) -> None:
    some, spellings = (STREAMS, STREAM_SPELLINGS) if stream else (WHOLE, WHOLE_SPELLINGS)
    bodies = [tuple(spelled(one, name).body for one in some) for name in spellings]
    assert len(set(bodies)) == len(bodies)
