"""One request as the router sees it: the few facts that decide where it goes, and the body they were read from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from config.preferences import Preferences
from providers.conversation import PlainMessage
from providers.splice import NULL, JsonObject, items_in, nested_deeper_than, value_of
from router.conversation import Message, Opening, Reading, opening, text_of
from router.errors import BadRequest
from router.tokens import Estimate, counted, estimate, measured

MAX_KEYS = 1_000
MAX_DEPTH = 200
TOO_DEEP = f"The body nests arrays and objects more than {MAX_DEPTH} deep."
SHORT = 4_096
"""Bytes of a body in which brackets are counted wherever they are."""
MAX_FALLBACK_MODELS = 3
MAX_COUNT = 2**31 - 1
MOST_REMEMBERED = 1_000
"""Bytes of a `provider` object that is kept for requests to come."""

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


class _Role(Struct):
    role: str


class _Message(Message, kw_only=True):
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


_Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)]


class _Counted(_Fields, kw_only=True):
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: _Count | None = None


class _Plain(_Counted, kw_only=True):
    """What most requests are; any other is read as `_Usual`."""

    messages: Annotated[list[PlainMessage], msgspec.Meta(min_length=1)]


class _Usual(_Counted, kw_only=True):
    """What nearly all others are; what is left is read as `_Any`."""

    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]


class _Any(_Fields):
    """Whatever may be served, or can be told what is wrong with it."""

    messages: list[_Role] | None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_usual = msgspec.json.Decoder(_Usual).decode
_decode_any = msgspec.json.Decoder(_Any).decode
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
    opening: Opening | None = None
    """What the conversation is known by; None where it has a session for that."""


class _Read(Struct, gc=False):
    """What is found by going through the messages."""

    fields: _Fields
    prompt: Estimate
    messages: Sequence[_Message | PlainMessage]
    kinds: Collection[str] = ()


def parse(data: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Read a request's body. Raises BadRequest, with the faulty member's path in `param`."""
    body = _object(data)
    values = body.values
    read = _plain(body) or _other(body)
    fields = read.fields
    header, reasoning, options = headers.get(b"x-session-id"), fields.reasoning, fields.stream_options
    preferences, unknown = _preferences(values["provider"]) if fields.provider else _NONE_SAID
    session = fields.session_id or (header.decode("latin-1") if header else fields.prompt_cache_key)
    return Ask(
        body=body,
        models=(fields.model,) if fields.model and fields.models is None else _models(fields),
        prompt=read.prompt,
        stream=fields.stream is True,
        named_fallbacks=fields.models is not None,
        max_tokens=fields.max_completion_tokens or fields.max_tokens,
        parameters=_parameters(values),
        modalities=TEXT.union(read.kinds) if read.kinds else TEXT,
        preferences=preferences,
        unknown_preferences=unknown,
        usage_chunk=options is not None and options.include_usage is True,
        exclude_reasoning=fields.include_reasoning is False or (reasoning is not None and reasoning.exclude is True),
        session=session,
        opening=None if session else opening(read.messages),
    )


def _plain(body: JsonObject) -> _Read | None:
    """Most requests, read in one go; None where a message is more than a content."""
    try:
        fields = _decode_plain(body.data)
    except (ValueError, RecursionError):
        return None
    body.plain = True
    messages, tools = fields.messages, body.values.get("tools", b"")
    text = text_of(messages)
    if text is not None:
        _check_depth(body, but="messages")
        return _Read(fields, counted(text, len(messages), tools), messages)
    _check_depth(body)
    reading = Reading(messages)
    return _Read(fields, measured(reading, tools), messages, reading.kinds)


def _other(body: JsonObject) -> _Read:
    _check_depth(body)
    tools = body.values.get("tools", b"")
    try:
        usual = _decode_usual(body.data)
        reading = Reading(usual.messages)
        return _Read(usual, measured(reading, tools), usual.messages, reading.kinds)
    except (ValueError, RecursionError):
        fields, raw = _unusual(body.data), body.values["messages"]
        items = zip(fields.messages or (), items_in(raw), strict=True)
        messages = [_Message(role=one.role, content=bytes(item).decode("utf-8", "replace")) for one, item in items]
        return _Read(fields, estimate(raw, tools), messages)


def _parameters(values: Mapping[str, bytes]) -> frozenset[str]:
    used = PARAMETERS.intersection(values)
    return frozenset([key for key in used if values[key] != NULL]) if NULL in values.values() else used


def _check_depth(body: JsonObject, but: str | None = None) -> None:
    """`but`: a member that is known to be flat; what is long beside it is not searched for brackets."""
    if but is None or len(body.data) < SHORT or body.count > len(body.values):
        deep = nested_deeper_than(body.data, MAX_DEPTH)
    else:
        deep = any([nested_deeper_than(value, MAX_DEPTH - 1) for key, value in body.values.items() if key != but])
    if deep:
        raise BadRequest(TOO_DEEP)


def _object(data: bytes) -> JsonObject:
    try:
        if not data.isascii():
            # What is only passed on is not read otherwise: a provider would refuse it, or worse, mend it.
            data.decode()
        body = JsonObject(data)
    except (ValueError, UnicodeError) as error:
        deep = nested_deeper_than(data, MAX_DEPTH)
        raise BadRequest(TOO_DEEP if deep else f"The body is not a JSON object: {error}.") from None
    if body.count > MAX_KEYS:
        raise BadRequest(f"The body has {body.count:,} top-level keys; {MAX_KEYS:,} is the most.")
    return body


def _unusual(data: bytes) -> _Any:
    try:
        fields = _decode_any(data)
    except (ValueError, UnicodeError, RecursionError) as error:
        text = str(error)
        found = _AT.search(text)
        if not found:
            raise BadRequest(f"The body could not be read: {text}.") from None
        path = found.group(1)
        said = text[: found.start()].replace("Object missing required field", "missing")
        raise BadRequest(f"`{path or 'body'}`: {said}.", param=path or None) from None
    _models(fields)
    if not fields.messages:
        raise BadRequest("`messages` is missing or empty: send at least one message.", param="messages")
    _check_ranges(fields)
    return fields


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


_NONE_SAID: tuple[Preferences, tuple[str, ...]] = (NO_PREFERENCES, ())


def _preferences(provider: bytes) -> tuple[Preferences, tuple[str, ...]]:
    """The same bytes give the same object again, so that what follows from it need not be found out each time."""
    return _remembered(provider) if len(provider) <= MOST_REMEMBERED else _read(provider)


def _read(provider: bytes) -> tuple[Preferences, tuple[str, ...]]:
    try:
        return Preferences.from_request(value_of(provider))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in ("provider", *first["loc"]))
        raise BadRequest(f"`{path}`: {first['msg']}.", param=path) from None


_remembered = lru_cache(maxsize=256)(_read)
