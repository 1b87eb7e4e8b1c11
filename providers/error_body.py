"""The error bodies of providers, whatever their shape, read into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.splice import encode, value_of

_TEXTS = ("message", "msg", "err", "error_msg", "error_message", "status_msg", "detail", "reason", "title")
_NESTED = ("error", "header", "response", "errors", "message", "detail", "body", "base_resp")
_KINDS = ("type", "error_type", "status")
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error says: lower-cased codes (code, type, error_type, of every level), and its sentences."""

    message: str = ""
    """The sentence that says most, "" if there is none."""
    codes: tuple[str, ...] = ()
    status: int | None = None
    """A code that is an HTTP status."""
    text: str = ""
    """Every sentence, for matching."""
    context_limit: int | None = None
    """A limit that has a member of its own (llama.cpp's n_ctx)."""
    relayed: str = ""
    """What a provider behind this one said (OpenRouter's metadata.raw), as text."""
    flagged: bool = False
    """It carries the reasons of a moderation."""


def parse_error(body: bytes) -> ErrorBody:
    """Read an error body: nested, flat, a list, a string, or plain text. Never raises."""
    try:
        value = value_of(body)
    except ValueError:
        return _plain(body.decode("utf-8", "replace").strip())
    return read_error(value)


def read_error(value: Any) -> ErrorBody:
    """The same for a value already decoded."""
    if not isinstance(value, dict | list):
        return _plain("" if value is None else str(value).strip())
    levels = _levels(value)
    texts = _unique(text for level in levels for text in _texts(level))
    relayed = next((text for level in levels if (text := _relayed(level))), "")
    return ErrorBody(
        message=_best(texts, relayed),
        codes=_unique(code for level in levels for code in _codes(level)),
        status=next((status for level in levels if (status := _status(level)) is not None), None),
        text="\n".join(texts),
        context_limit=next((level["n_ctx"] for level in levels if isinstance(level.get("n_ctx"), int)), None),
        relayed=relayed,
        flagged=any(isinstance(_metadata(level).get("reasons"), list) for level in levels),
    )


def _plain(text: str) -> ErrorBody:
    return ErrorBody(message=text, text=text)


def _unique(items: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _best(texts: tuple[str, ...], relayed: str) -> str:
    """OpenRouter's own sentence says nothing where the provider behind it said something."""
    first = texts[0] if texts else ""
    if relayed and (not first or first.lower().startswith("provider returned error")):
        return parse_error(relayed.encode("utf-8", "replace")).message or relayed
    return first


def _levels(value: Any, depth: int = 0) -> list[dict[str, Any]]:
    """The objects of an error from the innermost place it is usually told in outwards."""
    if isinstance(value, list):
        return [level for item in value[:5] for level in _levels(item, depth + 1)] if depth < _DEPTH else []
    if not isinstance(value, dict) or depth >= _DEPTH:
        return []
    inner = [level for name in _NESTED for level in _levels(value.get(name), depth + 1)]
    return [*inner, value]


def _texts(level: Mapping[str, Any]) -> list[str]:
    texts = [level[name] for name in _TEXTS if isinstance(level.get(name), str)]
    if isinstance(level.get("error"), str):
        texts.append(level["error"])
    if not texts and isinstance(level.get("details"), str):
        texts.append(level["details"])
    return [text.strip() for text in texts if text.strip()]


def _codes(level: Mapping[str, Any]) -> list[str]:
    found = [
        level.get("code"),
        level.get("status_code"),
        *(level.get(name) for name in _KINDS),
        _metadata(level).get("error_type"),
    ]
    availability = level.get("availability")
    if isinstance(availability, dict):
        found.append(availability.get("code"))
    return [str(code).lower() for code in found if isinstance(code, str | int) and not isinstance(code, bool)]


def _status(level: Mapping[str, Any]) -> int | None:
    for name in ("code", "status_code", "http_status", "status"):
        value = level.get(name)
        if isinstance(value, str) and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _metadata(level: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = level.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _relayed(level: Mapping[str, Any]) -> str:
    raw = _metadata(level).get("raw")
    if isinstance(raw, dict | list):
        return encode(raw).decode("utf-8", "replace")
    return raw.strip() if isinstance(raw, str) else ""
