"""Fragments of reasoning blocks put together, and blocks known again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.details import identities, merged


def put_together(*entries: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(merged([f"[{entry}]".encode() for entry in entries]))
    return made


def test_an_entry_of_one_fragment_stays_to_the_byte() -> None:
    entry = b'{ "type":"reasoning.future", "z":1.0, "signature" : "S\\/+=","index":0 }'
    assert merged([b"[" + entry + b"]"]) == b"[" + entry + b"]"


def test_text_and_signature_of_one_block_become_one_entry() -> None:
    start = '"type":"reasoning.text","format":"anthropic-claude-v1","index":0'
    assert put_together(
        f'{{{start},"text":"Let"}}', f'{{{start},"text":" me"}}', f'{{{start},"signature":"S1"}}',
        f'{{{start},"signature":"S2"}}',
    ) == [
        {
            "type": "reasoning.text",
            "format": "anthropic-claude-v1",
            "index": 0,
            "text": "Let me",
            "signature": "S1S2",
        }
    ]  # fmt: skip


def test_type_and_index_together_tell_blocks_apart() -> None:
    made = put_together(
        '{"type":"reasoning.text","text":"a","index":0}',
        '{"type":"reasoning.encrypted","data":"E","id":"x","index":0}',
        '{"type":"reasoning.encrypted","data":"F","id":"y","index":0}',
        '{"type":"reasoning.text","text":"b","index":1}',
        '{"type":"reasoning.text","text":"c","index":0}',
    )
    assert [(entry["type"], entry.get("text") or entry.get("data")) for entry in made] == [
        ("reasoning.text", "ac"),
        ("reasoning.encrypted", "E"),
        ("reasoning.encrypted", "F"),
        ("reasoning.text", "b"),
    ]


def test_without_an_index_only_neighbours_of_one_type_belong_together() -> None:
    made = put_together(
        '{"type":"reasoning.text","text":"a"}',
        '{"type":"reasoning.text","text":"b"}',
        '{"type":"reasoning.encrypted","data":"E"}',
        '{"type":"reasoning.encrypted","data":"F"}',
        '{"type":"reasoning.text","text":"c"}',
    )
    assert [entry.get("text") or entry.get("data") for entry in made] == ["ab", "E", "F", "c"]


def test_a_later_null_erases_nothing() -> None:
    (made,) = put_together(
        '{"type":"reasoning.text","id":"i","format":"f","index":0,"text":"a","signature":null}',
        '{"type":"reasoning.text","id":null,"format":null,"index":0,"text":null,"signature":"S"}',
    )
    assert made == {"type": "reasoning.text", "id": "i", "format": "f", "index": 0, "text": "a", "signature": "S"}


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["text", "summary"]), st.text(max_size=5)), max_size=12))
def test_merging_equals_adding_up_by_type_and_index(fragments: list[tuple[int, str, str]]) -> None:
    expected: dict[tuple[int, str], str] = {}
    for index, kind, text in fragments:
        expected[index, kind] = expected.get((index, kind), "") + text
    made = put_together(
        *(json.dumps({"type": f"reasoning.{kind}", kind: text, "index": index}) for index, kind, text in fragments)
    )
    assert [(entry["index"], entry["type"][10:]) for entry in made] == list(expected)
    assert [entry[entry["type"][10:]] for entry in made] == list(expected.values())


@pytest.mark.parametrize("fragment", [b"7", b"[7]", b'{"a":1}', b"[", b'["a"]'])
def test_what_is_no_list_of_objects_is_a_value_error(fragment: bytes) -> None:
    with pytest.raises(ValueError):
        merged([fragment])


def test_a_block_is_known_again_however_its_json_is_spelled() -> None:
    first = identities(b'[{"type":"reasoning.encrypted","data":"a/b="},{"type":"reasoning.text","text":"x"}]')
    assert first == identities(b'[ {"index":7,"data":"a\\/b\\u003d"} ]')
    assert len(first) == 1
    assert first != identities(b'[{"data":"a/b"}]')
    assert b"a/b".hex() not in first[0]
    assert identities(b'[{"text":"x","signature":""},{"signature":null},7]') == []
