"""A secret is never seen: not in a repr, a message, a fault, nor an exception's chain."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.fault import ConfigError
from config.load import Loaded
from config.preferences import Preferences
from config.schema import Provider
from config.secrets import Off, Secret, resolve, variable, weakness

CANARY = "sk-canary-7f3a9c51e2"
Load = Callable[..., Loaded]


def provider(**fields: object) -> Provider:
    given = {"name": "x", "dialect": "openai", "base_url": "https://x.example"}
    return Provider.model_validate(given | fields)


def test_a_secret_prints_as_stars_everywhere() -> None:
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [
        repr([secret]),
        repr({"key": secret}),
        repr(copy.deepcopy(secret)),
        json.dumps({"key": secret}, default=str),
    ]
    assert not any("canary" in text for text in shown)
    assert secret.reveal() == CANARY
    assert not hasattr(secret, "__dict__")


def test_secrets_are_equal_by_value_and_survive_copies() -> None:
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("key", Secret("key")),
        ("  key\r\n", Secret("key")),
        ("schlüssel", Secret("schlüssel")),
        ("", Off("THE_KEY is empty")),
        (" \t\n", Off("THE_KEY is empty")),
        ("two\nlines", Off("THE_KEY holds line breaks or characters an HTTP header cannot carry")),
        ("car\rriage", Off("THE_KEY holds line breaks or characters an HTTP header cannot carry")),
        ("nul\x00l", Off("THE_KEY holds line breaks or characters an HTTP header cannot carry")),
        ("ключ", Off("THE_KEY holds line breaks or characters an HTTP header cannot carry")),
    ],
)
def test_a_key_from_variable_or_file_is_usable_or_off_with_a_reason(
    value: str, expected: Secret | Off, tmp_path: Path
) -> None:
    assert resolve(provider(api_key_env="THE_KEY"), {"THE_KEY": value}) == expected
    path = tmp_path / "THE_KEY"
    path.write_text(value, newline="")
    found = resolve(provider(api_key_file=str(path)), {})
    if isinstance(found, Off):
        found = Off(found.reason.replace(str(path), "THE_KEY"))
    assert found == expected


def test_without_a_key_a_provider_is_off_and_says_what_is_missing(tmp_path: Path) -> None:
    assert resolve(provider(api_key_env="THE_KEY"), {}) == Off("THE_KEY is not set")
    gone = tmp_path / "gone"
    assert resolve(provider(api_key_file=str(gone)), {}) == Off(f"{gone} cannot be read: No such file or directory")
    assert resolve(provider(api_key_file=str(tmp_path)), {}) == Off(f"{tmp_path} cannot be read: Is a directory")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 100_000)
    assert resolve(provider(api_key_file=str(big)), {}) == Off(f"{big} is too large to be a key")
    assert resolve(provider(auth="none"), {}) is None


def test_a_certificate_that_cannot_be_read_puts_the_provider_off(tmp_path: Path) -> None:
    gone = tmp_path / "ca.pem"
    expected = Off(f"{gone} cannot be read: No such file or directory")
    assert resolve(provider(auth="none", ca_file=str(gone)), {}) == expected
    assert resolve(provider(auth="none", transport="httpx", httpx={"cert_file": str(gone)}), {}) == expected
    trustme.CA().cert_pem.write_to_path(gone)
    assert resolve(provider(auth="none", ca_file=str(gone)), {}) is None


def test_a_certificate_that_cannot_be_used_puts_the_provider_off(tmp_path: Path) -> None:
    ca = trustme.CA()
    ours, other = ca.issue_cert("a.test"), ca.issue_cert("b.test")
    cert, key, wrong, text = (tmp_path / name for name in ("cert.pem", "a.key", "b.key", "text.pem"))
    ours.cert_chain_pems[0].write_to_path(cert)
    ours.private_key_pem.write_to_path(key)
    other.private_key_pem.write_to_path(wrong)
    text.write_text("not a certificate")

    def found(cert_file: Path, key_file: Path) -> object:
        options = {"cert_file": str(cert_file), "key_file": str(key_file)}
        return resolve(provider(auth="none", transport="httpx", httpx=options), {})

    assert found(cert, key) is None
    assert found(cert, wrong) == Off(f"{cert} with {wrong} cannot be used: key values mismatch")
    assert isinstance(found(text, key), Off)
    off = resolve(provider(auth="none", ca_file=str(text)), {})
    assert isinstance(off, Off)
    assert off.reason.startswith(f"{text} cannot be used: ")


@given(st.text(min_size=1, max_size=40))
def test_no_reason_ever_holds_the_value(value: str) -> None:
    marked = f"canary{value}"
    found = variable("NAME", {"NAME": marked})
    if isinstance(found, Off):
        assert "canary" not in found.reason
    else:
        assert "canary" not in repr(found)
        assert found.reveal() == marked.strip()
        assert "canary" not in (weakness(found) or "")


def test_nothing_loaded_shows_a_secret(loaded: Load, minimal: str, caplog: pytest.LogCaptureFixture) -> None:
    text = minimal.replace("auth: none", "api_key_env: UPSTREAM")
    text += "auth: {mode: keys, keys: [{name: a, key_env: CLIENT}]}\n"
    text += "state: {url: 'redis://localhost', password_env: REDIS}\n"
    names = ("UPSTREAM", "CLIENT", "REDIS", "TURNOUT_ADMIN_KEY")
    result = loaded(text, {name: f"{CANARY}-{name}" for name in names})
    logging.getLogger("test").warning("%s %r", result, result)
    assert "canary" not in repr(result) + str(result) + caplog.text
    assert {type(result.admin_key), type(result.state_password), type(result.provider_keys["local"])} == {Secret}


@pytest.mark.parametrize(
    "fault",
    [
        "auth: {admin_key_env: sk-canary-7f3a9c51e2}\n",
        "auth: {keys: [{name: a, key_env: sk-canary-7f3a9c51e2}]}\n",
        "state: {url: 'redis://:canary@localhost'}\n",
        "state: {password_env: 'canary!'}\n",
        "state: {url: 'canary'}\n",
        "server: {port: canary, host: [canary]}\n",
        "hedge: {after: canary}\n",
        "routing: {strategy: canary}\n",
        "preferences: {default: {sort: canary, max_price: {prompt: canary}}}\n",
    ],
)
def test_a_secret_written_into_the_file_is_not_repeated_in_the_fault(fault: str, loaded: Load, minimal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(minimal + fault)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary" not in shown


@pytest.mark.parametrize(
    "line", ["base_url: 'https://u:canary@x.example'", "api_key_env: sk-canary-1", "headers: {Authorization: canary}"]
)
def test_a_secret_in_a_provider_is_not_repeated_in_the_fault(line: str, loaded: Load, minimal: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(minimal.replace("models:\n", f"  other: {{dialect: openai, {line}}}\nmodels:\n"))
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_validation_error_of_a_request_hides_its_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Preferences.from_request({"sort": "canary", "only": "canary"})
    assert "canary" not in str(caught.value)
