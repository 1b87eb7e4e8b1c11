"""SQLite files that cannot be used are refused by name and left exactly as they were."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from config.schema import State
from router.state import connect
from router.state.values import Row, StateError


def digest(folder: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.iterdir() if one.is_file()}


async def refused(path: Path) -> str:
    before = digest(path.parent)
    with pytest.raises(StateError) as caught:
        await connect(State(path=str(path))).open()
    assert digest(path.parent) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


async def made(path: Path, rows: int = 0) -> None:
    store = connect(State(path=str(path)))
    await store.open()
    await store.ledger.append([Row(f"gen-{n}", 1.0 + n, "m", 200, msgspec.Raw(b"{}")) for n in range(rows)])
    await store.aclose()


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    path.write_text("models: {}\n" * 100)
    assert "not a SQLite file" in await refused(path)


async def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    await made(path, 500)
    data = bytearray(path.read_bytes())
    data[4096:40960] = b"\xff" * (40960 - 4096)
    path.write_bytes(data)
    assert "damaged" in await refused(path)


async def test_a_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    await made(path, 500)
    path.write_bytes(path.read_bytes()[:8192])
    assert "damaged" in await refused(path)


async def test_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    await made(path)
    path.chmod(0o444)
    assert "read-only" in await refused(path)


async def test_another_programmes_file(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE requests (a)")
    connection.close()
    assert "another programme" in await refused(path)


async def test_a_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    await made(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer Turnout" in await refused(path)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"no folder .*nowhere"):
        await connect(State(path=str(tmp_path / "nowhere" / "turnout.db"))).open()


async def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "turnout.db").mkdir()
    await refused(tmp_path / "turnout.db")


async def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "turnout.db").touch()
    await made(tmp_path / "turnout.db", 1)


async def test_a_file_is_there_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "turnout.db"
    await made(path, 3)
    store = connect(State(path=str(path)))
    await store.open()
    assert [row.id for row in await store.ledger.recent(9)] == ["gen-2", "gen-1", "gen-0"]
    await store.aclose()
