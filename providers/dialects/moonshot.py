"""Moonshot AI: reads and speaks `reasoning_content`, and insists on it beside tool calls."""

from __future__ import annotations

import re
from types import MappingProxyType

from providers.dialects.profile import Pin, Profile
from providers.dialects.thinking import Thinking

_ENABLED = MappingProxyType({"thinking": b'{"type":"enabled"}'})
_DISABLED = MappingProxyType({"thinking": b'{"type":"disabled"}'})

_EFFORTS = ("low", "high", "max")

MOONSHOT = Profile(
    name="moonshot",
    placeholder=" ",
    prefix="partial",
    roles=MappingProxyType({"developer": "system"}),
    thinking=(
        Thinking(re.compile(r"kimi-k[3-9]"), off=_DISABLED, efforts=_EFFORTS, forced_tools="without"),
        Thinking(re.compile(r"kimi-k2(?:-thinking|\.7-code)"), off=None, forced_tools="without"),
        Thinking(re.compile(r"kimi-k2\.[5-9]"), on=_ENABLED, off=_DISABLED, forced_tools="without"),
        Thinking(efforts=_EFFORTS, declared=True),
    ),
    pins=(
        Pin(
            # Any value but the pinned one is a 400, and the pinned one is what it uses anyway.
            re.compile(r"kimi-k(?:2\.[5-9]|[3-9])"),
            frozenset(("temperature", "top_p", "n", "presence_penalty", "frequency_penalty")),
        ),
    ),
)
