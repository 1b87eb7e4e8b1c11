"""Lone surrogates: escapes that stand for half a character, kept through parsers that refuse them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_STAND_INS = re.compile(rb"\\uE[0-7][0-9A-F]{2}")
_UNESCAPED = re.compile(rb"\xee[\x80-\x9f][\x80-\xbf]")
_ROOM = 0x800


def hide_lone_surrogates(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Half a surrogate pair (an emoji cut between two deltas) stands in no valid text, yet providers and clients
    send it and put it together again. It gets a stand-in of the same length, given back by `restored`.

    Linear time. Raises ValueError where there are more than 2,048 different ones.
    """
    stand_ins: dict[bytes, bytes] = {}
    taken = set(_STAND_INS.findall(data))
    taken.update([b"\\uE%03X" % (ord(found.decode()) & 0xFFF) for found in set(_UNESCAPED.findall(data))])
    free = (code for code in (b"\\uE%03X" % number for number in range(_ROOM)) if code not in taken)

    def hide(found: re.Match[bytes]) -> bytes:
        lone = found.group(1)
        if lone is None:
            return found.group()
        if lone not in stand_ins:
            code = next(free, None)
            if code is None:
                raise ValueError("too many different lone surrogates")
            stand_ins[lone] = code
        return stand_ins[lone]

    return _ESCAPES.sub(hide, data), stand_ins


def restored(data: bytes, stand_ins: Mapping[bytes, bytes]) -> bytes:
    """The inverse of `hide_lone_surrogates`."""
    if not stand_ins:
        return data
    originals = {code: b"\\" + lone for lone, code in stand_ins.items()}
    return _STAND_INS.sub(lambda found: originals.get(found.group(), found.group()), data)
