"""What replicas tell each other through Redis: who is there, notes of health, where conversations moved, that keys have
changed."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import msgspec

from router.state.redis.guard import Away, Guard
from router.state.redis.link import Argument, Link
from router.state.redis.outbox import Outbox
from router.state.redis.scripts import END_PROBE, PULSE
from router.state.values import Note

REPLICAS, NOTES, VERSION, MOVES = (
    f"turnout:{{fleet}}:{name}" for name in ("replicas", "health", "keys:version", "moves")
)
WAITING = 1000
PATIENCE = 1.0
"""Seconds a pulse, which nobody waits for, is given."""
STALE = 30.0
"""Seconds after which a note that holds for no stated time is not news."""

_decoder = msgspec.json.Decoder(Note)


class RedisExchange:
    """`HealthExchange` through Redis. `pulse` is owed every half second, and when `news` is set.

    `moved`: told which conversations moved, as their replica spelled it."""

    def __init__(self, replica: str, link: Link, guard: Guard, outbox: Outbox, moved: Callable[[bytes], None]) -> None:
        self.replicas = 1
        self.news = asyncio.Event()
        self._replica = replica
        self._link = link
        self._guard = guard
        self._outbox = outbox
        self._moved = moved
        self._next_note = "0"
        self._next_move = ""
        self._out: deque[Note] = deque(maxlen=WAITING)
        self._in: deque[Note] = deque(maxlen=WAITING)

    def publish(self, note: Note) -> None:
        self._out.append(note)
        self.news.set()

    def received(self) -> list[Note]:
        notes = list(self._in)
        self._in.clear()
        return notes

    async def pulse(self) -> int:
        """Say and hear what is new; returns the version of the keys. Raises Away."""
        self.news.clear()
        notes = list(self._out)
        self._out.clear()
        words: list[Argument] = [self._replica, self._next_note, self._next_move]
        words += (msgspec.json.encode(note) for note in notes)
        keys = [REPLICAS, NOTES, VERSION, MOVES]
        now, self.replicas, version, heard, moves = await self._guard.call(
            lambda: self._link.script(PULSE, keys, words), patience=PATIENCE
        )
        self._next_move = self._next_move or f"{int(now)}-0"
        for id_, (_, replica, _, raw) in heard:
            self._next_note = _after(id_)
            self._hear(_age(now, id_), replica, raw)
        for id_, (_, raw) in moves:
            self._next_move = _after(id_)
            if _age(now, id_) < STALE:
                self._moved(raw)
        return int(version)

    def _hear(self, age: float, replica: bytes, raw: bytes) -> None:
        if replica.decode() == self._replica:
            return
        try:
            note = _decoder.decode(raw)
        except msgspec.DecodeError:
            return
        if age < (note.seconds or STALE):
            self._in.append(replace(note, seconds=note.seconds and note.seconds - age))

    async def take_probe(self, endpoint: tuple[str, str], seconds: float) -> bool:
        words = ("SET", _probe(endpoint), self._replica, "NX", "PX", max(1, int(seconds * 1000)))
        try:
            return await self._guard.call(lambda: self._link.command(*words)) is not None
        except Away:
            return True
        except asyncio.CancelledError:
            # Redis may have given it already.
            self.end_probe(endpoint)
            raise

    def end_probe(self, endpoint: tuple[str, str]) -> None:
        name = _probe(endpoint)
        self._outbox.add(lambda: self._link.script(END_PROBE, [name], [self._replica]))


def _probe(endpoint: tuple[str, str]) -> str:
    return "turnout:probing:" + hashlib.sha256("\0".join(endpoint).encode()).hexdigest()[:40]


def _after(id_: bytes) -> str:
    """The first id of a stream behind this one."""
    time, _, number = id_.decode().partition("-")
    return f"{time}-{int(number) + 1}"


def _age(now: bytes, id_: bytes) -> float:
    """Seconds."""
    return max(0.0, (int(now) - int(id_.partition(b"-")[0])) / 1000)
