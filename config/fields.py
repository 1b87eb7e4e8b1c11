"""The field types the schema is built of: exact prices, plain numbers, names, URLs and header maps."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

HIGHEST_PRICE = Decimal(1_000_000)
PRICE_DECIMALS = 12
_NUMERIC = re.compile(r"-?(?:[0-9]{1,18}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
# What the transport and the dialect write themselves; two of them on one request is an attack's shape.
# fmt: off
_OWN_HEADERS = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie",
    "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})
# fmt: on


class Frozen(BaseModel):
    """What every section of the configuration is: immutable, strict, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value


def _amount(value: Any) -> Decimal:
    """Exact: 0.1 is Decimal("0.1"), whether it was written 0.1 or "0.1"."""
    amount = _decimal(value)
    if amount is None or not amount.is_finite():
        raise ValueError('must be a number, such as 0.60 or "0.60"')
    if amount < 0:
        raise ValueError("must not be negative")
    if amount > HIGHEST_PRICE:
        raise ValueError(f"must be at most {HIGHEST_PRICE:,} USD")
    exponent = amount.as_tuple().exponent
    if amount and isinstance(exponent, int) and exponent < -PRICE_DECIMALS:
        raise ValueError(f"must have at most {PRICE_DECIMALS} decimals")
    return amount


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and _NUMERIC.fullmatch(value):
        return Decimal(value)
    return None


def _date(value: Any) -> Any:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("is no day of the calendar") from None
    if isinstance(value, date):
        return value
    raise ValueError("must be a date such as 2025-11-06")


def _variable(value: str) -> str:
    # The value is never repeated: who writes a key here by mistake must not find it in a log.
    if not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable, such as MOONSHOT_API_KEY")
    return value


def _http_url(value: str) -> str:
    """Without its trailing slash. Never repeats the value, which may hold a password."""
    fault = _url_fault(value)
    if fault:
        raise ValueError(fault)
    return value.rstrip("/")


def _proxy_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/")
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("must be a scheme, a host and a port, such as http://proxy.example:3128")
    return value


def _url_fault(value: str) -> str | None:
    if re.search(r"[\x00-\x20\x7f-\U0010ffff]", value):
        return "must not contain spaces or characters outside ASCII"
    try:
        parts = urlsplit(value)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        return "must be a URL such as https://api.example.com/v1"
    if "@" in parts.netloc:
        return "must not contain a user name or password; use api_key_env"
    if "?" in value or "#" in value:
        return "must have no query and no fragment"
    return None


def _headers(headers: dict[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise ValueError("has a header name with characters HTTP does not allow")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"has a value for {name} with characters HTTP does not allow")
        if lower in _OWN_HEADERS:
            raise ValueError(f"must not set {name}: the gateway writes it; a key goes into api_key_env")
        if lower in seen:
            raise ValueError(f"names {name} twice")
        seen.add(lower)
    return headers


Number = Annotated[float, BeforeValidator(_number)]
Seconds = Annotated[Number, Field(gt=0, le=86_400)]
"""A positive time span, at most a day."""
Share = Annotated[Number, Field(ge=0, le=1)]
Usd = Annotated[Decimal, BeforeValidator(_amount)]
"""A price or a sum in USD, exact, not negative."""
Day = Annotated[date, BeforeValidator(_date)]
Text = Annotated[str, Field(min_length=1, max_length=4_096)]
Label = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line of text for people."""
Upstream = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f]+$")]
Variable = Annotated[str, AfterValidator(_variable)]
FilePath = Annotated[str, Field(min_length=1, max_length=4_096, pattern=r"^[^\x00]+$")]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
ProxyUrl = Annotated[str, Field(pattern=r"^(?:https?|socks5h?)://[^@\s?#]+$"), AfterValidator(_proxy_url)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


AsTuple = BeforeValidator(_listed)
