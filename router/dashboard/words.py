"""Numbers, times and money as people read them: the filters of the templates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

NOTHING = "–"


def count(value: float | None) -> str:
    """1,234 · 12.3k · 4.56M."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.3g}{unit}" if scaled < 1000 else f"{scaled:,.0f}{unit}"
    return f"{value:,.0f}"


def exact(value: float) -> str:
    return f"{value:,}"


def usd(value: Decimal | float | None) -> str:
    """To the cent; below ten cents with as many digits as say something."""
    if value is None:
        return NOTHING
    amount = Decimal(value)
    size = abs(amount)
    sign = "−" if amount < 0 else ""
    if size == 0:
        return "$0.00"
    if size < Decimal("0.1"):
        digits = min(9, 1 - size.adjusted())
        return f"{sign}${size:.{digits}f}"
    return f"{sign}${size:,.2f}"


def usd_exact(value: Decimal) -> str:
    return f"${format(value.normalize(), 'f')}" if value else "$0"


def price(value: Decimal | None) -> str:
    """USD per million tokens."""
    if value is None:
        return NOTHING
    return "free" if value == 0 else f"${max(value.normalize(), value.quantize(Decimal('0.01')), key=_digits):,f}"


def _digits(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def percent(share: float | None, digits: int = 1) -> str:
    """Of a share of 0 to 1. Never rounds what is not whole up to 100 %."""
    if share is None:
        return NOTHING
    if share in (0, 1):
        return f"{share:.0%}"
    return f"{min(share, 1 - 10**-digits / 100) * 100:.{digits}f}%"


def seconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    if value < 59.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rate(value: float | None) -> str:
    """Tokens a second."""
    return NOTHING if value is None else f"{value:,.0f} tok/s" if value >= 10 else f"{value:.1f} tok/s"


def moment(unix: float) -> str:
    try:
        return f"{datetime.fromtimestamp(unix, UTC):%d %b %Y %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return "at no known time"


def ago(unix: float, now: float) -> str:
    passed = now - unix
    if passed < 0:
        return "in the future" if passed < -5 else "now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if passed < limit:
            return f"{passed // size:.0f} {unit} ago"
    return f"{passed // 86_400:.0f} d ago"


def tokens(value: int | None) -> str:
    """A context length: 128k · 262k · 1.05M."""
    if value is None:
        return NOTHING
    return count(value) if value >= 1e6 else f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:,}"


def as_json(value: Any) -> str:
    """For an attribute or a text; escaped there like everything else."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


FILTERS = {
    "count": count,
    "exact": exact,
    "usd": usd,
    "usd_exact": usd_exact,
    "price": price,
    "percent": percent,
    "seconds": seconds,
    "rate": rate,
    "moment": moment,
    "tokens": tokens,
    "as_json": as_json,
}
