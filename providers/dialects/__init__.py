"""How each kind of upstream speaks: pure functions from bytes to bytes, by the name the configuration gives."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from providers.dialects.base import Dialect
from providers.dialects.cometapi import COMETAPI
from providers.dialects.engine import ProfileDialect
from providers.dialects.moonshot import MOONSHOT
from providers.dialects.openai import OPENAI
from providers.dialects.openrouter import OPENROUTER
from providers.dialects.profiles import PROFILES

REGISTRY: Mapping[str, Dialect] = MappingProxyType(
    {profile.name: ProfileDialect(profile) for profile in (MOONSHOT, COMETAPI, OPENROUTER, OPENAI, *PROFILES)}
)
"""By name of the profile. Each dialect has one of its own name."""
