"""The ledger in Redis: rows with a time to live, sums by bucket, and a stream for other systems to read."""

from __future__ import annotations

import os
import socket
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from redis.exceptions import ResponseError

from router.state import codec
from router.state.redis.exchange import REPLICAS
from router.state.redis.guard import Guard
from router.state.redis.link import Argument, Link
from router.state.redis.scripts import APPEND, SUMS
from router.state.rollup import (
    DIMENSIONS,
    KEPT,
    MEASURES,
    Apps,
    Bucketed,
    attempt_totals,
    kind_for,
    resolution_for,
    sums,
    totals,
)
from router.state.values import AttemptTotal, Clock, Query, Row, Total

_PREFIX = "turnout:{ledger}:"
INDEX, STREAM, NAMES = (_PREFIX + name for name in ("index", "stream", "names"))
RUNNING = "turnout:{fleet}:running"
GROUP = "export"
"""The stream's consumer group that is there from the start, so that a reader who comes later has missed nothing."""
PATIENCE = 3.0
ROWS_A_SCRIPT = 100
"""Few enough that Redis is not held up for other requests."""
BUCKETS_A_SCRIPT = 100
_SEPARATOR = "\x1f"
DAY = 86_400


class RedisLedger:
    """`Ledger` in Redis. `kept`: days a row is kept."""

    def __init__(self, replica: str, link: Link, guard: Guard, kept: float, wall: Clock = time.time) -> None:
        self._replica = replica
        self._link = link
        self._guard = guard
        self._kept = max(1, int(kept * DAY))
        self._wall = wall
        self._apps = Apps()

    async def open(self) -> None:
        """Raises StateError."""
        await self._guard.call(self._create_group, "ledger", PATIENCE)

    async def _create_group(self) -> None:
        with suppress(ResponseError):  # it is there
            await self._link.command("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM")

    async def append(self, rows: Sequence[Row]) -> None:
        unique = list({row.id: row for row in rows}.values())
        for start in range(0, len(unique), ROWS_A_SCRIPT):
            await self._store(unique[start : start + ROWS_A_SCRIPT])

    async def _store(self, rows: list[Row]) -> None:
        while rows:
            keys, words = self._appending(rows)
            work = partial(self._link.script, APPEND, keys, words)
            there = set(await self._guard.call(work, "ledger", PATIENCE))
            if not there:
                return
            # Sent again after an answer that was lost: the sums are then of the others only.
            rows = [row for place, row in enumerate(rows, 1) if place not in there]

    def _appending(self, rows: list[Row]) -> tuple[list[str], list[Argument]]:
        """What the script says it takes. In few words, since each word of a command costs this process time."""
        keys = [INDEX, STREAM, NAMES, *(_row_name(row.id) for row in rows)]
        clients: dict[str, tuple[int, str, str]] = {}
        heads: list[tuple[str, int, int, int, int]] = []
        texts: list[bytes] = []
        for row in rows:
            place = 0
            if row.key:
                if row.key not in clients:
                    keys.append(_index_of(row.key))
                    clients[row.key] = (len(keys), row.key, row.key_name)
                place = clients[row.key][0]
            json = codec.encode(row)
            packed = _pack(json)
            texts += (packed, json)
            heads.append((row.id, int(row.created * 1000), len(packed), len(json), place))
        increments = []
        for name, seconds, fields in self._increments(rows):
            keys.append(name)
            increments.append((len(keys), seconds, *fields))
        return keys, [self._kept, msgspec.msgpack.encode((heads, list(clients.values()), increments)), b"".join(texts)]

    def _increments(self, rows: list[Row]) -> Iterable[tuple[str, int, list[str]]]:
        """(name of the hash, seconds it is kept, field and amount by turns)."""
        hashes: dict[tuple[str, int, int], list[str]] = {}
        for kind, held in sums(rows, self._apps).items():
            for (resolution, bucket, dims), measures in held.items():
                fields = hashes.setdefault((kind, resolution, bucket), [])
                parts = [dim.replace(_SEPARATOR, " ") for dim in dims]
                for number, amount in enumerate(measures):
                    if amount:
                        # As text: a number of Lua's is exact to 2^53 only.
                        fields += (_SEPARATOR.join([*parts, str(number)]), str(amount))
        for (kind, resolution, bucket), fields in hashes.items():
            yield _sums_name(kind, resolution, bucket), KEPT[resolution] + resolution, fields

    async def generation(self, id: str) -> Row | None:  # noqa: A002 - the name of the thing everywhere
        found = await self._guard.call(lambda: self._link.command("GET", _row_name(id)), "ledger", PATIENCE)
        return None if found is None else _unpack(found)

    async def recent(self, limit: int, before: str | None = None, key: str | None = None) -> list[Row]:
        index = INDEX if key is None else _index_of(key)

        async def work() -> list[bytes | None]:
            start = 0
            if before is not None:
                rank = await self._link.command("ZREVRANK", index, before)
                if rank is None:
                    return []
                start = rank + 1
            ids = await self._link.command("ZREVRANGE", index, start, start + limit - 1)
            names = [_row_name(bytes(id_).decode()) for id_ in ids]
            return list(await self._link.command("MGET", *names)) if names else []

        found = await self._guard.call(work, "ledger", PATIENCE)
        return [_unpack(packed) for packed in found if packed is not None]

    async def totals(self, query: Query) -> list[Total]:
        return totals(query, await self._sums(query, kind_for(query)))

    async def attempts(self, query: Query) -> list[AttemptTotal]:
        return attempt_totals(query, await self._sums(query, "attempts"))

    async def _sums(self, query: Query, kind: str) -> list[Bucketed]:
        now = self._wall()
        resolution = resolution_for(query, now)
        first = int(max(query.since, now - KEPT[resolution]) // resolution) * resolution
        last = now + resolution if query.until is None else query.until
        buckets = range(first, int(-(-last // 1)), resolution)
        found: list[Bucketed] = []
        for start in range(0, len(buckets), BUCKETS_A_SCRIPT):
            some = buckets[start : start + BUCKETS_A_SCRIPT]
            names = [_sums_name(kind, resolution, bucket) for bucket in some]
            hashes = await self._guard.call(lambda: self._link.script(SUMS, names, []), "ledger", PATIENCE)  # noqa: B023 - awaited here
            for bucket, fields in zip(some, hashes, strict=True):
                found += [(bucket, dims, held) for dims, held in _read(fields, kind).items()]
        return found

    async def key_names(self) -> dict[str, str]:
        found = await self._guard.call(lambda: self._link.command("HGETALL", NAMES), "ledger", PATIENCE)
        return {key.decode(): name.decode() for key, name in found.items()}

    async def prune(self, days: float) -> int:
        limit, gone = int((self._wall() - days * DAY) * 1000), 0
        while ids := await self._guard.call(lambda: self._oldest(limit), "ledger", PATIENCE):
            names = [_row_name(bytes(id_).decode()) for id_ in ids]
            await self._guard.call(lambda: self._link.command("UNLINK", *names), "ledger", PATIENCE)  # noqa: B023 - awaited here
            await self._guard.call(lambda: self._link.command("ZREM", INDEX, *ids), "ledger", PATIENCE)
            gone += len(ids)
        return gone

    async def _oldest(self, limit: int) -> list[bytes]:
        found = await self._link.command("ZRANGEBYSCORE", INDEX, "-inf", f"({limit}", "LIMIT", 0, 500)
        return list(found)

    async def begin(self, replica: str) -> bool:
        async def work() -> bool:
            there = {bytes(one) for one in await self._link.command("ZRANGE", REPLICAS, 0, -1)}
            running = [bytes(one) for one in await self._link.command("HKEYS", RUNNING)]
            gone = [one for one in running if one not in there or _dead(one.decode())]
            if gone:
                await self._link.command("HDEL", RUNNING, *gone)
            await self._link.command("HSET", RUNNING, self._replica, replica)
            return bool(gone)

        return await self._guard.call(work, patience=PATIENCE)

    async def end(self, replica: str) -> None:
        await self._guard.call(lambda: self._link.command("HDEL", RUNNING, self._replica), patience=PATIENCE)


def replica_name(unique: str) -> str:
    """Says which process of which machine it is, so that its end can be noticed at once there."""
    return f"{socket.gethostname()}/{os.getpid()}/{unique}"


def _dead(replica: str) -> bool:
    host, process, _ = replica.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _row_name(id_: str) -> str:
    return f"{_PREFIX}row:{id_}"


def _index_of(key: str) -> str:
    return f"{_PREFIX}index:{key}"


def _sums_name(kind: str, resolution: int, bucket: int) -> str:
    return f"{_PREFIX}{kind}:{resolution}:{bucket}"


def _read(fields: Sequence[bytes], kind: str) -> dict[tuple[str, ...], list[int]]:
    held: dict[tuple[str, ...], list[int]] = {}
    for name, amount in zip(fields[::2], fields[1::2], strict=True):
        *dims, number = name.decode().split(_SEPARATOR)
        if len(dims) == len(DIMENSIONS[kind]):
            held.setdefault(tuple(dims), [0] * len(MEASURES[kind]))[int(number)] = int(amount)
    return held


def _pack(json: bytes) -> bytes:
    # zlib's usual 256 KB of tables take longer to make than a row takes to compress, and make it no smaller.
    packer = zlib.compressobj(1, zlib.DEFLATED, 13, 5)
    return packer.compress(json) + packer.flush()


def _unpack(packed: bytes) -> Row:
    return codec.row(zlib.decompress(packed))
