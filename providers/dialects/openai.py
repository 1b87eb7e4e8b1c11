"""Any OpenAI-compatible server of which no more is known; see `profiles` for those of which there is."""

from __future__ import annotations

from providers.dialects.profile import Profile
from providers.dialects.thinking import BY_EFFORT

OPENAI = Profile(name="openai", thinking=BY_EFFORT)
