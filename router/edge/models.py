"""GET /models and what lies under it, and GET /providers, in OpenRouter's schemas."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from config.schema import Model as ModelConfig
from router.catalogue import Catalogue, Endpoint, Model, Provider
from router.health import Health
from router.money import MILLION, Rates
from router.speed import Spread

Json = dict[str, Any]


def listing(catalogue: Catalogue) -> Json:
    """Every model; `object: "list"` for OpenAI's clients."""
    data = [model_json(model) for model in catalogue.models.values()]
    return {"object": "list", "data": data, "total_count": len(data), "links": {"next": None}}


def model_json(model: Model) -> Json:
    """One model, described by its cheapest endpoint and by what any of its endpoints can do."""
    config = model.config
    offers = [endpoint for endpoint in model.endpoints if endpoint.provider.off is None] or model.endpoints
    cheapest = min(offers, key=_price_of_even_use, default=None)
    outputs = [endpoint.max_output for endpoint in offers if endpoint.max_output is not None]
    return {
        "id": model.id,
        "object": "model",
        "canonical_slug": config.canonical_slug or model.id,
        "name": config.name or model.id,
        "created": unix(config.created),
        "owned_by": model.id.partition("/")[0],
        "description": config.description or "",
        "context_length": config.context_length,
        "architecture": _architecture(config),
        "pricing": pricing(cheapest.rates) if cheapest else None,
        "top_provider": {
            "context_length": cheapest.context_length if cheapest else config.context_length,
            "max_completion_tokens": cheapest.max_output if cheapest else max(outputs, default=None),
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _supported(offers),
        "default_parameters": None,
        "supported_voices": None,
        "reasoning": _reasoning(config),
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def _price_of_even_use(endpoint: Endpoint) -> Decimal:
    return endpoint.rates.prompt + endpoint.rates.completion


def _architecture(config: ModelConfig) -> Json:
    inputs = list(config.input_modalities)
    return {
        "modality": f"{'+'.join(inputs)}->text",
        "input_modalities": inputs,
        "output_modalities": ["text"],
        "tokenizer": "Other",
        "instruct_type": None,
    }


def _reasoning(config: ModelConfig) -> Json | None:
    return {"mandatory": config.reasoning.mandatory} if config.reasoning is not None else None


def _supported(endpoints: Iterable[Endpoint]) -> list[str]:
    return sorted({name for endpoint in endpoints for name in endpoint.supports or ()})


def unix(created: date | datetime | int | None) -> int:
    """Unix seconds of a date (its midnight UTC), a moment or a number; 0 where there is none."""
    if created is None:
        return 0
    if isinstance(created, int):
        return created
    if isinstance(created, datetime):
        return int(created.timestamp())
    return int(datetime(created.year, created.month, created.day, tzinfo=UTC).timestamp())


def per_token(price: Decimal) -> str:
    """USD per token in plain notation, from USD per million."""
    return plain(price / MILLION)


def plain(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def pricing(rates: Rates) -> Json:
    """OpenRouter's `pricing`: strings, USD per token, `request` in USD per request."""
    out = {
        "prompt": per_token(rates.prompt),
        "completion": per_token(rates.completion),
        "request": plain(rates.request),
        "image": "0",
    }
    if rates.cache_read is not None:
        out["input_cache_read"] = per_token(rates.cache_read)
    if rates.cache_write is not None:
        out["input_cache_write"] = per_token(rates.cache_write)
    return out


def endpoints_json(model: Model, health: Health) -> Json:
    """One model with its endpoints, and how each did by our own traffic."""
    described = model_json(model)
    keep = ("id", "name", "created", "description", "architecture")
    return {
        **{key: described[key] for key in keep},
        "endpoints": [_endpoint_json(described["name"], endpoint, health) for endpoint in model.endpoints],
    }


def _endpoint_json(model_name: str, endpoint: Endpoint, health: Health) -> Json:
    latency, throughput = health.speed(endpoint, 1800)
    standing = health.standing(endpoint)
    unavailable = "off" if endpoint.provider.off else standing.unavailable
    return {
        "name": f"{endpoint.provider.name} | {endpoint.model_id}",
        "model_id": endpoint.model_id,
        "model_name": model_name,
        "provider_name": endpoint.provider.name,
        "tag": endpoint.tag,
        "context_length": endpoint.context_length,
        "max_completion_tokens": endpoint.max_output,
        "max_prompt_tokens": None,
        "pricing": pricing(endpoint.rates),
        "quantization": endpoint.quantization,
        "supported_parameters": sorted(endpoint.supports or ()),
        "supports_implicit_caching": endpoint.rates.cache_read is not None,
        "supports_tool_choice": dict.fromkeys(("auto", "none", "required", "function"), endpoint.takes("tool_choice")),
        "supports_diarization": False,
        "native_tools": {},
        "service_tier": None,
        "status": 0 if unavailable is None else -1,
        "unavailable": unavailable,
        "uptime_last_5m": health.uptime(endpoint, 300),
        "uptime_last_30m": health.uptime(endpoint, 1800),
        "uptime_last_1d": health.uptime(endpoint, 86400),
        "latency_last_30m": _spread(latency),
        "throughput_last_30m": _spread(throughput),
    }


def _spread(spread: Spread | None) -> Json | None:
    if spread is None:
        return None
    return {
        name: round(value, 3)
        for name, value in (
            ("p50", spread.p50),
            ("p75", spread.p75),
            ("p90", spread.p90),
            ("p99", spread.p99),
        )
    }


def providers_json(catalogue: Catalogue) -> Json:
    return {"data": [_provider_json(provider) for provider in catalogue.providers.values()]}


def _provider_json(provider: Provider) -> Json:
    return {
        "name": provider.name,
        "slug": provider.slug,
        "privacy_policy_url": None,
        "terms_of_service_url": None,
        "status_page_url": None,
        "enabled": provider.off is None,
        "disabled_reason": provider.off,
    }
