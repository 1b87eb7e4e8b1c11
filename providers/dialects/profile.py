"""What one kind of upstream can do and wants, as data that the engine reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from providers.errors import ProviderError

ROUTING_FIELDS = frozenset(("models", "provider", "route", "transforms", "plugins", "usage"))
"""Request members that are for the router alone."""

OPENROUTER_FIELDS = frozenset(("session_id", "reasoning", "include_reasoning"))
"""Request members that only an OpenRouter-style upstream understands."""

SAMPLING = frozenset(
    (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "top_a",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
    )
)
"""Request members that an endpoint which does not list them must not get."""

FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed"), "stop"),
        **dict.fromkeys(("length", "max_tokens", "model_length", "max_output_tokens"), "length"),
        "model_context_window_exceeded": "length",
        **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
        **dict.fromkeys(("content_filter", "content_filtered", "safety", "sensitive"), "content_filter"),
        **dict.fromkeys(("refusal", "recitation", "prohibited_content", "blocklist"), "content_filter"),
        **dict.fromkeys(("error", "insufficient_system_resource", "network_error"), "error"),
    }
)
"""A provider's own finish reason, in lower case, to OpenAI's; any other is a stop."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of upstream."""

    name: str
    reads: Literal["reasoning_content", "reasoning", "details"] = "reasoning_content"
    """The field in which it wants an assistant message's reasoning; `details`: all three, untouched."""
    emits: Literal["text", "details"] = "text"
    """Whether its answers bring reasoning as text (shown in all three fields), or as OpenRouter's do."""
    placeholder: str | None = None
    """The reasoning a tool-call message is given where it has none and the upstream insists on one."""
    drops: frozenset[str] = ROUTING_FIELDS | OPENROUTER_FIELDS
    """Request members it is not sent."""
    forwards: frozenset[str] = frozenset()
    """Client headers it wants to see, lower case."""
    finish_reasons: Mapping[str, str] = field(default_factory=lambda: FINISH_REASONS)
    errors: Mapping[str, type[ProviderError]] = field(default_factory=lambda: MappingProxyType({}))
    """Error codes and types (lower case) that mean something else here than in the common table."""

    def finish_reason(self, native: str) -> str:
        """OpenAI's name of a finish reason."""
        return self.finish_reasons.get(native.lower(), "stop")
