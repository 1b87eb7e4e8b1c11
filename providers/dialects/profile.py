"""What one kind of upstream can do and wants, as data that the engine reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from providers.dialects.thinking import Thinking
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

NO_ERRORS: Mapping[str, type[ProviderError]] = MappingProxyType({})
NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Pin:
    """Request members that some models of a vendor refuse, whatever their value."""

    models: re.Pattern[str]
    """Found anywhere in the upstream's id of the model."""
    drops: frozenset[str]


@dataclass(frozen=True, slots=True)
class Prefix:
    """How an answer that was begun elsewhere is handed over: as a last assistant message."""

    message: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Members of that message beside its role and text, as JSON."""
    request: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Members of the request, as JSON."""
    reasoning: bool = False
    """The message may carry the reasoning that came before its text."""
    not_with: frozenset[str] = frozenset()
    """Request members beside which it is refused."""
    trims: bool = False
    """White space at the end of the text is lost, or refused: it is not sent, and expected to be said again."""


PREFIXES: Mapping[str, Prefix] = MappingProxyType(
    {
        "partial": Prefix(
            message=MappingProxyType({"partial": b"true"}), reasoning=True, not_with=frozenset(("response_format",))
        ),
        "prefill": Prefix(trims=True),
        "prefix": Prefix(message=MappingProxyType({"prefix": b"true"})),
        "continue_final_message": Prefix(
            request=MappingProxyType({"continue_final_message": b"true", "add_generation_prompt": b"false"}),
            trims=True,
        ),
    }
)
"""The ways there are, by the name a profile or an endpoint gives them; `none` is not among them."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One kind of upstream."""

    name: str
    reads: Literal["reasoning_content", "reasoning", "details"] | None = "reasoning_content"
    """The field in which it wants an assistant message's reasoning; `details`: all three, untouched; None: it
    refuses them all."""
    emits: Literal["text", "details"] = "text"
    """Whether its answers bring reasoning as text (shown in all three fields), or as OpenRouter's do."""
    placeholder: str | None = None
    """The reasoning a tool-call message is given where it has none and the upstream insists on one."""
    thinking: tuple[Thinking, ...] = ()
    """How it is told whether and how much to reason; the first whose models match counts."""
    pins: tuple[Pin, ...] = ()
    drops: frozenset[str] = ROUTING_FIELDS | OPENROUTER_FIELDS
    """Request members it is not sent."""
    renames: Mapping[str, str] = field(default_factory=lambda: NO_NAMES)
    """Request members it knows by another name. Where the client gives both, the upstream's own counts."""
    roles: Mapping[str, str] = field(default_factory=lambda: NO_NAMES)
    """Roles of messages it knows by another name."""
    counts_unasked: bool = False
    """It always reports the usage of a stream, and refuses to be asked for it."""
    streams_only: Literal["never", "thinking", "always"] = "never"
    """What it answers only as a stream; the whole answer is then put together here."""
    prefix: Literal["partial", "prefill", "prefix", "continue_final_message", "none"] | None = None
    """How it takes over a begun answer, a key of PREFIXES; None: not known."""
    forwards: frozenset[str] = frozenset()
    """Client headers it wants to see, lower case."""
    finish_reasons: Mapping[str, str] = field(default_factory=lambda: FINISH_REASONS)
    errors: Mapping[str, type[ProviderError]] = field(default_factory=lambda: NO_ERRORS)
    """Error codes and types (lower case) that mean something else here than in the common table."""

    def finish_reason(self, native: str) -> str:
        """OpenAI's name of a finish reason."""
        return self.finish_reasons.get(native.lower(), "stop")

    def pinned(self, model: str) -> frozenset[str]:
        """Request members that this model refuses."""
        return frozenset().union(*[pin.drops for pin in self.pins if pin.models.search(model)])
