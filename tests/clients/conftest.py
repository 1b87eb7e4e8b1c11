"""The bench of the end-to-end tests, and an environment in which an SDK takes nothing but what it is given."""

from __future__ import annotations

import os

import pytest

from tests.e2e.conftest import bench

__all__ = ["bench"]


@pytest.fixture(autouse=True)
def _nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("OPENAI_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
