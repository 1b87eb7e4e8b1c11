"""Loading: which file, what the environment adds, and what is said when there is nothing to read."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.fault import ConfigError
from config.load import BUNDLED, Loaded, find, load
from config.schema import Settings
from config.secrets import Off, Secret

Faults = Callable[..., list[str]]
Load = Callable[..., Loaded]
STRONG = "sk-to-0123456789abcdef"


def test_the_explicit_file_comes_first_then_the_variable_then_the_directory_then_the_bundled(tmp_path: Path) -> None:
    environ = {"TURNOUT_CONFIG": "/etc/turnout.yaml"}
    own = tmp_path / "turnout.yaml"
    own.write_text("")
    assert find("mine.yaml", environ, tmp_path) == Path("mine.yaml")
    assert find(None, environ, tmp_path) == Path("/etc/turnout.yaml")
    assert find(None, {"TURNOUT_CONFIG": " "}, tmp_path) == own
    own.unlink()
    assert find(None, {}, tmp_path) == BUNDLED


def test_a_dangling_link_is_not_passed_over_for_the_bundled_file(tmp_path: Path) -> None:
    own = tmp_path / "turnout.yaml"
    own.symlink_to(tmp_path / "gone.yaml")
    assert find(None, {}, tmp_path) == own
    with pytest.raises(ConfigError) as caught:
        load(own, {})
    assert str(caught.value) == f"{own}:1: (file): cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "1: (file): is empty; it needs at least providers and models"),
        (b" \n\n", "1: (file): is empty; it needs at least providers and models"),
        (b"# only a comment\n", "1: (file): must be a mapping with at least providers and models"),
        (b"- a\n", "1: (file): must be a mapping with at least providers and models"),
        (b"just text\n", "1: (file): must be a mapping with at least providers and models"),
        (b"a: 1\nb: \xff\n", "2: (file): is not UTF-8 text; save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), "1: (file): is not UTF-8 text; save it as UTF-8"),
        (b"\xef\xbb\xbfa: 1\n", "1: (file): begins with a byte order mark; save it as UTF-8 without one"),
        (b"a: [1\n", "2: (file): not valid YAML: did not find expected ',' or ']'"),
        (b"a: &a [*a]\n", "1: (file): nested more than 64 deep, or an alias that contains itself"),
    ],
)
def test_a_file_that_holds_no_configuration_is_one_fault(content: bytes, expected: str, faults: Faults) -> None:
    assert faults(content) == [expected]


def test_a_missing_or_unreadable_file_is_a_fault(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        (fault,) = caught.value.faults
        assert (fault.file, fault.line, fault.message) == (str(path), 1, f"cannot be read: {reason}")


def test_a_file_beyond_the_limit_is_refused(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.load.MAX_FILE_BYTES", 1024 * 1024)
    assert faults(b"#" * (1024 * 1024 + 1)) == ["1: (file): is larger than 1 MB"]


def test_only_providers_and_models_are_required(faults: Faults, minimal: str) -> None:
    assert faults(minimal) == []
    assert faults("server: {port: 1}\n") == [
        "1: models: is required and missing",
        "1: providers: is required and missing",
    ]


def test_an_empty_section_is_said_to_be_empty(faults: Faults) -> None:
    assert faults("providers: {}\nmodels:\n") == [
        "1: providers: must not be empty",
        "2: models: must be a mapping of names to values",
    ]


def test_names_and_context_default_to_what_is_written_elsewhere(loaded: Load, minimal: str) -> None:
    settings = loaded(minimal).settings
    assert settings.providers["local"].name == "local"
    model = settings.models["kimi"]
    assert (model.name, model.canonical_slug) == ("kimi", "kimi")
    assert model.endpoints[0].context_length == 1000
    assert model.endpoints[0].tag == "local"


def test_settings_survive_the_document_they_came_from(loaded: Load, minimal: str) -> None:
    text = minimal.replace("auth: none", "auth: none\n    headers: {X-Team: research}")
    text = text.replace("model: kimi\n", "model: kimi\n        supports: [tools]\n")
    settings = loaded(text + 'preferences: {models: {"*": {order: [local]}}}\n').settings
    assert settings.providers["local"].headers == {"X-Team": "research"}
    assert settings.models["kimi"].endpoints[0].supports == ("tools",)
    assert settings.preferences.models["*"].order == ("local",)


def test_the_defaults_are_those_of_the_contract(loaded: Load, minimal: str) -> None:
    dump = loaded(minimal).settings.model_dump(exclude={"providers", "models"}, exclude_none=True)
    assert dump == {
        "server": {
            "host": "127.0.0.1",
            "port": 8080,
            "workers": 1,
            "max_body_bytes": 33_554_432,
            "max_in_flight": 1000,
            "drain_seconds": 30,
        },
        "auth": {"mode": "open", "admin_key_env": "TURNOUT_ADMIN_KEY", "keys": ()},
        "state": {"url": "memory:", "path": "turnout.db", "required": True, "retention_days": 90},
        "timeouts": {"connect": 5, "first_token": 90, "idle": 30, "total": 900},
        "retries": {"max_attempts": 5, "backoff": 0.3, "backoff_max": 2.0, "wait_retry_after": 3.0},
        "hedge": {"after": "auto", "default": 10, "max_share": 0.05},
        "rescue": {"mode": "auto", "max_per_request": 1},
        "health": {
            "outage_window": 30,
            "outage_error_rate": 0.5,
            "outage_min": 3,
            "breaker_failures": 5,
            "breaker_ejection": 5,
            "breaker_ejection_max": 20,
            "degraded_below": 0.95,
            "down_below": 0.80,
            "uptime_min_requests": 100,
        },
        "routing": {"strategy": "price"},
        "preferences": {"default": {}, "models": {}},
    }


def test_settings_cannot_be_changed(loaded: Load, minimal: str) -> None:
    settings = loaded(minimal).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1
    assert isinstance(settings, Settings)


WITH_KEYS = """
auth:
  mode: MODE
  keys:
    - {name: laptop, key_env: KEY_LAPTOP}
    - {name: server, key_env: KEY_SERVER}
"""


@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_a_static_key_that_is_not_set_is_a_fault_where_keys_are_needed(
    value: str | None, faults: Faults, minimal: str
) -> None:
    environ = {"KEY_SERVER": STRONG} | ({} if value is None else {"KEY_LAPTOP": value})
    reason = "is not set" if value is None else "is empty"
    assert faults(minimal + WITH_KEYS.replace("MODE", "keys"), environ) == [
        f"17: auth.keys[0].key_env: KEY_LAPTOP {reason}; make one with: openssl rand -hex 24"
    ]
    assert faults(minimal + WITH_KEYS.replace("MODE", "open"), environ) == []


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("sk-1234", "is shorter than 16 characters"),
        ("changeme", "is shorter than 16 characters"),
        ("fifteen-letters", "is shorter than 16 characters"),
        ("sk-1234-but-a-good-deal-longer", "begins like a well-known example key"),
        ("ChangeMeChangeMe!!", "begins like a well-known example key"),
        ("abababababababababab", "has fewer than 6 different characters"),
    ],
)
def test_a_weak_key_is_refused_and_never_repeated(key: str, reason: str, faults: Faults, minimal: str) -> None:
    found = faults(minimal + WITH_KEYS.replace("MODE", "keys"), {"KEY_LAPTOP": key, "KEY_SERVER": STRONG})
    assert found == [f"17: auth.keys[0].key_env: the key in KEY_LAPTOP {reason}; make one with: openssl rand -hex 24"]
    (fault,) = faults(minimal, {"TURNOUT_ADMIN_KEY": key})
    assert fault.startswith(f"1: auth.admin_key_env: the key in TURNOUT_ADMIN_KEY {reason}")


def test_two_names_for_one_key_are_refused(faults: Faults, minimal: str) -> None:
    found = faults(minimal + WITH_KEYS.replace("MODE", "keys"), {"KEY_LAPTOP": STRONG, "KEY_SERVER": f" {STRONG}\n"})
    assert found == ["18: auth.keys[1].key_env: KEY_SERVER holds the same key as KEY_LAPTOP"]


def test_what_the_environment_adds_is_resolved(loaded: Load, minimal: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    providers = (
        f"  filed: {{dialect: openai, base_url: 'https://x.example', api_key_file: '{tmp_path / 'key'}'}}\n"
        "  named: {dialect: openai, base_url: 'https://x.example', api_key_env: NAMED}\n"
        "  absent: {dialect: openai, base_url: 'https://x.example', api_key_env: ABSENT}\n"
    )
    text = minimal.replace("models:\n", f"{providers}models:\n") + WITH_KEYS.replace("MODE", "keys")
    text += "state: {url: 'redis://localhost', password_env: REDIS_PASSWORD}\n"
    environ = {"NAMED": "from-a-variable", "KEY_LAPTOP": STRONG, "KEY_SERVER": STRONG[::-1]}
    environ |= {"REDIS_PASSWORD": "short", "TURNOUT_ADMIN_KEY": f"{STRONG}-admin"}
    result = loaded(text, environ)
    assert result.provider_keys == {
        "local": None,
        "filed": Secret("from-a-file"),
        "named": Secret("from-a-variable"),
        "absent": Off("ABSENT is not set"),
    }
    assert result.off == {"absent": "ABSENT is not set"}
    assert result.usable
    assert result.client_keys == {"laptop": Secret(STRONG), "server": Secret(STRONG[::-1])}
    assert result.admin_key == Secret(f"{STRONG}-admin")
    assert result.state_password == Secret("short")
    assert result.files == (tmp_path / "turnout.yaml", tmp_path / "key")


def test_redis_without_its_named_password_is_a_fault(faults: Faults, minimal: str) -> None:
    text = minimal + "state: {url: 'redis://localhost', password_env: REDIS_PASSWORD}\n"
    assert faults(text) == ["13: state.password_env: REDIS_PASSWORD is not set"]
    assert faults(minimal + "state: {password_env: REDIS_PASSWORD}\n") == []


def test_no_provider_at_all_is_no_fault_of_the_file(loaded: Load, minimal: str) -> None:
    result = loaded(minimal.replace("auth: none", "api_key_env: ABSENT"))
    assert not result.usable
    assert result.admin_key is None


def test_the_garbage_collector_is_left_as_it_was(loaded: Load, minimal: str) -> None:
    assert gc.isenabled()
    loaded(minimal)
    assert gc.isenabled()
    with pytest.raises(ConfigError):
        loaded("a: [")
    assert gc.isenabled()
    gc.disable()
    try:
        loaded(minimal)
        assert not gc.isenabled()
    finally:
        gc.enable()


def many(endpoints: int) -> str:
    per = 20
    lines = ["providers:"]
    lines += [f"  p{n}: {{dialect: openai, base_url: 'https://p{n}.example', auth: none}}" for n in range(per)]
    lines.append("models:")
    for model in range(endpoints // per):
        lines.append(f"  author/model-{model}:\n    context_length: 262144\n    endpoints:")
        lines += [
            f"      - provider: p{n}\n        model: up-{model}\n        price: {{prompt: '0.60', completion: 2.50}}\n"
            "        supports: [tools, tool_choice, reasoning, temperature, top_p, stop, max_tokens]"
            for n in range(per)
        ]
    return "\n".join(lines) + "\n"


def test_time_grows_with_the_size_of_the_file_and_no_faster(loaded: Load) -> None:
    def cpu(size: int) -> float:
        text = many(size)
        before = os.times()
        loaded(text)
        after = os.times()
        return after.user - before.user

    small, large = min(cpu(500) for _ in range(3)), cpu(4000)
    assert large < 8 * 4 * max(small, 0.02)


def test_thousands_of_faults_are_all_reported(faults: Faults) -> None:
    found = faults(many(2000).replace("- provider: p7\n", "- provider: pp7\n").replace("temperature", "temperatur"))
    assert len([fault for fault in found if 'did you mean "p7"?' in fault]) == 100
    assert len([fault for fault in found if 'did you mean "temperature"?' in fault]) == 2000
    assert len(found) == 2100
