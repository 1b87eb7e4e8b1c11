"""The connection to Redis: the only place that uses redis-py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, RedisClusterException, RedisError

from router.state.redis.address import Address
from router.state.redis.scripts import Script
from router.state.values import StateError

Argument = bytes | str | int | float
FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a call raises where Redis cannot do it."""
OLDEST = (6, 2)
OPENING = 3.0
"""Seconds the first connection may take."""
SOCKET = 3.0
"""Seconds without an answer after which a connection is given up, whatever waits for it."""


@contextmanager
def _closing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # What uvloop says where redis-py writes to a connection that was closed a moment ago.
        raise ConnectionResetError(str(error)) from error


class Link:
    """Commands and scripts, on whichever node holds their keys."""

    def __init__(self, address: Address, password: str | None) -> None:
        self.address = address
        self._sentinel: Any = None
        self._client: Redis | RedisCluster = self._connect(address, password)

    def _connect(self, address: Address, password: str | None) -> Redis | RedisCluster:
        # Retrying here would add to what a request waits; that is for whoever calls to decide.
        retry = Retry(NoBackoff(), 0)
        if address.kind == "cluster":
            return RedisCluster(
                startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
                username=address.username,
                password=password,
                ssl=address.tls,
                socket_timeout=SOCKET,
                socket_connect_timeout=SOCKET,
                retry=retry,
                protocol=2,
            )
        if address.kind == "sentinel":
            untyped: Any = Sentinel
            sentinel = self._sentinel = untyped(
                list(address.hosts),
                sentinel_kwargs={"socket_timeout": 0.5, "retry": retry, "protocol": 2},
                username=address.username,
                password=password,
                ssl=address.tls,
                db=address.database,
                socket_timeout=SOCKET,
                socket_connect_timeout=SOCKET,
                retry=retry,
                protocol=2,
            )
            primary: Redis = sentinel.master_for(address.master)
            return primary
        host, port = address.hosts[0]
        return Redis(
            host=host,
            port=port,
            db=address.database,
            username=address.username,
            password=password,
            ssl=address.tls,
            socket_timeout=SOCKET,
            socket_connect_timeout=SOCKET,
            retry=retry,
            protocol=2,
        )

    async def open(self) -> None:
        """Raises StateError where Redis is not there, too old, or may not be written to."""
        try:
            async with asyncio.timeout(OPENING):
                # Through a script, so that it is asked on one node of whatever kind.
                info = await self.command("EVAL", "return redis.call('INFO', 'server')", 1, "turnout:{fleet}:probe")
                self._check(bytes(info))
                await self.command("SET", "turnout:{fleet}:probe", "1", "PX", 1000)
        except ReadOnlyError as error:
            raise StateError(f"Redis at {self.address} is a read-only replica; name its primary.") from error
        except TimeoutError as error:
            raise StateError(f"Redis at {self.address} did not answer within {OPENING:g} s.") from error
        except FAILURES as error:
            raise StateError(f"Redis at {self.address} cannot be used: {error}.") from error

    def _check(self, info: bytes) -> None:
        lines = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        version = lines.get("redis_version", "0")
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
            raise StateError(f"Redis at {self.address} is version {version}; Turnout needs 6.2 or newer.")

    async def command(self, *words: Argument) -> Any:
        """One command. Raises one of FAILURES."""
        with _closing():
            return await self._client.execute_command(*words)

    async def commands(self, several: Sequence[Sequence[Argument]]) -> None:
        """Several at once, on whichever nodes. Raises one of FAILURES; then any of them may have been done."""
        pipeline: Any = self._client.pipeline()
        for words in several:
            pipeline.execute_command(*words)
        with _closing():
            await pipeline.execute()

    async def script(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """One script; its keys must share a hash tag. Raises one of FAILURES."""
        words = [len(keys), *keys, *arguments]
        try:
            return await self.command("EVALSHA", script.sha, *words)
        except NoScriptError:
            return await self.command("EVAL", script.text, *words)

    async def drop(self) -> None:
        """Close idle connections, so that the next one is made anew, to whoever is the primary then."""
        if isinstance(self._client, Redis):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        await self._client.aclose()
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                await sentinel.aclose()
