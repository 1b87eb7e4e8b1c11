"""Splicing: what is not replaced stays to the byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.splice import JsonObject, nested_deeper_than, raw_items, raw_members, value_of
from tests.providers.json_strategies import OTHER_KEYS, STRINGS, VALUES, arrays, objects

ANY_OBJECT = objects(STRINGS, VALUES)


@given(ANY_OBJECT)
def test_without_changes_nothing_changes(text: str) -> None:
    data = text.encode()
    assert JsonObject(data).rewritten({}) == data


@given(ANY_OBJECT)
def test_members_are_exact_slices_and_the_last_of_duplicates_counts(text: str) -> None:
    expected = dict(json.loads(text, object_pairs_hook=lambda pairs: pairs))
    found = JsonObject(text.encode()).values
    assert list(found) == list(expected)
    assert {key: json.loads(value) for key, value in found.items()} == json.loads(text)
    assert all(value in text.encode() for value in found.values())


@given(objects(OTHER_KEYS, VALUES), VALUES, objects(OTHER_KEYS, VALUES))
def test_a_replaced_member_leaves_its_neighbours_as_they_came(before: str, value: str, after: str) -> None:
    parts = [before[1:-1], '"model" : ' + value, after[1:-1]]
    data = "{" + ",".join(part for part in parts if part) + "}"
    expected = "{" + ",".join(part for part in (parts[0], '"model" : 1.0', parts[2]) if part) + "}"
    assert JsonObject(data.encode()).rewritten({"model": b"1.0"}) == expected.encode()


@given(objects(OTHER_KEYS, VALUES), VALUES)
def test_a_removed_member_is_gone_and_nothing_else_is(others: str, value: str) -> None:
    inner = others[1:-1]
    data = "{" + (inner + "," if inner else "") + '"model":' + value + "}"
    assert JsonObject(data.encode()).rewritten({"model": None}) == others.encode()


@given(ANY_OBJECT)
def test_an_added_member_comes_last(text: str) -> None:
    data = text.encode()
    made = JsonObject(data).rewritten({"added by us": b"[1, 2]"})
    assert made.startswith(data[:-1])
    assert made.endswith(b'"added by us":[1, 2]}')
    assert json.loads(made) == {**json.loads(text), "added by us": [1, 2]}


def test_a_key_given_twice_collapses_to_its_first_place() -> None:
    assert JsonObject(b'{"a":1,"b":2,"a":3}').rewritten({"a": b"4"}) == b'{"a":4,"b":2}'
    assert JsonObject(b'{"a":1,"b":2,"a":3}').rewritten({"a": None}) == b'{"b":2}'
    assert JsonObject(b'{"a":1,"b":2,"a":3}').rewritten({"b": None}) == b'{"a":1,"a":3}'


def test_a_key_spelled_with_escapes_is_found_and_keeps_its_spelling() -> None:
    data = rb'{"mod\u0065l":"a","x":1}'
    assert JsonObject(data).rewritten({"model": b'"b"'}) == rb'{"mod\u0065l":"b","x":1}'


@given(ANY_OBJECT)
def test_members_are_counted_those_of_a_repeated_key_included(text: str) -> None:
    assert JsonObject(text.encode()).count == len(json.loads(text, object_pairs_hook=list))


def test_get_takes_null_for_absent() -> None:
    body = JsonObject(b'{"a":null,"b":false}')
    assert body.get("a") is None
    assert "a" in body
    assert body.get("b") == b"false"


@given(arrays(VALUES))
def test_items_are_exact_slices(text: str) -> None:
    items = raw_items(text.encode())
    assert [json.loads(item) for item in items] == json.loads(text)
    assert all(item in text.encode() for item in items)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"1", b'{"a":}', b'{"a":1', b'{"a":1}x', b"{'a':1}", b'{"a":NaN}', rb'{"a":"\ud800}']
)
def test_what_is_no_object_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        JsonObject(data)


def test_bottomless_nesting_is_a_value_error() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for read in (raw_items, value_of, lambda data: raw_members(b'{"a":' + data + b"}")):
        with pytest.raises(ValueError):
            read(deep)


@given(VALUES, st.integers(1, 6))
def test_nesting_is_measured_as_a_parser_would(text: str, limit: int) -> None:
    assert nested_deeper_than(text.encode(), limit) == (depth(json.loads(text, object_pairs_hook=list)) > limit)


def depth(value: object) -> int:
    """Objects come as lists of pairs (tuples), so that duplicates count."""
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    return depth(value[1]) if isinstance(value, tuple) else 0


@pytest.mark.parametrize("around", ["", "x" * 20_000])
def test_depth_is_told_alike_in_short_and_in_long_documents(around: str) -> None:
    for depth in (1, 7, 8, 9):
        data = (f'{{"text":"{around}[[[[[[[[[[{{","deep":' + "[" * (depth - 1) + "]" * (depth - 1) + "}").encode()
        assert nested_deeper_than(data, 8) is (depth > 8)
    assert nested_deeper_than(f'["{around}",[]]'.encode(), 1)
    assert not nested_deeper_than(f'["{around}",[]]'.encode(), 2)
