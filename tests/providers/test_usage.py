"""Usage out of every form it is reported in."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from providers.usage import Usage, parse_usage, render_decimal, render_usage


def parsed(raw: bytes) -> tuple[int, int, int, int]:
    usage = parse_usage(raw)
    assert usage is not None
    return usage.prompt, usage.completion, usage.cached, usage.reasoning


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}', (9, 5, 0, 0)),
        (b'{"prompt_tokens":9,"completion_tokens":5,"cached_tokens":8}', (9, 5, 8, 0)),
        (b'{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":7}}', (9, 5, 7, 0)),
        (b'{"prompt_tokens":9,"completion_tokens":5,"prompt_cache_hit_tokens":6}', (9, 5, 6, 0)),
        (
            b'{"prompt_tokens":9,"completion_tokens":5,"cached_tokens":4,"prompt_cache_hit_tokens":4,'
            b'"prompt_tokens_details":{"cached_tokens":4}}',
            (9, 5, 4, 0),
        ),
        (b'{"prompt_tokens":9,"completion_tokens":5,"cached_tokens":99}', (9, 5, 9, 0)),
        (b'{"prompt_tokens":9,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":3}}', (9, 5, 0, 3)),
        (b'{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":null,"reasoning_tokens":2}', (9, 5, 0, 2)),
        (b'{"input_tokens":9,"output_tokens":5}', (9, 5, 0, 0)),
        (b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', (0, 0, 0, 0)),
        (b'{"prompt_tokens":9.0,"completion_tokens":-5}', (9, 0, 0, 0)),
        (b'{"prompt_tokens":true,"completion_tokens":"5","cached_tokens":[1]}', (0, 0, 0, 0)),
    ],
)
def test_one_number_under_several_names_counts_once(raw: bytes, expected: tuple[int, int, int, int]) -> None:
    assert parsed(raw) == expected


NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 8, 999_999_999, 1_000_000_000, 2.0, 1.5, -1, None, "3", True, []])
COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "reasoning_tokens",
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "cache_creation_input_tokens",
)
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens"]), NUMBERS
)


@given(
    st.dictionaries(st.sampled_from(COUNTS), NUMBERS),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]), DETAILS),
)
def test_plain_numbers_are_read_as_all_others_are(counts: dict[str, object], details: dict[str, object]) -> None:
    told = {"prompt_tokens": 5, "completion_tokens": 3, **counts, **details}
    # A null says nothing, but where there is one nothing is taken on trust.
    wary = {**told, **dict.fromkeys([name for name in COUNTS if name not in told])}
    quick, slow = parse_usage(json.dumps(told).encode()), parse_usage(json.dumps(wary).encode())
    assert quick is not None
    assert slow is not None
    assert replace(quick, raw=None) == replace(slow, raw=None)


def test_reasoning_reported_beside_the_answer_belongs_to_the_completion() -> None:
    raw = b'{"prompt_tokens":432,"completion_tokens":68,"total_tokens":636,"reasoning_tokens":136}'
    assert parsed(raw) == (432, 204, 0, 136)


@pytest.mark.parametrize("raw", [b"null", b"{}", b"[]", b'"x"', b"7", b"{", b'{"prompt_tokens":1e999}'])
def test_what_is_no_usage_is_none(raw: bytes) -> None:
    assert parse_usage(raw) is None


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (b"0.0076509169000000005", Decimal("0.0076509169000000005")),
        (b"1e-7", Decimal("0.0000001")),
        (b"0", Decimal(0)),
        (b'"0.01"', Decimal("0.01")),
        (b'{"request_cost":0.004,"total_cost":0.005}', Decimal("0.005")),
        (b"null", None),
        (b"-1", None),
        (b'"NaN"', None),
        (b"[1]", None),
    ],
)
def test_a_reported_cost_keeps_every_digit(cost: bytes, expected: Decimal | None) -> None:
    usage = parse_usage(b'{"prompt_tokens":1,"cost":' + cost + b"}")
    assert usage is not None
    assert usage.reported_cost == expected


def test_the_clients_usage_keeps_the_upstreams_bytes_and_gets_our_cost() -> None:
    raw = b'{"prompt_tokens": 9, "z": 1.0, "cost": 0.1, "cost_details": {"upstream_inference_prompt_cost": 1e-7}}'
    usage = parse_usage(raw)
    assert render_usage(usage, Decimal("1E-8")) == (
        b'{"prompt_tokens": 9, "z": 1.0, "cost": 0.00000001,'
        b' "cost_details": {"upstream_inference_prompt_cost": 1e-7,"upstream_inference_cost":0.1},'
        b'"completion_tokens":0,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":0}}'
    )


def test_without_a_price_the_upstreams_cost_stands() -> None:
    raw = (
        b'{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost":0.10,'
        b'"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}}'
    )
    assert render_usage(parse_usage(raw), None) == raw


def test_a_usage_of_ours_is_rendered_whole() -> None:
    usage = Usage(prompt=10, completion=5, cached=3, reasoning=2)
    rendered = render_usage(usage, Decimal("0.5"))
    assert rendered is not None
    assert json.loads(rendered) == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost": 0.5,
        "cost_details": {"upstream_inference_cost": None},
    }


def test_the_parts_of_a_cost_are_told_and_those_the_upstream_told_stand() -> None:
    told = b'{"prompt_tokens":1,"cost_details":{"upstream_inference_prompt_cost":1e-7}}'
    rendered = [
        render_usage(parse_usage(raw), Decimal("0.5"), Decimal("0.2")) for raw in (told, b'{"prompt_tokens":1}')
    ]
    assert [json.loads(one or b"")["cost_details"] for one in rendered] == [
        {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": prompt,
            "upstream_inference_completions_cost": 0.3,
        }
        for prompt in (1e-7, 0.2)
    ]


@given(
    st.dictionaries(st.sampled_from((*COUNTS, "cost", "cost_details")), NUMBERS),
    st.dictionaries(st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]), DETAILS),
    st.none() | st.decimals(0, 1, places=9),
)
def test_a_usage_that_lacks_only_a_price_is_rendered_as_all_others_are(
    counts: dict[str, object], details: dict[str, object], reported: Decimal | None
) -> None:
    whole = {
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    told = json.dumps({"prompt_tokens": 5, **whole, **counts, **details}).encode()
    # The word null anywhere is a reason to look at every member.
    wary = told.replace(b"{", b'{"said": "null", ', 1)
    quick, slow = (
        render_usage(Usage(5, 3, reported_cost=reported, raw=raw), Decimal("0.0123000"), Decimal("0.01"))
        for raw in (told, wary)
    )
    assert quick is not None
    assert slow is not None
    assert quick.replace(b"{", b'{"said": "null", ', 1) == slow


def test_counts_that_are_null_are_left_out_of_the_details() -> None:
    raw = b'{"prompt_tokens":3,"prompt_tokens_details":{"audio_tokens":null,"cached_tokens":1,"x":null}}'
    rendered = render_usage(parse_usage(raw), None)
    assert rendered is not None
    assert json.loads(rendered)["prompt_tokens_details"] == {"cached_tokens": 1}


def test_nothing_known_is_nothing_shown() -> None:
    assert render_usage(None, None) is None


@pytest.mark.parametrize(
    ("value", "text"), [("1E-10", b"0.0000000001"), ("0.500", b"0.5"), ("1E+3", b"1000"), ("0", b"0"), ("100", b"100")]
)
def test_costs_are_written_without_exponents(value: str, text: bytes) -> None:
    assert render_decimal(Decimal(value)) == text
