"""The ledger in SQLite: rows, and sums kept up in the same transaction."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from router.state import codec
from router.state.periods import DAY, Figures, day_of, month_of, week_of
from router.state.rollup import (
    DIMENSIONS,
    KEPT,
    MEASURES,
    Apps,
    Bucketed,
    attempt_totals,
    filters,
    kind_for,
    resolution_for,
    sums,
    totals,
)
from router.state.sqlite.database import Database
from router.state.values import AttemptTotal, Clock, Query, Row, Total, to_units

PRUNED_AT_ONCE = 2000
_SPANS = {"minute": 60, "hour": 3600, "day": DAY}


class SqliteLedger:
    """`Ledger` on a SQLite file."""

    def __init__(self, database: Database, wall: Clock = time.time) -> None:
        self._database = database
        self._wall = wall
        self._apps = Apps()

    async def append(self, rows: Sequence[Row]) -> None:
        if rows:
            await self._database.write(lambda connection: self._append(connection, rows))

    def _append(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        new = _inserted(connection, rows)
        for kind, items in sums(new, self._apps).items():
            _upsert(connection, kind, items.items())
        spent: dict[str, list[Row]] = defaultdict(list)
        for row in new:
            if row.key:
                spent[row.key].append(row)
        connection.executemany(
            "INSERT INTO key_sums VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET name = excluded.name, cost = cost + excluded.cost",
            [(key, own[-1].key_name, sum([to_units(row.cost) for row in own])) for key, own in spent.items()],
        )

    async def generation(self, id: str) -> Row | None:  # noqa: A002 - the name of the thing everywhere
        sql = "SELECT row FROM requests WHERE id = ?"
        found = await self._database.read(lambda connection: connection.execute(sql, (id,)).fetchone())
        return None if found is None else _row(found[0])

    async def recent(self, limit: int, before: str | None = None, key: str | None = None) -> list[Row]:
        tests = {"key = ?": key, "seq < (SELECT seq FROM requests WHERE id = ?)": before}
        kept = {test: value for test, value in tests.items() if value is not None}
        where = " AND ".join(kept) or "1"
        sql = f"SELECT row FROM requests WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - tests of ours
        values = [*kept.values(), limit]
        found = await self._database.read(lambda connection: connection.execute(sql, values).fetchall())
        return [_row(stored) for (stored,) in found]

    async def totals(self, query: Query) -> list[Total]:
        return totals(query, await self._sums(query, kind_for(query)))

    async def attempts(self, query: Query) -> list[AttemptTotal]:
        return attempt_totals(query, await self._sums(query, "attempts"))

    async def _sums(self, query: Query, kind: str) -> list[Bucketed]:
        resolution = resolution_for(query, self._wall())
        span = min((_SPANS[one] for one in query.by if one in _SPANS), default=0)
        wanted = filters(query, kind)
        columns = [f"bucket / {span} * {span}" if span else "0"]
        columns += [name if name in query.by or name in wanted else "''" for name in DIMENSIONS[kind]]
        sql = (
            f"SELECT {', '.join(columns)}, {', '.join(f'SUM({one})' for one in MEASURES[kind])} "  # noqa: S608 - names of ours
            f"FROM {kind}_sums WHERE resolution = ? AND bucket >= ? AND bucket < ?"
            f"{''.join(f' AND {name} = ?' for name in wanted)} "
            f"GROUP BY {', '.join(str(place) for place in range(1, len(columns) + 1))}"
        )
        since = int(query.since // resolution) * resolution
        values = [resolution, since, 2**53 if query.until is None else query.until, *wanted.values()]
        found = await self._database.read(lambda connection: connection.execute(sql, values).fetchall())
        return [(row[0], tuple(row[1 : len(columns)]), row[len(columns) :]) for row in found]

    async def key_names(self) -> dict[str, str]:
        return dict(await self._database.read(lambda one: one.execute("SELECT key, name FROM key_sums").fetchall()))

    async def prune(self, days: float) -> int:
        """In small transactions, so that rows can be written meanwhile."""
        limit, gone = self._wall() - days * DAY, 0
        sql = "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE created < ? LIMIT ?)"
        while True:
            went = await self._database.write(
                lambda connection: connection.execute(sql, (limit, PRUNED_AT_ONCE)).rowcount
            )
            gone += went
            if went < PRUNED_AT_ONCE:
                break
        await self._database.write(self._prune_sums)
        return gone

    def _prune_sums(self, connection: sqlite3.Connection) -> None:
        for resolution, seconds in KEPT.items():
            for kind in DIMENSIONS:
                sql = f"DELETE FROM {kind}_sums WHERE resolution = ? AND bucket < ?"  # noqa: S608 - names of ours
                connection.execute(sql, (resolution, self._wall() - seconds))

    async def begin(self, replica: str) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            unclean = connection.execute("DELETE FROM running").rowcount > 0
            connection.execute("INSERT INTO running VALUES (?)", (replica,))
            return unclean

        return await self._database.write(work)

    async def end(self, replica: str) -> None:
        sql = "DELETE FROM running WHERE replica = ?"
        await self._database.write(lambda connection: connection.execute(sql, (replica,)))

    async def figures(self) -> list[tuple[str, Figures]]:
        """What every key has spent, to start from."""
        now = self._wall()
        today, monday, first = day_of(now), week_of(now) * 7 - 3, month_of(now)
        since = min(monday, today - 31) * DAY

        def work(connection: sqlite3.Connection) -> dict[str, Figures]:
            found = {
                key: Figures(total, today, 0, week_of(now), 0, first, 0)
                for key, total in connection.execute("SELECT key, cost FROM key_sums")
            }
            daily = (
                "SELECT key, bucket, SUM(cost) FROM requests_sums WHERE resolution = ? AND bucket >= ? GROUP BY 1, 2"
            )
            for key, bucket, cost in connection.execute(daily, (DAY, since)):
                if figures := found.get(key):
                    before = figures.total
                    figures.add(cost, bucket)
                    figures.total = before
            return found

        return list((await self._database.read(work)).items())


def _inserted(connection: sqlite3.Connection, rows: Sequence[Row]) -> Sequence[Row]:
    """Store rows; returns those that were not there already, which is nearly always all of them."""
    insert = "INSERT OR IGNORE INTO requests (id, created, key, row) VALUES (?, ?, ?, ?)"
    values = [(row.id, row.created, row.key, codec.encode(row)) for row in rows]
    before = connection.total_changes
    connection.execute("SAVEPOINT all_new")
    connection.executemany(insert, values)
    if connection.total_changes - before == len(rows):
        return rows
    connection.execute("ROLLBACK TO all_new")
    execute = connection.execute
    return [row for row, stored in zip(rows, values, strict=True) if execute(insert, stored).rowcount == 1]


def _upsert(
    connection: sqlite3.Connection, kind: str, items: Iterable[tuple[tuple[int, int, tuple[str, ...]], list[int]]]
) -> None:
    columns = ("resolution", "bucket", *DIMENSIONS[kind], *MEASURES[kind])
    sets = ", ".join(f"{one} = {one} + excluded.{one}" for one in MEASURES[kind])
    connection.executemany(
        f"INSERT INTO {kind}_sums ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608 - names of ours
        f"ON CONFLICT DO UPDATE SET {sets}",
        [(resolution, bucket, *values, *added) for (resolution, bucket, values), added in items],
    )


def _row(stored: bytes) -> Row:
    """Rows are JSON as it is: SQLite reads it too, and compressing costs twenty times as much as writing twice the
    bytes. Those of older versions are compressed."""
    return codec.row(stored if stored.startswith(b"{") else zlib.decompress(stored))
