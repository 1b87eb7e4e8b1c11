"""Profiles of vendors and servers that speak OpenAI's dialect, each with its own accent."""

from __future__ import annotations

from providers.dialects.profile import Profile
from providers.dialects.profiles.hosted import HOSTED
from providers.dialects.profiles.servers import SERVERS

PROFILES: tuple[Profile, ...] = (*HOSTED, *SERVERS)
