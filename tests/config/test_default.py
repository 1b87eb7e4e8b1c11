"""The bundled configuration loads, tells the truth about the defaults, and holds the models it should."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from config.load import BUNDLED, Loaded, load
from config.schema import Settings

PINNED = {"temperature", "top_p", "n", "presence_penalty", "frequency_penalty"}


@pytest.fixture(scope="module")
def bundled() -> Loaded:
    return load(BUNDLED, {})


def test_it_loads_without_any_environment_and_every_provider_is_off(bundled: Loaded) -> None:
    assert not bundled.usable
    assert bundled.off == {
        "moonshot": "MOONSHOT_API_KEY is not set",
        "moonshot-cn": "MOONSHOT_CN_API_KEY is not set",
        "cometapi": "COMETAPI_KEY is not set",
        "openrouter": "OPENROUTER_API_KEY is not set",
        "deepseek": "DEEPSEEK_API_KEY is not set",
    }


def test_every_setting_it_shows_is_the_default(bundled: Loaded) -> None:
    sections = {name: getattr(bundled.settings, name) for name in Settings.model_fields}
    for name in ("providers", "models"):
        sections.pop(name)
    assert sections.pop("preferences").default.data_collection == "allow"
    for name, section in sections.items():
        assert section == Settings.model_fields[name].default, name
        # What is shown must be all there is, or a newcomer would not learn of it.
        assert section.model_fields_set == set(type(section).model_fields), name


@pytest.mark.parametrize(
    ("model", "tag", "upstream", "prices", "max_output"),
    [
        ("kimi-k2-thinking", "moonshot/int4", "kimi-k2-thinking", ("0.60", "0.15", "2.50"), 16384),
        ("kimi-k2-thinking-turbo", "moonshot/int4", "kimi-k2-thinking-turbo", ("1.15", "0.15", "8.00"), None),
        ("kimi-k2-thinking", "cometapi", "kimi-k2-thinking", ("1.10", None, "4.40"), None),
        ("kimi-k2-thinking-turbo", "cometapi", "kimi-k2-thinking-turbo", ("2.20", None, "15.95"), None),
        ("kimi-k2-thinking", "openrouter", "moonshotai/kimi-k2-thinking", ("0.40", None, "1.75"), None),
    ],
)
def test_the_offers_for_kimi_k2_thinking_are_as_published(
    model: str, tag: str, upstream: str, prices: tuple[str, str | None, str], max_output: int | None, bundled: Loaded
) -> None:
    (endpoint,) = [one for one in bundled.settings.models[f"moonshotai/{model}"].endpoints if one.tag == tag]
    price = endpoint.price
    assert (endpoint.model, endpoint.context_length, endpoint.max_output) == (upstream, 262_144, max_output)
    expected = tuple(None if figure is None else Decimal(figure) for figure in prices)
    assert (price.prompt, price.cache_read, price.completion) == expected


@pytest.mark.parametrize(
    ("model", "context"),
    [
        ("moonshotai/kimi-k2-thinking", 262_144),
        ("moonshotai/kimi-k2-thinking-turbo", 262_144),
        ("moonshotai/kimi-k2", 131_072),
        ("moonshotai/kimi-k2.5", 262_144),
        ("moonshotai/kimi-k2.6", 262_144),
        ("moonshotai/kimi-k2.7-code", 262_144),
        ("moonshotai/kimi-k3", 1_048_576),
        ("deepseek/deepseek-v3.2", 163_840),
    ],
)
def test_the_models_are_there_with_their_room(model: str, context: int, bundled: Loaded) -> None:
    assert bundled.settings.models[model].context_length == context


def test_parameters_that_moonshot_pins_are_not_declared_from_k2_5_on(bundled: Loaded) -> None:
    newer = [
        model for model in bundled.settings.models if model.startswith(("moonshotai/kimi-k2.", "moonshotai/kimi-k3"))
    ]
    assert len(newer) == 4
    for model in newer:
        for endpoint in bundled.settings.models[model].endpoints:
            assert endpoint.supports is not None
            assert not PINNED & set(endpoint.supports), (model, endpoint.tag)


def test_ids_that_moonshot_retired_are_offered_there_only_for_thinking(bundled: Loaded) -> None:
    retired = {"kimi-k2-0711-preview", "kimi-k2-0905-preview", "kimi-k2-turbo-preview", "kimi-k2.5"}
    offered = {
        endpoint.model
        for model in bundled.settings.models.values()
        for endpoint in model.endpoints
        if endpoint.provider.startswith("moonshot")
    }
    assert not offered & retired
    assert {"kimi-k2-thinking", "kimi-k2-thinking-turbo"} <= offered


def test_reasoning_models_say_so(bundled: Loaded) -> None:
    thinking = bundled.settings.models["moonshotai/kimi-k2-thinking"]
    assert thinking.reasoning is not None
    assert thinking.reasoning.mandatory
    assert str(thinking.created) == "2025-11-06"
    assert thinking.canonical_slug == "moonshotai/kimi-k2-thinking-20251106"
    assert bundled.settings.models["moonshotai/kimi-k2"].reasoning is None


def test_every_price_names_its_source_and_every_line_is_readable() -> None:
    lines = BUNDLED.read_text().split("\n")
    assert max(map(len, lines)) < 131
    for number, line in enumerate(lines):
        if line.lstrip().startswith("price: "):
            near = "\n".join(lines[max(0, number - 4) : number + 1])
            assert "20" in near.partition("#")[2], f"line {number + 1} has no date"


def test_what_is_commented_out_as_an_example_would_load(bundled: Loaded, tmp_path: Path) -> None:
    text = BUNDLED.read_text()
    for old, new in (
        ("  keys: []  ", "  keys:  "),
        ("  #  - name: laptop", "    - name: laptop"),
        ("  #    key_env:", "      key_env:"),
        ("  #    limit_usd:", "      limit_usd:"),
        ("  #    limit_reset:", "      limit_reset:"),
        ("  #    rpm:", "      rpm:"),
        ("  #    models:", "      models:"),
        ("  models: {}  ", "  models:  "),
        ('  #  "moonshotai/*":', '    "moonshotai/*":'),
        ("  #    order:", "      order:"),
        ("  #    max_price:", "      max_price:"),
        ("  # local:", "  local:"),
        ("  #   dialect:", "    dialect:"),
        ("  #   base_url:", "    base_url:"),
        ("  #   auth:", "    auth:"),
        ("  #   data_policy:", "    data_policy:"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "turnout.yaml"
    path.write_text(text)
    result = load(path, {})
    assert result.usable
    assert result.settings.auth.keys[0].rpm == 600
    assert result.settings.preferences.models["moonshotai/*"].order == ("moonshot", "cometapi")
