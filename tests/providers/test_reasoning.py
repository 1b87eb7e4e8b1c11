"""The three shapes of reasoning."""

from __future__ import annotations

import pytest

from providers.reasoning import as_details, in_all_shapes, text_of, text_of_details

DETAILS = as_details(b'"a\\u00e9"')


@pytest.mark.parametrize(
    ("details", "text"),
    [
        (b'[{"type":"reasoning.text","text":"a"},{"type":"reasoning.summary","summary":"b\\n"}]', b'"ab\\n"'),
        (b'[{"text":"\\u00e9 \\/"},{"summary":"\\ud83d\\ude00"}]', b'"\\u00e9 \\/\\ud83d\\ude00"'),
        (b'[{"type":"reasoning.encrypted","data":"x"},{"text":null},{"text":7},{}, 3, null, "s", []]', b'""'),
        (b'[{"text":"a","format":"unknownunknown","id":null,"signature":null}]', b'"a"'),
        (b'"as a string"', b'"as a string"'),
        (b"[]", b'""'),
        (b"null", b'""'),
        (b'{"text":"a"}', b'""'),
    ],
)
def test_the_text_of_details_is_joined_in_order_and_garbage_is_passed_over(details: bytes, text: bytes) -> None:
    assert text_of_details(details) == text


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"reasoning_details": DETAILS, "reasoning_content": b'"b"', "reasoning": b'"c"'}, b'"a\\u00e9"'),
        ({"reasoning_details": b"[]", "reasoning_content": b'"b"', "reasoning": b'"c"'}, b'"b"'),
        ({"reasoning_content": b'""', "reasoning": b'"c"'}, b'"c"'),
        ({"reasoning": b'""', "reasoning_details": b"[]"}, None),
        ({"reasoning_content": b"null"}, None),
        ({}, None),
    ],
)
def test_details_come_before_content_before_plain(members: dict[str, bytes], text: bytes | None) -> None:
    assert text_of(members) == text


def test_one_field_becomes_three() -> None:
    for field in ("reasoning", "reasoning_content"):
        members = {"content": b'""', field: b'"a\\u00e9"'}
        shown = {**members, **in_all_shapes(members)}
        assert shown == {
            "content": b'""',
            "reasoning": b'"a\\u00e9"',
            "reasoning_content": b'"a\\u00e9"',
            "reasoning_details": DETAILS,
        }


def test_details_with_text_fill_the_two_others_and_stay_as_they_are() -> None:
    details = b'[ {"type":"reasoning.text","text":"x","signature":"S"} ]'
    assert in_all_shapes({"reasoning_details": details}) == {"reasoning": b'"x"', "reasoning_content": b'"x"'}


def test_details_without_text_stay_alone() -> None:
    details = b'[{"type":"reasoning.encrypted","data":"x"}]'
    assert in_all_shapes({"reasoning_details": details, "reasoning": b"null"}) == {"reasoning": None}


def test_fields_that_say_nothing_go() -> None:
    members = {"reasoning": b'""', "reasoning_content": b"null", "reasoning_details": b"[]"}
    assert in_all_shapes(members) == dict.fromkeys(members)
