"""A request's `provider` object and the file's preferences are the same fields, read the same way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.fields import HIGHEST_PRICE
from config.preferences import QUANTIZATIONS, MaxPrice, Percentiles, Preferences, Sort


def test_nothing_given_is_nothing_set() -> None:
    preferences, unknown = Preferences.from_request({})
    assert preferences.model_fields_set == set()
    assert set(preferences.model_dump().values()) == {None}
    assert unknown == ()


def test_every_field_of_a_request_is_read() -> None:
    preferences, unknown = Preferences.from_request(
        {
            "order": ["moonshot", "cometapi/turbo"],
            "allow_fallbacks": False,
            "require_parameters": True,
            "data_collection": "deny",
            "zdr": True,
            "only": ["moonshot"],
            "ignore": [],
            "quantizations": ["int4", "fp8"],
            "sort": {"by": "throughput", "partition": "none"},
            "preferred_min_throughput": {"p50": 100, "p90": 50.5},
            "preferred_max_latency": 2,
            "max_price": {"prompt": 1, "completion": "2.5", "request": 0.1},
            "enforce_distillable_text": True,
            "options": {},
        }
    )
    assert unknown == ("enforce_distillable_text", "options")
    assert preferences == Preferences(
        order=("moonshot", "cometapi/turbo"),
        allow_fallbacks=False,
        require_parameters=True,
        data_collection="deny",
        zdr=True,
        only=("moonshot",),
        ignore=(),
        quantizations=("int4", "fp8"),
        sort=Sort(by="throughput", partition="none"),
        preferred_min_throughput=Percentiles(p50=100.0, p90=50.5),
        preferred_max_latency=Percentiles(p50=2.0),
        max_price=MaxPrice(prompt=Decimal(1), completion=Decimal("2.5"), request=Decimal("0.1")),
    )


def test_null_is_as_good_as_absent() -> None:
    names = tuple(Preferences.model_fields)
    preferences, _ = Preferences.from_request(dict.fromkeys(names))
    assert preferences.model_dump() == Preferences().model_dump()


def test_a_bare_word_or_number_is_the_usual_member() -> None:
    preferences, _ = Preferences.from_request({"sort": "price", "preferred_min_throughput": 7})
    assert preferences.sort == Sort(by="price")
    assert preferences.preferred_min_throughput == Percentiles(p50=7)


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("order", "moonshot", "order"),
        ("order", [1], "order.0"),
        ("order", [""], "order.0"),
        ("order", {"a": 1}, "order"),
        ("allow_fallbacks", "true", "allow_fallbacks"),
        ("allow_fallbacks", 1, "allow_fallbacks"),
        ("data_collection", "never", "data_collection"),
        ("quantizations", ["int5"], "quantizations.0"),
        ("sort", "fastest", "sort.by"),
        ("sort", {"by": "price", "partition": "all"}, "sort.partition"),
        ("sort", {"bye": "price"}, "sort.bye"),
        ("sort", 1, "sort"),
        ("preferred_max_latency", "2", "preferred_max_latency.p50"),
        ("preferred_max_latency", -1, "preferred_max_latency.p50"),
        ("preferred_max_latency", True, "preferred_max_latency.p50"),
        ("preferred_max_latency", {"p51": 1}, "preferred_max_latency.p51"),
        ("max_price", 1, "max_price"),
        ("max_price", {"prompt": -1}, "max_price.prompt"),
        ("max_price", {"prompt": True}, "max_price.prompt"),
        ("max_price", {"prompt": "free"}, "max_price.prompt"),
        ("max_price", {"prompt": "NaN"}, "max_price.prompt"),
        ("max_price", {"prompt": float("inf")}, "max_price.prompt"),
        ("max_price", {"prompt": float("nan")}, "max_price.prompt"),
        ("max_price", {"prompt": "1e999"}, "max_price.prompt"),
        ("max_price", {"prompt": "1e-999"}, "max_price.prompt"),
        ("max_price", {"prompt": " 1"}, "max_price.prompt"),
        ("max_price", {"prompt": "1_000"}, "max_price.prompt"),
        ("max_price", {"prompt": 10**30}, "max_price.prompt"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(field: str, value: Any, place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Preferences.from_request({field: value})
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [place]


@given(st.decimals(min_value=0, max_value=HIGHEST_PRICE, places=6))
def test_a_price_is_exact_however_it_is_written(amount: Decimal) -> None:
    for written in (f"{amount:f}", amount):
        preferences, _ = Preferences.from_request({"max_price": {"prompt": written}})
        assert preferences.max_price == MaxPrice(prompt=amount)


@given(st.floats(min_value=0, max_value=1000, allow_nan=False).map(lambda number: round(number, 6)))
def test_a_float_means_the_digits_one_sees(number: float) -> None:
    preferences, _ = Preferences.from_request({"max_price": {"prompt": number}})
    assert preferences.max_price is not None
    assert preferences.max_price.prompt == Decimal(repr(number))


@given(st.dictionaries(st.sampled_from([*Preferences.model_fields, "other"]), st.none() | st.integers() | st.text()))
def test_any_object_is_read_or_refused_with_the_one_error(obj: dict[str, Any]) -> None:
    try:
        _, unknown = Preferences.from_request(obj)
    except ValidationError:
        return
    assert unknown == (("other",) if "other" in obj else ())


def test_the_quantizations_are_openrouters() -> None:
    assert len(QUANTIZATIONS) == 12
    assert "mxfp4" in QUANTIZATIONS
