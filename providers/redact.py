"""What a provider said, made fit to be shown: no keys, no account ids, no pages, and not endless."""

from __future__ import annotations

import re

MAX_MESSAGE = 1_000
MAX_RAW = 4_000

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"\b(?:sk|ak|gsk|nvapi|hf)[-_][\w*-]{4,}|\bxai-\w{20,}|\bAIza[\w-]{20,}"), "***"),
    (re.compile(r"\b\w{2,8}-\w*\*{3,}[\w-]*|\*{3,}[\w-]+"), "***"),
    (re.compile(r"(?i)((?:api[ _-]?key|access[_-]?token|secret)[\"']?\s*[=:]\s*[\"']?)[\w.~+/*-]{6,}"), r"\1***"),
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^/\s@\"']+@"), r"\1"),
    (re.compile(r"(?i)([?&](?:key|token|sig|signature|api[_-]?key|access[_-]?token)=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"\b(?:org|organization|user|proj|acct|ws)[-_](?=\w*\d|\w{20})\w{6,}"), "***"),
    (re.compile(r"(?i)\b(account|organization|org|user|uid|tenant)(:?\s+)[{<]?(?=[\w-]*\d)[\w-]{8,}[}>]?"), r"\1\2***"),
    (re.compile(r"<(?:ak-|\*{3})[^>]*>|[{<][\w-]{16,}[}>]"), "***"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.]+\b"), "***"),
    (re.compile(r"\*{4,}"), "***"),
)
_MARKUP = re.compile(r"(?is)<!doctype|<(?:html|head|body|script|title|center|h1|div|style)\b")
_BLANKS = re.compile(r"[\x00-\x20\x7f]+")


def without_secrets(text: str) -> str:
    """The text without keys, credentials in URLs, and ids of accounts."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def is_markup(text: str) -> bool:
    """Whether a body is a page meant for a browser."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def shown(text: str) -> str:
    """One line for the client, at most MAX_MESSAGE characters; of a page nothing."""
    text = _MARKUP.split(text, maxsplit=1)[0]
    return _cut(_BLANKS.sub(" ", without_secrets(text[: 4 * MAX_MESSAGE])).strip(), MAX_MESSAGE)


def kept(text: str) -> str:
    """A body for the log and for `metadata.raw`, at most MAX_RAW bytes in UTF-8."""
    text = without_secrets(text[: 4 * MAX_RAW])
    return text.encode("utf-8", "replace")[:MAX_RAW].decode("utf-8", "ignore")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
