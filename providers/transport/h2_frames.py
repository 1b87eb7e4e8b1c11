"""Cuts what an HTTP/2 peer sends into whole frames, and takes its GOAWAY out."""

from __future__ import annotations

from collections.abc import Callable

from h2.exceptions import FrameTooLargeError

LAST_STREAM = 2**31 - 1
_HEAD = 9
_MOST = 16 * 1024
"""The size of a frame that nobody who has not agreed to more may exceed."""
_GOAWAY = 7


class Frames:
    """h2 takes a GOAWAY for the end of every stream. It is not: those the peer has taken on, it serves."""

    __slots__ = ("_on_goaway", "_rest")

    def __init__(self, on_goaway: Callable[[int], None]) -> None:
        """`on_goaway` is told the number of the last stream the peer has taken on."""
        self._on_goaway = on_goaway
        self._rest = b""

    def whole(self, data: bytes) -> bytes:
        """What of `data`, and of what was kept of earlier ones, is whole frames for h2. Raises FrameTooLargeError."""
        data = self._rest + data
        passed, at = [], 0
        while (end := _end(data, at)) is not None:
            if data[at + 3] == _GOAWAY and end - at >= _HEAD + 8:
                self._on_goaway(int.from_bytes(data[at + 9 : at + 13]) & LAST_STREAM)
            else:
                passed.append(data[at:end])
            at = end
        self._rest = data[at:]
        return b"".join(passed)


def _end(data: bytes, at: int) -> int | None:
    """Where the frame that begins at `at` ends; None: it is not all there."""
    if len(data) - at < _HEAD:
        return None
    length = int.from_bytes(data[at : at + 3])
    if length > _MOST:
        raise FrameTooLargeError(f"a frame of {length} bytes")
    end = at + _HEAD + length
    return end if end <= len(data) else None
