"""What replicas tell each other through Redis: who is there, notes of health, that keys have changed."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import replace

import msgspec

from router.state.redis.guard import Away, Guard
from router.state.redis.link import Argument, Link
from router.state.redis.outbox import Outbox
from router.state.redis.scripts import END_PROBE, PULSE
from router.state.values import Note

REPLICAS, NOTES, VERSION = (f"turnout:{{fleet}}:{name}" for name in ("replicas", "health", "keys:version"))
WAITING = 1000
PATIENCE = 1.0
"""Seconds a pulse, which nobody waits for, is given."""
STALE = 30.0
"""Seconds after which a note that holds for no stated time is not news."""

_decoder = msgspec.json.Decoder(Note)


class RedisExchange:
    """`HealthExchange` through Redis. `pulse` is owed every half second, and when `news` is set."""

    def __init__(self, replica: str, link: Link, guard: Guard, outbox: Outbox) -> None:
        self.replicas = 1
        self.news = asyncio.Event()
        self._replica = replica
        self._link = link
        self._guard = guard
        self._outbox = outbox
        self._heard = "0"
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
        words: list[Argument] = [self._replica, self._heard, *(msgspec.json.encode(note) for note in notes)]
        call = self._guard.call(lambda: self._link.script(PULSE, [REPLICAS, NOTES, VERSION], words), patience=PATIENCE)
        now, self.replicas, version, heard = await call
        for id_, fields in heard:
            self._hear(int(now), bytes(id_).decode(), fields)
        return int(version)

    def _hear(self, now: int, id_: str, fields: list[bytes]) -> None:
        time, _, number = id_.partition("-")
        self._heard = f"{time}-{int(number) + 1}"
        _, replica, _, raw = fields
        if replica.decode() == self._replica:
            return
        try:
            note = _decoder.decode(raw)
        except msgspec.DecodeError:
            return
        age = max(0.0, (now - int(time)) / 1000)
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
