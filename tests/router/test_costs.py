"""Money is exact, and the estimate of tokens is sane in every script."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects.base import Usage
from router.money import Rates
from router.tokens import IMAGE_TOKENS, Estimate, estimate

KIMI = Rates(Decimal("0.60"), Decimal("2.50"), cache_read=Decimal("0.15"))
WRITTEN = Rates(Decimal(3), Decimal(15), Decimal("0.30"), Decimal("3.75"), request=Decimal("0.001"))


@pytest.mark.parametrize(
    ("rates", "usage", "cost"),
    [
        (KIMI, Usage(prompt=1_000_000, completion=1_000_000), "3.10"),
        (KIMI, Usage(prompt=1_000_000, cached=1_000_000), "0.15"),
        (KIMI, Usage(prompt=1_000, cached=400, completion=7), "0.0004375"),
        (KIMI, Usage(prompt=1), "0.0000006"),
        (KIMI, Usage(), "0"),
        (KIMI, Usage(completion=100, reasoning=90), "0.00025"),
        (WRITTEN, Usage(prompt=1_000, cached=400, cache_write=500, completion=10), "0.003445"),
        (WRITTEN, Usage(prompt=100, cached=90, cache_write=50), "0.0010645"),
        (WRITTEN, Usage(), "0.001"),
        (Rates(Decimal(1), Decimal(1)), Usage(prompt=10, cached=5, cache_write=5), "0.00001"),
        (Rates(Decimal(1), Decimal(1), cache_read=Decimal(0)), Usage(prompt=10, cached=10), "0"),
    ],
)
def test_cost_is_exact_to_the_last_digit(rates: Rates, usage: Usage, cost: str) -> None:
    assert rates.cost(usage) == Decimal(cost)


prices = st.decimals(0, 1_000, places=4)


@given(prices, prices, prices, prices, st.lists(st.integers(0, 10**7), min_size=4, max_size=4))
def test_quick_and_exact_agree_and_nothing_costs_less_than_nothing(
    prompt: Decimal, completion: Decimal, read: Decimal, request: Decimal, counts: list[int]
) -> None:
    rates = Rates(prompt, completion, cache_read=read, request=request)
    plain, cached, out, written = counts
    usage = Usage(prompt=plain + cached, completion=out, cached=cached, cache_write=min(written, plain))
    cost = rates.cost(usage)
    assert cost >= 0
    assert cost * 1_000_000 == plain * prompt + cached * read + out * completion + request * 1_000_000
    assert rates.expected(usage.prompt, cached, out) == pytest.approx(float(cost), rel=1e-9, abs=1e-12)


# --- tokens -----------------------------------------------------------------------------------------------


def tokens(content: Any, *, ascii_only: bool = False) -> int:
    messages = [{"role": "user", "content": content}]
    return estimate(json.dumps(messages, ensure_ascii=ascii_only).encode()).tokens


SCRIPTS = {
    # a sentence, and the fewest and the most tokens that a tokenizer may plausibly make of it
    "English": ("The quick brown fox jumps over the lazy dog, and the dog does not mind it. ", 15, 19),
    "code": ("def add(left: int, right: int) -> int:\n    return left + right\n\n", 16, 22),
    "Russian": ("Быстрая лиса перепрыгивает через ленивую собаку. ", 12, 27),
    "Chinese": ("敏捷的棕色狐狸跳过了懒狗，而狗并不介意。", 13, 24),
    "Japanese": ("素早い茶色の狐はのろまな犬を飛び越えます。", 14, 25),
    "Korean": ("빠른 갈색 여우가 게으른 개를 뛰어넘습니다. ", 12, 28),
    "emoji": ("🚆🚉🛤️", 4, 12),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_estimate_is_near_what_tokenizers_say_in_every_script(script: str) -> None:
    text, low, high = SCRIPTS[script]
    found = estimate(json.dumps([{"role": "user", "content": text * 100}], ensure_ascii=False).encode())
    assert found.low <= high * 100
    assert found.high >= low * 100


def test_the_same_text_is_as_long_when_it_is_escaped() -> None:
    text = "敏捷的棕色狐狸跳过了懒狗" * 100
    assert tokens(text, ascii_only=True) == pytest.approx(tokens(text), rel=0.1)


def test_pictures_and_sound_are_not_text() -> None:
    data = base64.b64encode(bytes(range(256)) * 4_000).decode()
    url = f"data:image/png;base64,{data}"
    for picture in (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "input_image", "image_url": url},
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
    ):
        assert tokens([{"type": "text", "text": "hi"}, picture]) < 2 * IMAGE_TOKENS
    escaped = json.dumps([{"type": "image_url", "image_url": {"url": url}}]).replace("/", "\\/").encode()
    assert estimate(escaped).tokens < 2 * IMAGE_TOKENS
    assert tokens([{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]) < 2 * IMAGE_TOKENS
    assert tokens(data) > 100_000, "as text it is text"


def test_tools_count() -> None:
    assert estimate(b"[]", b"x" * 4_000).tokens > 500


@pytest.mark.parametrize("piece", ["\\u", "\\usepackage{x}", "\\\\", "\\u00", '"'])
def test_backslashes_in_a_text_do_not_make_it_shorter(piece: str) -> None:
    assert tokens(piece * 1_000) >= len(piece) * 200


@given(st.text())
def test_every_text_has_tokens_and_more_text_has_no_fewer(text: str) -> None:
    data = json.dumps(text, ensure_ascii=False).encode(errors="surrogatepass")
    once, twice = estimate(data), estimate(data, data)
    assert once.low + 1 >= 1
    assert once.low <= once.tokens <= once.high
    assert twice.tokens >= once.tokens > 0


def test_bounds_follow_the_uncertainty() -> None:
    assert (Estimate(1_000).low, Estimate(1_000).high) == (740, 1_350)
    assert (Estimate(1_000, 0.1).low, Estimate(1_000, 0.1).high) == (909, 1_100)
