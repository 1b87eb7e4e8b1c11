"""Servers one runs oneself. A new one is a row: what is not said is as OpenAI has it."""

from __future__ import annotations

import re
from types import MappingProxyType

from providers.dialects.profile import Profile
from providers.dialects.thinking import Thinking

_EFFORTS = ("low", "medium", "high")
# Kimi's templates ask for `thinking`, those of Qwen and GLM for `enable_thinking`; each overlooks the other.
_TEMPLATE = (
    Thinking(re.compile(r"gpt-oss"), off=None, efforts=_EFFORTS),
    Thinking(
        on=MappingProxyType({"chat_template_kwargs": b'{"thinking":true,"enable_thinking":true}'}),
        off=MappingProxyType({"chat_template_kwargs": b'{"thinking":false,"enable_thinking":false}'}),
    ),
)

SERVERS: tuple[Profile, ...] = (
    Profile(name="vllm", reads="reasoning", prefix="continue_final_message", thinking=_TEMPLATE),
    Profile(name="vllm-old", prefix="continue_final_message", thinking=_TEMPLATE),  # before January 2026
    Profile(name="sglang", prefix="continue_final_message", thinking=_TEMPLATE),
    Profile(
        name="ollama",
        reads="reasoning",
        prefix="prefill",
        renames=MappingProxyType({"max_completion_tokens": "max_tokens"}),
        thinking=(
            Thinking(re.compile(r"gpt-oss"), off=None, efforts=_EFFORTS),
            Thinking(off=MappingProxyType({"reasoning_effort": b'"none"'}), efforts=_EFFORTS),
        ),
    ),
    Profile(name="llamacpp", prefix="prefill", thinking=_TEMPLATE),
)
