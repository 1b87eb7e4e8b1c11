"""Each fault is what a raw client sees on the socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from providers.sandbox import (
    Answer,
    Close,
    Cut,
    Empty,
    Ending,
    ErrorInStream,
    Hang,
    KeepAlive,
    MalformedJson,
    Phase,
    RawBytes,
    Reset,
    Sandbox,
    Slow,
    Wire,
    event_stream,
    json_answer,
)
from providers.sandbox.samples import AWKWARD
from tests.providers.sandbox.raw import Seen, ask, drained, events_of, held, opened

ABC = Answer(content="abc", fragment=1)


async def seen_of(behaviour: Any, changes: dict[str, Any] | None = None, answer: Answer = ABC) -> Seen:
    async with Sandbox("moonshot") as box:
        box.answer(answer)
        box.script(behaviour)
        return await ask(box, changes)


def texts(body: bytes) -> list[str]:
    return [event["choices"][0]["delta"].get("content") for event in events_of(body)]


@pytest.mark.parametrize(("after", "left"), [(Phase.HEAD, []), (0, []), (Phase.ROLE, [""]), (2, ["", "a", "b"])])
async def test_a_stream_is_cut_after_so_many_events(after: int | Phase, left: list[str]) -> None:
    seen = await seen_of(Cut(after))
    assert seen.status == 200
    assert "transfer-encoding" not in seen.headers
    assert texts(seen.body) == left


async def test_a_cut_after_more_events_than_there_are_comes_before_the_finish() -> None:
    assert texts((await seen_of(Cut(99))).body) == ["", "a", "b", "c"]


async def test_a_cut_in_the_middle_of_an_event_leaves_half_of_it() -> None:
    body = (await seen_of(Cut(1, mid_event=True))).body
    *whole, half = body.split(b"\n\n")
    assert texts(b"\n".join(whole)) == ["", "a"]
    assert half.startswith(b"data: {")
    with pytest.raises(ValueError):
        json.loads(half[6:])


async def test_a_cut_by_reset_ends_in_a_reset() -> None:
    seen = await seen_of(Cut(1, how="rst"))
    assert seen.reset
    assert b'"content":"a"' in seen.data
    assert b'"content":"b"' not in seen.data


async def test_a_cut_inside_a_chunk_leaves_the_chunk_short() -> None:
    seen = await seen_of(Cut(1, how="chunk"))
    assert seen.headers["transfer-encoding"] == "chunked"
    assert seen.raw_body.endswith(b'\r\ndata: {"')
    with pytest.raises(AssertionError, match="cut inside a chunk"):
        _ = seen.body


async def test_a_cut_by_length_falls_short_of_the_content_length() -> None:
    seen = await seen_of(Cut(1, how="length"))
    assert len(seen.raw_body) < int(seen.headers["content-length"])


async def test_a_clean_end_without_finish_is_well_formed_http() -> None:
    seen = await seen_of(Cut(1, how="end"))
    assert texts(seen.body) == ["", "a"]


@pytest.mark.parametrize("how", ["fin", "rst", "chunk", "length"])
async def test_a_whole_body_is_cut_in_half(how: Any) -> None:
    seen = await seen_of(Cut(1, how=how), {"stream": False})
    assert b'"id":"cmpl-' in seen.data
    assert b"fpv0_" not in seen.data


SHAPES = {
    "top_level": {"error": {"message": "boom", "type": "server_error"}},
    "string": {"error": "boom"},
    "no_code": {"error": {"message": "boom"}},
    "event": {"message": "boom"},
    "groq": {"error": {"message": "boom", "type": "server_error"}},
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_error_in_a_stream_takes_the_place_of_the_rest(shape: Any) -> None:
    seen = await seen_of(ErrorInStream(1, shape, message="boom"))
    assert seen.status == 200
    assert [*texts(b"\n".join(seen.body.split(b"\n\n")[:2])), *seen.events[2:]] == ["", "a", SHAPES[shape], "[DONE]"]
    assert (b"event: error\n" in seen.body) == (shape in ("event", "groq"))


async def test_an_error_chunk_can_keep_the_envelope() -> None:
    empty = (await seen_of(ErrorInStream(0, "choices_empty"))).events[0]
    finish = (await seen_of(ErrorInStream(0, "finish_error", code=429))).events[0]
    bare = (await seen_of(ErrorInStream(0, "finish_only", done=False))).events
    native = (await seen_of(ErrorInStream(0, "native"))).events[0]
    assert native["choices"][0]["native_finish_reason"] == "error"
    assert empty["choices"] == []
    assert "error" in empty
    assert finish["error"]["code"] == 429
    assert finish["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    assert len(bare) == 1
    assert "error" not in bare[0]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_body_comes_in_place_of_an_answer(stream: bool) -> None:
    seen = await seen_of(ErrorInStream(shape="body", message="boom"), {"stream": stream})
    assert (seen.status, seen.headers["content-type"]) == (200, "application/json")
    assert seen.json["error"]["message"] == "boom"


async def test_an_empty_answer_finishes_without_text() -> None:
    streamed = held((await seen_of(Empty())).events)
    whole = await seen_of(Empty(), {"stream": False})
    assert (streamed["content"], streamed["finish"]) == ("", "stop")
    assert whole.json["usage"]["completion_tokens"] == 0
    assert (await seen_of(Empty("choices"), {"stream": False})).json["choices"] == []
    assert [event["choices"] for event in (await seen_of(Empty("choices"))).events[:-1]] == [[]]
    assert (await seen_of(Empty("body"))).body == b""


async def test_one_malformed_event_leaves_the_others_whole() -> None:
    body = (await seen_of(MalformedJson(1))).body
    broken = [event for event in body.split(b"\n\n") if b"broken" in event]
    assert len(broken) == 1
    assert held(events_of(body.replace(broken[0] + b"\n\n", b"")))["content"] == "abc"


async def test_a_malformed_body_is_half_a_body_with_a_true_length() -> None:
    seen = await seen_of(MalformedJson(), {"stream": False})
    assert len(seen.body) == int(seen.headers["content-length"])
    with pytest.raises(ValueError):
        _ = seen.json


@pytest.mark.parametrize(
    ("after", "got"),
    [
        (Phase.REQUEST, b""),
        (Phase.PART_OF_HEAD, b"HTTP/1.1 200 OK\r\nCon"),
        (Phase.HEAD, b"\r\n\r\n"),
        (Phase.ROLE, b'"content":""},"finish_reason":null}],"system_fingerprint":"fpv0_ef28f882"}\n\n\r\n'),
        (2, b'"content":"b"},"finish_reason":null}],"system_fingerprint":"fpv0_ef28f882"}\n\n\r\n'),
    ],
)
async def test_silence_begins_at_the_given_moment(after: int | Phase, got: bytes) -> None:
    async with Sandbox("moonshot") as box:
        box.answer(ABC)
        box.script(Hang(after))
        reader, writer = await opened(box)
        if got:
            await reader.readuntil(got)
        await box.until(lambda: box.answering == 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert box.requests[0].closed_by_peer_at is None
        writer.close()
        await box.until(lambda: box.open_connections == 0)
        assert box.requests[0].closed_by_peer_at is not None
        assert box.requests[0].finished_at is None


async def test_silence_can_end() -> None:
    seen = await seen_of(Hang(1, for_s=0.02))
    assert held(seen.events)["content"] == "abc"
    assert held((await seen_of(Hang(for_s=0.02))).events)["content"] == "abc"


async def test_slowness_delays_the_first_token_and_every_other() -> None:
    async with Sandbox("moonshot") as box:
        box.answer(ABC)
        box.script(Slow(first_token=0.05, between=0.02))
        loop = asyncio.get_running_loop()
        reader, writer = await opened(box)
        await reader.readuntil(b'"content":""')
        times = [loop.time()]
        for text in (b'"content":"a"', b'"content":"b"', b'"content":"c"'):
            await reader.readuntil(text)
            times.append(loop.time())
        writer.close()
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[0] >= 0.04
    assert min(gaps[1:]) >= 0.01


async def test_a_slow_whole_answer_delays_the_head_by_as_much() -> None:
    async with Sandbox("moonshot") as box:
        box.answer(ABC)
        box.script(Slow(first_token=0.05, between=0.02))
        loop = asyncio.get_running_loop()
        start = loop.time()
        await ask(box, {"stream": False})
    assert loop.time() - start >= 0.08


async def test_faults_bend_one_another() -> None:
    seen = await seen_of(Slow(between=0.001, of=Cut(2, how="chunk", of=Answer(content="xyz", fragment=1))))
    assert b'"content":"y"' in seen.data
    assert b'"content":"z"' not in seen.data


async def test_keep_alive_comments_come_before_the_answer() -> None:
    body = (await seen_of(KeepAlive(every=0.005, for_s=0.02, form=": ping"))).body
    assert body.startswith(b": ping\n\n" * 4 + b"data: ")
    assert held(events_of(body))["content"] == "abc"


async def test_keep_alive_can_be_all_there_ever_is() -> None:
    async with Sandbox("moonshot") as box:
        box.script(KeepAlive(every=0.001))
        reader, writer = await opened(box)
        for _ in range(20):
            await reader.readuntil(b": OPENROUTER PROCESSING\n\n")
        writer.close()
        await box.until(lambda: box.open_connections == 0)


async def test_keep_alive_pads_a_whole_answer_with_blank_lines() -> None:
    seen = await seen_of(KeepAlive(every=0.001, for_s=0.002), {"stream": False})
    assert seen.body.startswith(b"\n         \n")
    assert seen.json["choices"][0]["message"]["content"] == "abc"


@pytest.mark.parametrize("split", [1, 7, (1,), (5, 300), (2, 3, 4)])
async def test_a_split_body_is_the_same_body(split: Any) -> None:
    seen = await seen_of(Wire(split=split), answer=AWKWARD)
    assert held(seen.events)["content"] == AWKWARD.content


async def test_bytes_go_out_one_at_a_time() -> None:
    seen = await seen_of(Wire(split=1))
    assert seen.raw_body.startswith(b"1\r\nd\r\n1\r\na\r\n1\r\nt\r\n")


async def test_events_are_spelled_in_every_allowed_way() -> None:
    crlf = (await seen_of(Wire(line_end="\r\n"))).body
    assert b"}\r\n\r\ndata: " in crlf
    assert b"\n" not in crlf.replace(b"\r\n", b"")
    assert b"}\r\rdata: " in (await seen_of(Wire(line_end="\r"))).body
    assert (await seen_of(Wire(space=False))).body.startswith(b'data:{"id"')
    assert (await seen_of(Wire(bom=True))).body.startswith(b"\xef\xbb\xbfdata: ")
    assert (await seen_of(Wire(done=False))).events[-1] != "[DONE]"
    assert (await seen_of(Wire(final_blank=False))).body.endswith(b"data: [DONE]")


async def test_json_can_be_spelled_in_ascii() -> None:
    body = (await seen_of(Wire(ascii=True), answer=AWKWARD)).body
    assert body.isascii()
    assert b"\\ud83d\\ude86" in body
    assert held(events_of(body))["content"] == AWKWARD.content


async def test_raw_bytes_are_all_that_is_sent() -> None:
    assert (await seen_of(RawBytes(b"SSH-2.0-x\r\n"))).data == b"SSH-2.0-x\r\n"
    assert (await seen_of(RawBytes(json_answer(b'{"a":1}'), split=3))).json == {"a": 1}
    assert (await seen_of(RawBytes(event_stream(b"data: x\n\n")))).body == b"data: x\n\n"
    assert (await seen_of(RawBytes(b"HTTP/1.1 200 OK\r\n", repeat=b"X: y\r\n", times=3))).data.count(b"X: y") == 3
    assert (await seen_of(RawBytes(b"part", ending=Ending.RST))).reset


async def test_a_flood_waits_for_a_slow_reader() -> None:
    async with Sandbox("moonshot") as box:
        box.script(RawBytes(event_stream(b"data: "), repeat=b"a" * 65536, times=400))
        reader, writer = await opened(box)
        await box.until(lambda: box.answering == 1)
        await reader.read(1)
        assert box.requests[0].finished_at is None
        seen = await drained(reader, writer)
    assert seen.data.count(b"a") >= 400 * 65536


async def test_a_connection_is_closed_or_reset_without_an_answer() -> None:
    closed, reset = await seen_of(Close()), await seen_of(Reset())
    assert (closed.data, closed.reset) == (b"", False)
    assert (reset.data, reset.reset) == (b"", True)
    assert (await seen_of(Close(after=0.01))).data == b""


@pytest.mark.parametrize("after", list(Phase))
async def test_every_moment_can_be_cut_at(after: Phase) -> None:
    assert texts((await seen_of(Cut(after))).body) in ([], [""])
