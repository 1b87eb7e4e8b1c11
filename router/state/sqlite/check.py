"""Looks at a SQLite file before anything opens it for writing: what is wrong with it is said, and nothing touched."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from router.state.values import StateError

APPLICATION = 0x5475726E
"""`Turn`: what tells our file from another programme's."""
VERSION = 1
_MAGIC = b"SQLite format 3\0"
_CHECKED_WHOLE = 64 * 2**20
"""Bytes up to which a file is read whole at the start."""


def inspect(path: Path) -> None:
    """Raises StateError unless `path` is a usable file of ours, an empty one, or can be created."""
    try:
        if not path.exists():
            _creatable(path)
            return
        if not path.is_file():
            raise StateError(f"{path} is not a file; set state.path to the SQLite file to use.")
        head = _head(path)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}.") from error
    # The superuser may write to what nobody is meant to.
    if not os.access(path, os.W_OK) or not path.stat().st_mode & 0o222 or not os.access(path.parent, os.W_OK):
        raise StateError(f"{path} is read-only; make the file and its folder writable, or set another state.path.")
    if not head:
        return
    if len(head) < 100 or not head.startswith(_MAGIC):
        raise StateError(
            f"{path} is not a SQLite file, or is damaged. It was left as it is; move it away to start anew."
        )
    try:
        _readable(path)
    except sqlite3.DatabaseError as error:
        raise StateError(
            f"{path} is damaged ({error}). It was left as it is; restore a copy, or move it away."
        ) from error


def _creatable(path: Path) -> None:
    if not path.parent.is_dir():
        raise StateError(f"{path} cannot be created: there is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise StateError(f"{path} cannot be created: the folder {path.parent} is read-only.")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _readable(path: Path) -> None:
    """Raises StateError where it is not ours, sqlite3.DatabaseError where it is damaged."""
    journal = path.with_name(path.name + "-wal")
    # Without a journal nothing but the file is read, so SQLite makes no files beside it either.
    mode = "mode=ro" if journal.exists() else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)
    try:
        _ours(path, connection)
        if path.stat().st_size <= _CHECKED_WHOLE:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
    finally:
        connection.close()


def _ours(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and (tables or version):
        raise StateError(f"{path} is another programme's SQLite file. It was left as it is; set another state.path.")
    if version > VERSION:
        raise StateError(
            f"{path} was written by a newer Turnout: its format is {version}, this one reads up to {VERSION}. Upgrade."
        )
