"""What the tests of the configuration share: write a file, load it, read its faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from config.fault import ConfigError
from config.load import Loaded, load

MINIMAL = """\
providers:
  local:
    dialect: openai
    base_url: http://127.0.0.1:8000/v1
    auth: none
models:
  kimi:
    context_length: 1000
    endpoints:
      - provider: local
        model: kimi
        price: {prompt: 1, completion: 2}
"""


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Loaded]:
    def read(text: str | bytes, environ: Mapping[str, str] | None = None) -> Loaded:
        path = tmp_path / "turnout.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path, environ or {})

    return read


@pytest.fixture
def faults(loaded: Callable[..., Loaded]) -> Callable[..., list[str]]:
    """The faults without the file's name: `line: path: message`."""

    def read(text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        try:
            loaded(text, environ)
        except ConfigError as error:
            return [str(fault).removeprefix(f"{fault.file}:") for fault in error.faults]
        return []

    return read
