"""OpenRouter and its like: `reasoning_details` go there and come from there untouched."""

from __future__ import annotations

from providers.dialects.profile import ROUTING_FIELDS, Profile

OPENROUTER = Profile(
    name="openrouter",
    reads="details",
    emits="details",
    drops=ROUTING_FIELDS,
    forwards=frozenset(("http-referer", "x-title")),
)
