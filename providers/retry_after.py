"""How long a provider asks us to wait, from whichever header or sentence says so."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

LONGEST = 86_400.0

_SENTENCE = re.compile(
    r"(?:try again|retry|available again|reset)\b[^.;]{0,30}?\b(?:after|in)\s+"
    r"(?P<wait>\d[\d.]*\s*[a-z]*(?:\s*\d[\d.]*\s*s\b)?)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_UNITS = {"ms": 0.001, "milliseconds": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}


def retry_after(headers: Mapping[str, str], text: str = "", now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait, 0 to LONGEST, or None where nothing says. `headers` have lower-case names."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return _bounded(millis / 1000)
    for name in ("retry-after", "x-retry-after"):
        if (seconds := _number(headers.get(name))) is not None:
            return _bounded(seconds)
    if (moment := _date(headers.get("retry-after"))) is not None:
        sent = _date(headers.get("date"))
        return _bounded(moment - (now() if sent is None else sent))
    return _from_text(text)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, OverflowError):
        return None


def _from_text(text: str) -> float | None:
    found = _SENTENCE.search(text)
    if found is None:
        return None
    seconds = 0.0
    for amount, unit in _PART.findall(found["wait"]):
        seconds += float(amount) * _scale(unit.lower())
    return _bounded(seconds)


def _scale(unit: str) -> float:
    """Seconds in a unit; what is not known to be another is seconds."""
    if unit in _UNITS:
        return _UNITS[unit]
    return 60.0 if unit.startswith("minute") else 3600.0 if unit.startswith("hour") else 1.0
