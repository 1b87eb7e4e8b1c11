"""Every name a model goes by, and the nearest to a name that nobody knows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.router.fakes import MODEL, World, offer, world


def large() -> World:
    many = {f"author{number % 50}/model-{number}": {"endpoints": [offer("a")]} for number in range(1_000)}
    return world(
        offer("a"), aliases=["uno"], models={**many, "moonshotai/kimi-k2-thinking": {"endpoints": [offer("a")]}}
    )


def test_a_model_is_known_by_its_id_its_slug_and_its_aliases() -> None:
    w = world(offer("a"), aliases=["uno", "eins"], canonical_slug="acme/one-2025")
    for name in (MODEL, "acme/one-2025", "uno", "eins"):
        found = w.catalogue.resolve(name)
        assert found is not None
        assert (found.model.id, found.sort) == (MODEL, None)
    for name in ("", "ACME/one", "acme/one ", "acme/one:", "acme/one:online"):
        assert w.catalogue.resolve(name) is None


def test_a_static_variant_goes_before_a_suffix() -> None:
    w = world(offer("a"), models={f"{MODEL}:nitro": {"endpoints": [offer("b")]}})
    found = w.catalogue.resolve(f"{MODEL}:nitro")
    assert found is not None
    assert (found.model.id, found.sort) == (f"{MODEL}:nitro", None)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("kimi-k2-thinking", "moonshotai/kimi-k2-thinking"),
        ("moonshot/kimi-k2-thinkin", "moonshotai/kimi-k2-thinking"),
        ("Moonshotai/Kimi-K2-Thinking", "moonshotai/kimi-k2-thinking"),
        ("author7/model-57x", "author7/model-57"),
        ("unos", MODEL),
    ],
)
def test_the_nearest_name_is_found_among_a_thousand(typed: str, meant: str) -> None:
    assert meant in large().catalogue.nearest(typed)


@pytest.mark.parametrize("junk", ["", "-" * 100_000, "zzzzzz", "a" * 100_000, "\N{SNOWMAN}", "a b " * 50_000])
def test_junk_has_no_neighbours_or_few(junk: str) -> None:
    assert len(large().catalogue.nearest(junk)) <= 3


def test_what_an_endpoint_inherits() -> None:
    w = world(
        offer("a", 2, variant="int4"),
        offer("b", context_length=5),
        input_modalities=["text", "image"],
        context_length=1_000,
    )
    a, b = w.endpoint("a/int4"), w.endpoint("b")
    assert (a.context_length, b.context_length) == (1_000, 5)
    assert a.modalities == {"text", "image"}
    assert a.rates.prompt == Decimal(2)
    assert a.key == (MODEL, "a/int4")
    assert a.takes("anything at all"), "what is not declared is not known to be missing"
    assert [a.matches(name) for name in ("a", "A", "a/int4", "a/", "int4", "b")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
