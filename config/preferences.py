"""Provider preferences: the `provider` object of a request, and the same fields in the file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from config.fields import AsTuple, Frozen, Number, Usd

Quantization = Literal[
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown"
]
QUANTIZATIONS: tuple[str, ...] = get_args(Quantization)

Positive = Annotated[Number, Field(gt=0)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
NamesList = Annotated[tuple[Name, ...], AsTuple]


class Sort(Frozen):
    """The order asked for; `partition: none` sorts the endpoints of all models together."""

    by: Literal["price", "throughput", "latency"] | None = None
    partition: Literal["model", "none"] | None = None


class Percentiles(Frozen):
    """A cutoff for each percentile that is given; all of them must be met."""

    p50: Positive | None = None
    p75: Positive | None = None
    p90: Positive | None = None
    p99: Positive | None = None


class MaxPrice(Frozen):
    """Inclusive limits: USD per million tokens; `request`, `image` and `audio` in USD apiece."""

    prompt: Usd | None = None
    completion: Usd | None = None
    request: Usd | None = None
    image: Usd | None = None
    audio: Usd | None = None


def _sort(value: Any) -> Any:
    return {"by": value} if isinstance(value, str) else value


def _percentiles(value: Any) -> Any:
    bare = value is not None and not isinstance(value, dict | Percentiles)
    return {"p50": value} if bare else value


class Preferences(Frozen):
    """Every field unset (None) until someone sets it, so that file and request merge field by field.

    A bare `sort` is stored as its `by`, a bare cutoff as its `p50`.
    """

    order: NamesList | None = None
    """Tried first, in this order: a provider's slug, `slug/variant`, or display name."""
    allow_fallbacks: bool | None = None
    """Unset means true."""
    require_parameters: bool | None = None
    """Unset means false."""
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    only: NamesList | None = None
    ignore: NamesList | None = None
    quantizations: Annotated[tuple[Quantization, ...], AsTuple] | None = None
    sort: Annotated[Sort, BeforeValidator(_sort)] | None = None
    preferred_min_throughput: Annotated[Percentiles, BeforeValidator(_percentiles)] | None = None
    """Tokens per second."""
    preferred_max_latency: Annotated[Percentiles, BeforeValidator(_percentiles)] | None = None
    """Seconds to the first token."""
    max_price: MaxPrice | None = None

    @classmethod
    def from_request(cls, obj: dict[str, Any]) -> tuple[Preferences, tuple[str, ...]]:
        """Reads a request's decoded `provider` object; also returns the names it does not know.

        Raises pydantic.ValidationError.
        """
        unknown = tuple(name for name in obj if name not in cls.model_fields)
        known = {name: value for name, value in obj.items() if name in cls.model_fields}
        return cls.model_validate(known), unknown
