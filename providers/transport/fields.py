"""The header fields of an HTTP/1.1 answer: their bounds, what their framing may say, and how they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from providers.transport.base import MAX_HEAD_BYTES, MAX_HEADERS, Header


class Refusal(Exception):
    """Raised in a parser's callback: this answer is not one we accept."""


def check_size(fields: Sequence[Header]) -> None:
    """Raises Refusal where they are too many, or too large."""
    if len(fields) > MAX_HEADERS or sum([len(name) + len(value) + 4 for name, value in fields]) > MAX_HEAD_BYTES:
        raise Refusal(f"over {MAX_HEADERS} header fields, or {MAX_HEAD_BYTES // 1024} kB of them")


def check_coding(fields: Iterable[Header]) -> None:
    """Raises Refusal for a transfer coding that was not asked for."""
    for name, value in fields:
        if len(name) == 17 and name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise Refusal("a transfer coding other than chunked, which was not asked for")


def decoded(fields: Iterable[Header]) -> dict[str, str]:
    """By lower-case name; of a repeated one the last value."""
    return {name.lower().decode("latin-1"): value.strip().decode("latin-1") for name, value in fields}
