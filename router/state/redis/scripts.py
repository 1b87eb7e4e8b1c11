"""The Lua scripts: each step over several keys is one of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """Text, and its SHA-1, by which Redis knows it."""

    text: bytes
    sha: str


def _script(*names: str) -> Script:
    folder = files("router.state.redis") / "lua"
    text = b"\n".join((folder / f"{name}.lua").read_bytes() for name in names)
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


ADMIT = _script("lib", "admit")
SETTLE = _script("lib", "settle")
USAGE = _script("lib", "usage")
PULSE = _script("pulse")
REMEMBER = _script("remember")
APPEND = _script("append")
SUMS = _script("sums")
PUT_KEY = _script("put_key")
DELETE_KEY = _script("delete_key")
END_PROBE = _script("end_probe")
