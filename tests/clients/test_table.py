"""Every client, unmodified, in front of every kind of upstream: what it holds, and what it brings back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.known import known
from tests.clients.lab import lab
from tests.clients.roster import CLIENTS, GROUPS, play
from tests.clients.table import given, misses, rendered, scenes
from tests.e2e.harness import Bench

TABLE = Path(__file__).parent / "TABLE.md"


@pytest.mark.parametrize("group", GROUPS)
async def test_a_client_holds_the_answer_and_brings_it_back(bench: Bench, tmp_path: Path, group: str) -> None:
    if (missing := GROUPS[group].missing) is not None:
        pytest.skip(missing)
    asked = scenes([client for client in CLIENTS if client.group == group])
    place = await lab(bench, list(asked.values()))
    played = await play(GROUPS[group], place.base_url, given(asked), tmp_path)
    found = {
        (client.name, column.name, way): misses(scene, held, [request.json for request in place.received(scene)])
        for ((client, column, way), scene), held in zip(asked.items(), played, strict=True)
    }
    assert {key: missed for key, missed in found.items() if missed} == {
        key: expected for key in found if (expected := set(known(*key)))
    }


def test_the_table_says_what_is_asserted() -> None:
    if os.environ.get("UPDATE_TABLE"):
        TABLE.write_text(rendered())
    assert TABLE.read_text() == rendered(), "run UPDATE_TABLE=1 pytest tests/clients/test_table.py, then read the diff"
