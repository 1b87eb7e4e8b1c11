"""The names of profiles that `profile:` may give, and which dialects may take them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# fmt: off
PROFILES: tuple[str, ...] = (
    "moonshot", "cometapi", "openrouter", "openai",
    "deepseek", "zai", "dashscope", "groq", "together", "fireworks", "deepinfra", "siliconflow", "novita",
    "mistral", "minimax", "oneapi", "newapi",
    "vllm", "vllm-old", "sglang", "ollama", "llamacpp",
)
# fmt: on
"""As the dialects themselves know them; a test compares the two."""

TAKEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"openai": PROFILES, "cometapi": ("cometapi", "oneapi", "newapi")}
)
"""By dialect. Any other takes only the one of its own name."""
