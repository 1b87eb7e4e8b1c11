"""Whatever a provider sends: no exception but ours, the same however it is cut, nothing that no client can read.

FUZZ_INPUTS=1000000 runs a million inputs instead of what fits into a test run.
"""

from __future__ import annotations

import json
import os
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialects import REGISTRY
from providers.dialects.base import Dialect, Envelope, Extract, Tail
from providers.errors import BadAnswer, ProviderError
from providers.sse import EventReader
from tests.providers.dialects import fuzz

INPUTS = int(os.environ.get("FUZZ_INPUTS", "20000"))
BATCH = 100
PROFILES = sorted(REGISTRY)
EXTRACTS: tuple[Extract, ...] = ("think", "kimi_markers")

pytestmark = pytest.mark.timeout(max(300, INPUTS // 100))


@settings(max_examples=max(1, INPUTS // BATCH), deadline=None)
@given(st.integers(0, 2**63))
def test_no_input_raises_anything_but_an_error_of_ours(seed: int) -> None:
    random = Random(seed)
    for number in range(BATCH):
        data = fuzz.stream(random)
        dialect = REGISTRY[random.choice(PROFILES)]
        envelope = Envelope(
            id="gen-1",
            model="a/m",
            provider="P",
            created=1,
            exclude_reasoning=random.random() < 0.1,
            usage_chunk=random.random() < 0.2,
            remember=random.random() < 0.3,
            extract=frozenset(extract for extract in EXTRACTS if random.random() < 0.2),
        )
        where = f"seed {seed}, input {number}, {dialect.name}: {data!r}"
        at_once = read(dialect, envelope, [data])
        in_pieces = read(dialect, envelope, fuzz.cut(random, data))
        assert ids_aside(at_once) == ids_aside(in_pieces), where
        readable(at_once, where)
        for answer in (data, fuzz.answer(random)):
            complete(dialect, envelope, answer, f"seed {seed}, input {number}, {dialect.name}: {answer!r}")
        assert len(at_once) <= 4_000 + 12 * len(data), where


def read(dialect: Dialect, envelope: Envelope, pieces: list[bytes]) -> bytes:
    reader = dialect.stream(envelope)
    out = b"".join([reader.feed(piece) for piece in pieces]) + reader.eof()
    assert reader.ended
    assert reader.produced >= 0
    assert len(reader.thoughts) <= 128
    _ = reader.usage, reader.finish_reason
    if reader.error is None:
        return out + reader.finish(Tail())
    assert isinstance(reader.error, ProviderError)
    return out + reader.fail(reader.error, 502, {}, Tail())


def complete(dialect: Dialect, envelope: Envelope, data: bytes, where: str) -> None:
    try:
        whole = dialect.whole(data, envelope)
        made = json.loads(whole.render(Tail()))
        assert isinstance(made["choices"], list)
        assert whole.produced >= 0
        assert len(whole.thoughts) <= 128
    except ProviderError:
        pass
    except Exception as error:
        raise AssertionError(where) from error


def ids_aside(out: bytes) -> bytes:
    """Without the ids that were made up."""
    parts = out.split(b'"call_')
    return parts[0] + b"".join(part[24:] if part[24:25] == b'"' else b"_" + part for part in parts[1:])


def readable(out: bytes, where: str) -> None:
    """Events of JSON, each ended by a blank line, [DONE] last."""
    *events, done, rest = out.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b""), where
    for event in events:
        assert event.startswith(b"data: {"), where
        chunk = json.loads(event[6:])
        assert isinstance(chunk["choices"], list), where
        assert chunk.get("error", {}) is not None, where


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 9))
def test_events_of_any_bytes_are_the_same_however_these_are_cut(data: bytes, size: int) -> None:
    at_once, in_pieces = EventReader(), EventReader()
    whole = at_once.feed(data) + at_once.close()
    pieces = [event for at in range(0, len(data), size) for event in in_pieces.feed(data[at : at + size])]
    assert pieces + in_pieces.close() == whole


def test_an_event_of_seven_mebibytes_passes_and_one_of_ten_is_a_bad_answer() -> None:
    for size, kind in ((7 << 20, type(None)), (10 << 20, BadAnswer)):
        reader = REGISTRY["openai"].stream(Envelope("gen-1", "m", "P", 1))
        data = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * size + b'"},"finish_reason":"stop"}]}\n\n'
        out = b"".join([reader.feed(data[at : at + 65_536]) for at in range(0, len(data), 65_536)]) + reader.eof()
        assert type(reader.error) is kind
        assert (len(out) > size) is (kind is type(None))
