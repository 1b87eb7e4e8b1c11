"""Moonshot AI: reads and speaks `reasoning_content`, and insists on it beside tool calls."""

from __future__ import annotations

from providers.dialects.profile import Profile

MOONSHOT = Profile(name="moonshot", placeholder=" ")
