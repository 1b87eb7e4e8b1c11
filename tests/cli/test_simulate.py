"""`turnout simulate`: two cases side by side, the same for the same seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router.cli.simulate import simulate

CONFIG = """
providers:
  a: {dialect: openai, base_url: http://127.0.0.1:1/v1, auth: none}
  b: {dialect: openai, base_url: http://127.0.0.1:1/v1, api_key_env: TURNOUT_TEST_NOT_SET}
models:
  acme/one:
    context_length: 1000000
    endpoints:
      - {provider: a, model: up, price: {prompt: 2, completion: 2}}
      - {provider: b, model: up, price: {prompt: 1, completion: 1}}
"""
REQUEST = '{"model": "acme/one", "prompt_tokens": 1000, "completion_tokens": 500}\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "turnout.yaml"
    file.write_text(CONFIG)
    (tmp_path / "load.jsonl").write_text(REQUEST * 10)
    return file


def call(config: Path, *args: str) -> Result:
    return CliRunner().invoke(simulate, ["--config", str(config), *args])


def cases(config: Path, *args: str) -> list[dict[str, Any]]:
    result = call(config, *args, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["cases"]
    return found


def test_two_preferences_are_compared_on_the_same_requests(config: Path) -> None:
    load = str(config.with_name("load.jsonl"))
    cheap, dear = cases(
        config, "--assume-keys", "--requests", load, "--provider", '{"sort": "price"}', "--provider", '{"only": ["a"]}'
    )
    assert (cheap["cost"], dear["cost"]) == pytest.approx((10 * 1_500e-6, 20 * 1_500e-6))
    assert cheap["providers"] == {"b": {"share": 1.0, "cost": pytest.approx(0.015)}}
    assert (cheap["requests"], cheap["success"], dear["success"]) == (10, 1.0, 1.0)
    assert cheap["name"] == 'turnout.yaml {"sort": "price"}'


def test_one_preference_is_compared_with_the_file_as_it_is(config: Path) -> None:
    plain, only = cases(config, "--assume-keys", "--synthetic", "400", "--provider", '{"only": ["a"]}')
    assert plain["providers"]["b"]["share"] == pytest.approx(0.8, abs=0.06)
    assert set(only["providers"]) == {"a"}
    assert plain["cost"] < only["cost"]


def test_two_files_are_compared(config: Path) -> None:
    other = config.with_name("other.yaml")
    other.write_text(CONFIG.replace("prompt: 2, completion: 2", "prompt: 4, completion: 4"))
    first, second = cases(config, "--config", str(other), "--synthetic", "50")
    assert second["cost"] == pytest.approx(2 * first["cost"])
    assert (first["name"], second["name"]) == ("turnout.yaml", "other.yaml")


def test_a_provider_without_its_key_is_off_unless_keys_are_assumed(config: Path) -> None:
    assert set(cases(config, "--synthetic", "50")[0]["providers"]) == {"a"}
    assert set(cases(config, "--synthetic", "50", "--assume-keys")[0]["providers"]) == {"a", "b"}


def test_the_same_seed_prints_the_same(config: Path) -> None:
    args = ("--assume-keys", "--synthetic", "300", "--seed", "7")
    assert call(config, *args).stdout == call(config, *args).stdout
    assert call(config, *args).stdout != call(config, *args[:-1], "8").stdout


def test_people_get_the_cases_side_by_side(config: Path) -> None:
    result = call(config, "--assume-keys", "--synthetic", "200", "--provider", '{"only":["a"]}')
    assert result.exit_code == 0
    rows = dict(line.split("  ", 1) for line in result.stdout.split("\n")[1:] if line.strip())
    assert rows["Requests"].split() == ["200", "200"]
    assert rows["Answered"].split() == ["100.000%", "100.000%"]
    assert rows["Share of b"].split()[1] == "0.0%"


def test_endpoints_behave_as_the_file_says(config: Path) -> None:
    behaviour = config.with_name("endpoints.yaml")
    behaviour.write_text("a: {error_rate: 1}\n")
    found = cases(config, "--assume-keys", "--synthetic", "100", "--endpoints", str(behaviour))[0]
    assert set(found["providers"]) == {"b"}
    assert found["saved_by_fallback"] > 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model", "acme/won", "--synthetic", "1"], "acme/won is not a valid model ID"),
        (["--requests", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
        (["--endpoints", "nowhere.yaml"], "nowhere.yaml: No such file"),
        (["--provider", "[]"], "--provider is not a JSON object"),
        (["--provider", "{"], "--provider is not a JSON object"),
        (["--provider", '{"sort": "beauty"}'], "--provider: sort.by"),
        (["--provider", '{"colour": 1}'], "--provider: unknown: colour"),
        (["--provider", "{}"] + ["--provider", "{}"] * 2, "two cases at most"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_1(config: Path, args: list[str], said: str) -> None:
    result = call(config, *args)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"turnout simulate: {said}")
    assert result.stderr.count("\n") == 1


def test_a_behaviour_for_nobody_is_a_mistake(config: Path) -> None:
    behaviour = config.with_name("endpoints.yaml")
    behaviour.write_text("z: {}\n")
    result = call(config, "--endpoints", str(behaviour))
    assert (result.exit_code, "no endpoint is called z" in result.stderr) == (1, True)


def test_a_fault_in_the_file_is_exit_2(config: Path) -> None:
    config.write_text("models: {}\n")
    assert call(config).exit_code == 2
