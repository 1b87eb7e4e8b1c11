"""Events out of bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.sse import MAX_EVENT_BYTES, Event, EventReader

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data:  c", b"data:", b": comment", b"", b"", b"id: 1", b"event: error", b"retry: 5", b"x"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def read(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_one(end: bytes) -> None:
    assert read(end.join([b"data: a", b"data:b", b"", b"data:  c", b"", b""])) == [Event(b"a\nb"), Event(b" c")]


def test_an_event_is_handed_out_as_soon_as_its_blank_line_is_there() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\r\n\r") == [Event(b"a")]
    assert reader.feed(b"\ndata: b\n") == []
    assert reader.feed(b"\n") == [Event(b"b")]


def test_separators_of_unicode_are_no_line_ends() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1c".encode()
    assert read(b"data: " + text + b"\n\n") == [Event(text)]


def test_a_byte_order_mark_is_stripped_once() -> None:
    assert read(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: lost\n\ndata: b\n\n") == [Event(b"a"), Event(b"b")]
    assert read(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [Event(b"a")]


def test_comments_are_counted_and_are_no_events() -> None:
    reader = EventReader()
    assert reader.feed(b": ping\n\n:\n\ndata: a\n: between\n\n") == [Event(b"a")]
    assert reader.comments == 3


def test_names_belong_to_one_event_and_ids_to_none() -> None:
    assert read(b"event: error\n", b"data: a\n\ndata: b\n\n") == [Event(b"a", b"error"), Event(b"b")]
    assert read(b"id: 7\nevent: error\ndata: a\n\nretry: 1\ndata: b\n\nevent: x\n\ndata: c\n\n") == [
        Event(b"a", b"error"),
        Event(b"b"),
        Event(b"c"),
    ]


def test_the_end_completes_the_last_event() -> None:
    assert read(b"data: a\n\ndata: b") == [Event(b"a"), Event(b"b")]
    assert read(b"data: a\n\ndata: b\n") == [Event(b"a"), Event(b"b")]


@pytest.mark.parametrize("size", [100, 1 << 20, MAX_EVENT_BYTES * 2])
def test_a_line_without_end_is_given_up_at_the_limit(size: int) -> None:
    reader = EventReader()
    events = reader.feed(b"data: first\n\ndata: ")
    for _ in range(MAX_EVENT_BYTES // size + 1):
        events += reader.feed(b"a" * size)
    assert events == [Event(b"first")]
    assert reader.too_long
    assert reader.feed(b"\n\ndata: more\n\n") == []


def test_an_event_of_many_lines_is_given_up_at_the_limit() -> None:
    reader = EventReader()
    assert reader.feed((b"data: " + b"a" * 1000 + b"\n") * (MAX_EVENT_BYTES // 1000 + 1) + b"\n") == []
    assert reader.too_long


def test_an_event_just_below_the_limit_is_read_in_pieces() -> None:
    text = b"a" * (MAX_EVENT_BYTES - 100)
    half = len(text) // 2
    assert read(b"data: " + text[:half], text[half:], b"\n\n") == [Event(text)]


@given(st.lists(st.tuples(LINES, ENDS), max_size=12), st.lists(st.integers(0, 80), max_size=6))
def test_events_do_not_depend_on_how_the_bytes_are_cut(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(line + end for line, end in lines)
    at = [0, *sorted(cuts), len(data)]
    assert read(*[data[a:b] for a, b in pairwise(at)]) == read(data)
    assert read(*[data[i : i + 1] for i in range(len(data))]) == read(data)
