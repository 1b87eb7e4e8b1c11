"""Every client, unmodified, in front of every kind of upstream: what it holds, and what it brings back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.checks import misses
from tests.clients.known import KNOWN, Source, known
from tests.clients.lab import lab
from tests.clients.page import PAGE, page, row, rows
from tests.clients.roster import CLIENTS, GROUPS, installed, play
from tests.clients.table import given, scenes
from tests.e2e.harness import Bench

UPDATE = bool(os.environ.get("UPDATE_TABLE"))
SOURCES = [source for one in KNOWN for source in one.sources]


@pytest.mark.parametrize("group", GROUPS)
async def test_a_client_holds_the_answer_and_brings_it_back(bench: Bench, tmp_path: Path, group: str) -> None:
    if (missing := GROUPS[group].missing) is not None:
        pytest.skip(missing)
    clients = [client for client in CLIENTS if client.group == group]
    asked = scenes(clients)
    place = await lab(bench, list(asked.values()))
    plan = given((cell.client, scene, cell.way) for cell, scene in asked.items())
    played = await play(GROUPS[group], place.base_url, plan, tmp_path)
    found = {
        cell: misses(scene, held, [request.json for request in place.received(scene)])
        for (cell, scene), held in zip(asked.items(), played, strict=True)
    }
    lines = {client.name: row(client, found) for client in clients}
    if UPDATE:
        PAGE.write_text(page({**rows(PAGE.read_text()), **lines}))
    names = {(cell.client.name, cell.column.name, cell.way): missed for cell, missed in found.items()}
    expected = {key: set(known(*key)) for key in names}
    assert {key: missed for key, missed in names.items() if missed} == {key: e for key, e in expected.items() if e}
    assert lines.items() <= rows(PAGE.read_text()).items(), "TABLE.md says how to write it anew; then read the diff"


def test_the_page_around_the_rows_is_what_is_asserted() -> None:
    written = PAGE.read_text()
    assert written == page(rows(written)), "TABLE.md says how to write it anew; then read the diff"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.client}-{source.path}")
def test_a_miss_is_the_clients_own_in_the_line_that_is_cited(source: Source) -> None:
    client = next(client for client in CLIENTS if client.name == source.client)
    if client.missing is not None:
        pytest.skip(client.missing)
    line = (installed(client) / source.path).read_text().splitlines()[source.line - 1]
    assert source.says in line
