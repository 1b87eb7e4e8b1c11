"""Hosted vendors. A new one is a row: what is not said is as OpenAI has it."""

from __future__ import annotations

import re
from types import MappingProxyType

from providers.dialects.cometapi import COMETAPI
from providers.dialects.profile import OPENROUTER_FIELDS, ROUTING_FIELDS, Pin, Profile
from providers.dialects.thinking import BY_EFFORT, Thinking
from providers.errors import (
    BadCredentials,
    ContentRefused,
    ContextExceeded,
    InvalidRequest,
    ModelUnavailable,
    OutOfQuota,
    Overloaded,
    RateLimited,
)

_MAX_TOKENS = MappingProxyType({"max_completion_tokens": "max_tokens"})
_SYSTEM = MappingProxyType({"developer": "system"})
_USUAL_DROPS = ROUTING_FIELDS | OPENROUTER_FIELDS
_EFFORTS = ("low", "medium", "high")
_NO_EFFORT = MappingProxyType({"reasoning_effort": b'"none"'})
_OBJECT_ON = MappingProxyType({"thinking": b'{"type":"enabled"}'})
_OBJECT_OFF = MappingProxyType({"thinking": b'{"type":"disabled"}'})
_SWITCH_ON = MappingProxyType({"enable_thinking": b"true"})
_SWITCH_OFF = MappingProxyType({"enable_thinking": b"false"})
_GPT_OSS = re.compile(r"gpt-oss")

HOSTED: tuple[Profile, ...] = (
    Profile(
        name="deepseek",
        placeholder=" ",
        prefix="none",  # only under another base URL
        renames=_MAX_TOKENS,
        roles=_SYSTEM,
        thinking=(
            Thinking(re.compile(r"reasoner"), off=None, efforts=("low", "high", "max"), forced_tools="without"),
            Thinking(on=_OBJECT_ON, off=_OBJECT_OFF, efforts=("low", "high", "max"), forced_tools="without"),
        ),
    ),
    Profile(
        name="zai",
        renames=_MAX_TOKENS,
        roles=_SYSTEM,
        thinking=(Thinking(on=_OBJECT_ON, off=_OBJECT_OFF),),
        errors=MappingProxyType({"1113": OutOfQuota, "1302": RateLimited, "1301": ContentRefused}),
    ),
    Profile(
        name="dashscope",
        prefix="partial",
        streams_only="thinking",
        thinking=(Thinking(on=_SWITCH_ON, off=_SWITCH_OFF, budget="thinking_budget"),),
    ),
    Profile(
        name="groq",
        reads="reasoning",
        prefix="prefill",
        drops=_USUAL_DROPS | {"logprobs", "top_logprobs", "logit_bias", "store"},
        thinking=(
            Thinking(_GPT_OSS, off=None, efforts=_EFFORTS),
            Thinking(re.compile(r"qwen"), on=MappingProxyType({"reasoning_format": b'"parsed"'}), off=_NO_EFFORT),
            Thinking(),
        ),
    ),
    Profile(
        name="together",
        reads="reasoning",
        renames=_MAX_TOKENS,
        thinking=(
            Thinking(_GPT_OSS, off=None, efforts=_EFFORTS),
            Thinking(
                on=MappingProxyType({"reasoning": b'{"enabled":true}'}),
                off=MappingProxyType({"reasoning": b'{"enabled":false}'}),
            ),
        ),
    ),
    Profile(name="fireworks", placeholder=" ", thinking=(Thinking(off=_NO_EFFORT, efforts=_EFFORTS),)),
    Profile(name="deepinfra", thinking=(Thinking(off=_NO_EFFORT, efforts=_EFFORTS),)),
    Profile(
        name="siliconflow",
        renames=_MAX_TOKENS,
        roles=_SYSTEM,
        thinking=(Thinking(on=_SWITCH_ON, off=_SWITCH_OFF, budget="thinking_budget"),),
        errors=MappingProxyType(
            {"20012": ModelUnavailable, "20015": InvalidRequest, "30001": OutOfQuota, "50505": Overloaded}
        ),
    ),
    Profile(name="novita", renames=_MAX_TOKENS, thinking=(Thinking(on=_SWITCH_ON, off=_SWITCH_OFF),)),
    Profile(
        name="mistral",
        reads=None,
        prefix="prefix",
        counts_unasked=True,
        renames=MappingProxyType({"max_completion_tokens": "max_tokens", "seed": "random_seed"}),
        roles=_SYSTEM,
        drops=_USUAL_DROPS | {"logprobs", "top_logprobs", "logit_bias", "user", "store", "top_k", "min_p"},
        thinking=(
            Thinking(re.compile(r"magistral"), on=MappingProxyType({"prompt_mode": b'"reasoning"'})),
            Thinking(off=_NO_EFFORT, efforts=("high",), declared=True),
        ),
    ),
    Profile(
        name="minimax",
        renames=_MAX_TOKENS,
        roles=_SYSTEM,
        thinking=(Thinking(off=None),),
        pins=(Pin(re.compile(""), frozenset(("presence_penalty", "frequency_penalty", "logit_bias"))),),
        errors=MappingProxyType(
            {
                "1002": RateLimited,
                "1004": BadCredentials,
                "1008": OutOfQuota,
                "1026": ContentRefused,
                "1027": ContentRefused,
                "1039": ContextExceeded,
                "2013": InvalidRequest,
                "2049": BadCredentials,
            }
        ),
    ),
    *(Profile(name=name, thinking=BY_EFFORT, errors=COMETAPI.errors) for name in ("oneapi", "newapi")),
)
