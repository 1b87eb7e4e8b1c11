"""`turnout explain`: the same decision as a live request's, readable and in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router.cli.explain import explain

CONFIG = """
providers:
  a: {dialect: openai, base_url: http://127.0.0.1:1/v1, auth: none}
  b: {dialect: openai, base_url: http://127.0.0.1:1/v1, auth: none}
  c: {dialect: openai, base_url: http://127.0.0.1:1/v1, auth: none}
  keyless: {dialect: openai, base_url: http://127.0.0.1:1/v1, api_key_env: TURNOUT_TEST_NOT_SET}
preferences:
  default: {max_price: {prompt: 50}}
models:
  acme/one:
    aliases: [one]
    context_length: 10000
    fallbacks: [acme/two]
    endpoints:
      - {provider: b, model: up, price: {prompt: 2, completion: 2}}
      - {provider: a, model: up, price: {prompt: 1, completion: 1}}
      - {provider: c, model: up, price: {prompt: 3, completion: 3}, max_output: 500, supports: [max_tokens]}
      - {provider: keyless, model: up, price: {prompt: 1, completion: 1}}
  acme/two:
    context_length: 100000
    endpoints: [{provider: a, model: two, price: {prompt: 9, completion: 9}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "turnout.yaml"
    file.write_text(CONFIG)
    return file


def ask(config: Path, *args: str) -> Result:
    return CliRunner().invoke(explain, ["--config", str(config), *args])


def value(config: Path, *args: str) -> dict[str, Any]:
    result = ask(config, *args, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def rows(config: Path, *args: str) -> dict[str, dict[str, Any]]:
    return {f"{row['model']} {row['tag']}": row for row in value(config, *args)["endpoints"]["available"]}


def test_costs_chances_places_and_exclusions_are_exact(config: Path) -> None:
    found = rows(config, "acme/one", "--prompt-tokens", "3000", "--max-tokens", "400")
    costs = {name: row["expected_cost"] for name, row in found.items()}
    assert costs["acme/one a"] == pytest.approx(3_400e-6)
    assert costs["acme/one c"] == pytest.approx(3 * 3_400e-6)
    total = 1 + 1 / 4 + 1 / 9
    chances = {name: row["chance"] for name, row in found.items() if row["chance"]}
    assert chances == pytest.approx(
        {"acme/one a": 1 / total, "acme/one b": 1 / 4 / total, "acme/one c": 1 / 9 / total}, abs=1e-6
    )
    assert {name: row["place"] for name, row in found.items()} == {
        "acme/one a": 1,
        "acme/one b": 2,
        "acme/one c": 3,
        "acme/two a": 4,
        "acme/one keyless": None,
    }
    assert found["acme/one keyless"]["excluded_by"] == "provider_off"


def test_what_excludes_or_demotes_is_named(config: Path) -> None:
    assert rows(config, "one", "--max-tokens", "501")["acme/one c"]["excluded_by"] == "max_output"
    assert rows(config, "one", "--tools")["acme/one c"]["demoted_by"] == ["parameters"]
    long = rows(config, "one", "--prompt-tokens", "10001")
    assert {row["excluded_by"] for name, row in long.items() if "one" in name} == {"context_length", "provider_off"}
    assert long["acme/two a"]["place"] == 1
    assert rows(config, "one", "--prompt-tokens", "10000")["acme/one a"]["demoted_by"] == []


def test_preferences_are_those_of_the_file_and_the_request_merged(config: Path) -> None:
    found = value(config, "one", "--provider", '{"sort": "price", "ignore": ["b"], "colour": "red"}')
    assert found["preferences"] == {"ignore": ["b"], "sort": "price", "max_prompt": "50"}
    assert found["ignored_preferences"] == ["colour"]
    assert found["strategy"] == "price"
    assert value(config, "one:nitro")["strategy"] == "throughput"


def test_the_strategy_of_the_file_is_used(config: Path) -> None:
    config.write_text(CONFIG + "routing: {strategy: balanced}\n")
    found = value(config, "one")
    assert found["strategy"] == "balanced"
    assert sum(row["chance"] for row in found["endpoints"]["available"]) == pytest.approx(1, abs=1e-5)


def test_people_get_a_line_for_each_endpoint(config: Path) -> None:
    result = ask(config, "one", "--provider", '{"only": ["a", "c"]}', "--prompt-tokens", "3000")
    assert result.exit_code == 0
    lines = result.stdout.split("\n")
    assert lines[0] == "one: strategy price, 3,000 prompt tokens, 1,000 of output assumed"
    assert lines[1] == 'Preferences: only [["a", "c"]], max_prompt 50'
    table = [line.split() for line in lines[2:] if line.strip()]
    assert table[0] == ["#", "Model", "Endpoint", "USD", "First", "Why"]
    assert table[1] == ["1", "acme/one", "a", "0.004000", "90.0%"]
    assert table[-2] == ["–", "acme/one", "keyless", "0.004000", "–", "out:", "provider_off"]
    assert len(table) == 1 + 5 + 1, "one row an endpoint, and what First means"


def test_nobody_left_is_said(config: Path) -> None:
    result = ask(config, "acme/two", "--provider", '{"only": ["nobody"]}')
    assert result.exit_code == 0
    assert "Nobody would be asked: No allowed providers are available" in result.stdout
    assert value(config, "acme/two", "--provider", '{"only": ["nobody"]}')["error"].startswith("No allowed providers")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["acme/won"], "turnout explain: acme/won is not a valid model ID. Did you mean acme/"),
        (["one", "--provider", "{"], "turnout explain: --provider is not JSON"),
        (["one", "--provider", "[]"], "turnout explain: --provider is not a JSON object"),
        (["one", "--provider", '{"sort": "beauty"}'], "turnout explain: `provider.sort.by`"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_1(config: Path, args: list[str], said: str) -> None:
    result = ask(config, *args)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == 1


def test_a_fault_in_the_file_is_exit_2(config: Path) -> None:
    config.write_text(CONFIG.replace("fallbacks: [acme/two]", "fallbacks: [acme/three]"))
    result = ask(config, "one")
    assert result.exit_code == 2
    assert "acme/three" in result.stderr
