"""One request as the router sees it: the few facts that decide where it goes, and the body they were read from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from config.preferences import Preferences
from providers.splice import JsonObject, nested_deeper_than, value_of
from router.errors import BadRequest
from router.tokens import Estimate, estimate

MAX_KEYS = 1_000
MAX_DEPTH = 200
MAX_FALLBACK_MODELS = 3
MAX_COUNT = 2**31 - 1

PARAMETERS = frozenset(
    [
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "top_a",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "max_tokens",
        "max_completion_tokens",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "prediction",
        "seed",
        "response_format",
        "structured_outputs",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "include_reasoning",
        "reasoning",
        "reasoning_effort",
        "web_search_options",
        "verbosity",
    ]
)
"""OpenRouter's `supported_parameters`: what `require_parameters` looks at."""


class _Message(Struct):
    role: str


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Reasoning(Struct):
    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class _Fields(Struct):
    """The members of a request that the gateway itself reads, with their types."""

    model: str | None = None
    models: list[str] | None = None
    messages: list[_Message] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    provider: dict[str, Any] | None = None
    reasoning: _Reasoning | None = None
    reasoning_effort: str | None = None
    include_reasoning: bool | None = None
    session_id: str | None = None
    prompt_cache_key: str | None = None


_decode_fields = msgspec.json.Decoder(_Fields).decode
_AT = re.compile(r" - at `\$\.?(.*?)`$")


TEXT = frozenset(("text",))
"""The modalities of a request that holds nothing else."""
NO_PREFERENCES = Preferences()


class Ask(Struct, frozen=True, eq=False, gc=False):
    """What is asked for. Tokens; nothing in it changes while the request is served."""

    body: JsonObject
    models: tuple[str, ...]
    """Names as the client wrote them: the model, then its fallbacks; never empty."""
    prompt: Estimate
    stream: bool = False
    named_fallbacks: bool = False
    """The client sent `models` of its own: the catalogue's fallbacks are not used."""
    max_tokens: int | None = None
    parameters: frozenset[str] = frozenset()
    """Which of OpenRouter's parameters it uses."""
    modalities: frozenset[str] = TEXT
    preferences: Preferences = NO_PREFERENCES
    unknown_preferences: tuple[str, ...] = ()
    """Members of `provider` that mean nothing here: ignored, and named in the metadata."""
    usage_chunk: bool = False
    exclude_reasoning: bool = False
    session: str | None = None


def parse(data: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Read a request's body. Raises BadRequest, with the faulty member's path in `param`."""
    body = _object(data)
    fields = _fields(body.data)
    models = _models(fields)
    if not fields.messages:
        raise BadRequest("`messages` is missing or empty: send at least one message.", param="messages")
    _check_ranges(fields)
    preferences, unknown = _preferences(fields.provider)
    messages = body.values["messages"]
    reasoning = fields.reasoning
    return Ask(
        body=body,
        models=models,
        prompt=estimate(messages, body.values.get("tools", b"")),
        stream=bool(fields.stream),
        named_fallbacks=fields.models is not None,
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        parameters=frozenset(key for key in PARAMETERS & body.values.keys() if body.get(key)),
        modalities=_modalities(messages),
        preferences=preferences,
        unknown_preferences=unknown,
        usage_chunk=bool(fields.stream_options and fields.stream_options.include_usage),
        exclude_reasoning=bool(reasoning and reasoning.exclude) or fields.include_reasoning is False,
        session=fields.session_id or _header(headers, b"x-session-id") or fields.prompt_cache_key,
    )


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return value.decode("latin-1") if value else None


def _object(data: bytes) -> JsonObject:
    if nested_deeper_than(data, MAX_DEPTH):
        raise BadRequest(f"The body nests arrays and objects more than {MAX_DEPTH} deep.")
    try:
        if not data.isascii():
            # What is only passed on is not read otherwise: a provider would refuse it, or worse, mend it.
            data.decode()
        body = JsonObject(data)
    except (ValueError, UnicodeError) as error:
        raise BadRequest(f"The body is not a JSON object: {error}.") from None
    if body.count > MAX_KEYS:
        raise BadRequest(f"The body has {body.count:,} top-level keys; {MAX_KEYS:,} is the most.")
    return body


def _fields(data: bytes) -> _Fields:
    try:
        return _decode_fields(data)
    except (ValueError, UnicodeError, RecursionError) as error:
        text = str(error)
        found = _AT.search(text)
        if not found:
            raise BadRequest(f"The body could not be read: {text}.") from None
        path = found.group(1)
        said = text[: found.start()].replace("Object missing required field", "missing")
        raise BadRequest(f"`{path or 'body'}`: {said}.", param=path or None) from None


def _models(fields: _Fields) -> tuple[str, ...]:
    if fields.models is not None and len(fields.models) > MAX_FALLBACK_MODELS:
        raise BadRequest(
            f"'models' array must have {MAX_FALLBACK_MODELS} items or fewer; it has {len(fields.models)}.",
            param="models",
        )
    names = ([fields.model] if fields.model else []) + (fields.models or [])
    if not names or not all(names):
        raise BadRequest("`model` is missing: name a model, see GET /v1/models.", param="model")
    return tuple(dict.fromkeys(names))


def _check_ranges(fields: _Fields) -> None:
    for name in ("max_tokens", "max_completion_tokens", "n"):
        value = getattr(fields, name)
        if value is not None and not 1 <= value <= MAX_COUNT:
            raise BadRequest(f"`{name}` must be a whole number from 1 to {MAX_COUNT:,}.", param=name)


def _preferences(provider: dict[str, Any] | None) -> tuple[Preferences, tuple[str, ...]]:
    if not provider:
        return NO_PREFERENCES, ()
    try:
        return Preferences.from_request(provider)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in ("provider", *first["loc"]))
        raise BadRequest(f"`{path}`: {first['msg']}.", param=path) from None


_PARTS = {
    "image": (b'"image_url"', b'"input_image"'),
    "audio": (b'"input_audio"',),
    "video": (b'"video_url"', b'"input_video"'),
    "file": (b'"file"',),
}


def _modalities(messages: bytes) -> frozenset[str]:
    """Which kinds of input the messages hold. The bytes are scanned first: few requests hold any but text."""
    if b'"type"' not in messages or not any(mark in messages for marks in _PARTS.values() for mark in marks):
        return TEXT
    kinds = {"text"}
    try:
        decoded = value_of(messages)
    except (ValueError, UnicodeError) as error:
        raise BadRequest(f"`messages`: {error}.", param="messages") from None
    for message in decoded:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            type_ = b'"%s"' % str(part.get("type")).encode() if isinstance(part, dict) else b""
            kinds.update(kind for kind, marks in _PARTS.items() if type_ in marks)
    return frozenset(kinds) if len(kinds) > 1 else TEXT
