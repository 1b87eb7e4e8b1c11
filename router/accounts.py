"""Keys, what they spent, and what single requests did: the answers to GET /key, /keys, /credits, /activity and
/generation, in OpenRouter's schemas."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from router.catalogue import Catalogue
from router.digest import digest
from router.errors import ApiError, BadRequest
from router.recorded import metadata
from router.request import Caller
from router.state.base import Store
from router.state.values import KeyRecord, KeyUsage, Query, Row, Total

Json = dict[str, Any]

PREFIX = "sk-to-"
UNLIMITED = 1_000_000.0
"""`total_credits` of a key without a limit: the schema has no word for "as much as you like"."""
ACTIVITY_DAYS = 30
DAY = 86_400.0


class NotFound(ApiError):
    status = 404
    error_type = "not_found"
    may_retry = False


class Pending(Protocol):
    """The ledger's writer: what is waiting can be made to be stored."""

    async def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What a PATCH or a POST says of a key; ABSENT fields are kept as they are."""

    values: Mapping[str, Any]

    def onto(self, record: KeyRecord, now: float) -> KeyRecord:
        return replace(record, updated=now, **self.values)


def new_key(name: str, values: Mapping[str, Any], now: float) -> tuple[str, KeyRecord]:
    """A fresh secret and its record. The secret is shown once; only its SHA-256 is kept."""
    secret = PREFIX + secrets.token_urlsafe(32)
    label = f"{PREFIX}…{secret[-4:]}"
    return secret, KeyRecord(digest(secret.encode()), name, label, now, **values)


class Accounts:
    """Reads and changes keys; reads the ledger. Raises ApiError."""

    def __init__(
        self,
        store: Store,
        pending: Pending,
        static: Callable[[], list[KeyRecord]],
        catalogue: Callable[[], Catalogue],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`static`: the keys of the configuration file, as they are now."""
        self._store = store
        self._pending = pending
        self._static = static
        self._catalogue = catalogue
        self._wall = wall

    async def generation(self, id_: str, caller: Caller) -> Json:
        """One request. Only to the key that made it, or to the administrator."""
        row = await self._store.ledger.generation(id_)
        if row is None:
            await self._pending.flush()
            row = await self._store.ledger.generation(id_)
        if row is None or not (caller.admin or row.key == caller.digest):
            raise NotFound(f"There is no generation {id_[:80]} of yours.")
        return {"data": generation_json(row)}

    async def key(self, caller: Caller) -> Json:
        """The caller's own key."""
        record = await self._record(caller)
        usage = await self._store.spend.usage(caller.digest)
        return {"data": own_key_json(record, usage, caller)}

    async def credits(self, caller: Caller) -> Json:
        record = await self._record(caller)
        usage = await self._store.spend.usage(caller.digest)
        limit = UNLIMITED if record.limit is None else float(record.limit)
        return {"data": {"total_credits": limit, "total_usage": float(usage.within(record.reset))}}

    async def _record(self, caller: Caller) -> KeyRecord:
        if not caller.digest:
            return KeyRecord("", caller.name or "open", "no key", 0.0)
        return await self._find(caller.digest)

    async def _find(self, hashed: str) -> KeyRecord:
        for record in self._static():
            if record.hash == hashed:
                return record
        made = await self._store.keys.by_digest(hashed)
        if made is None:
            raise NotFound(f"There is no key with the hash {hashed[:80]}.")
        return made

    async def keys(self, *, offset: int = 0, include_disabled: bool = False) -> Json:
        """Every key, those of the configuration file first."""
        records = [*self._static(), *await self._store.keys.all()]
        shown = [record for record in records if include_disabled or not record.disabled]
        return {"data": [await self._shown(record) for record in shown[offset:]]}

    async def _shown(self, record: KeyRecord) -> Json:
        return key_json(record, await self._store.spend.usage(record.hash))

    async def one(self, hashed: str) -> Json:
        return {"data": await self._shown(await self._find(hashed))}

    async def create(self, name: str, values: Mapping[str, Any]) -> Json:
        secret, record = new_key(name, values, self._wall())
        await self._store.keys.put(record)
        return {"data": await self._shown(record), "key": secret}

    async def update(self, hashed: str, changes: KeyChanges) -> Json:
        record = await self._changeable(hashed)
        record = changes.onto(record, self._wall())
        await self._store.keys.put(record)
        return {"data": await self._shown(record)}

    async def delete(self, hashed: str) -> Json:
        await self._changeable(hashed)
        await self._store.keys.delete(hashed)
        return {"deleted": True, "data": {"success": True}}

    async def _changeable(self, hashed: str) -> KeyRecord:
        record = await self._find(hashed)
        if record.static:
            raise BadRequest(f"The key {record.name} comes from the configuration file: change it there.", status=409)
        return record

    async def activity(self, date: str | None = None, key: str | None = None) -> Json:
        """Requests, tokens and cost of each of the last 30 complete UTC days, by model and provider."""
        await self._pending.flush()
        today = self._wall() // DAY * DAY
        since, until = today - ACTIVITY_DAYS * DAY, today
        if date is not None:
            since = _day(date)
            until = since + DAY
        query = Query(since, ("day", "model", "provider"), until, key=key)
        totals = await self._store.ledger.totals(query)
        return {"data": [self._activity(total) for total in totals]}

    def _activity(self, total: Total) -> Json:
        day, model, provider = total.group
        known = self._catalogue()
        slug = known.models[model].config.canonical_slug if model in known.models else model
        name = known.providers[provider].name if provider in known.providers else provider
        return {
            "date": f"{datetime.fromtimestamp(float(day), UTC):%Y-%m-%d}",
            "model": model,
            "model_permaslug": slug,
            "endpoint_id": f"{provider}:{model}",
            "provider_name": name,
            "usage": float(total.cost),
            "byok_usage_inference": 0.0,
            "requests": total.requests,
            "prompt_tokens": total.prompt,
            "completion_tokens": total.completion,
            "reasoning_tokens": total.reasoning,
            "cached_tokens": total.cached,
        }


def _day(date: str) -> float:
    try:
        return datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise BadRequest(f"`date` is {date[:40]!r}; it looks like 2026-11-24.", param="date") from None


def moment(unix: float | None) -> str | None:
    """ISO 8601 in UTC."""
    return None if unix is None else f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _usage(usage: KeyUsage) -> Json:
    return {
        "usage": float(usage.total),
        "usage_daily": float(usage.daily),
        "usage_weekly": float(usage.weekly),
        "usage_monthly": float(usage.monthly),
        "byok_usage": 0.0,
        "byok_usage_daily": 0.0,
        "byok_usage_weekly": 0.0,
        "byok_usage_monthly": 0.0,
    }


def _limit(record: KeyRecord, usage: KeyUsage) -> Json:
    left = None if record.limit is None else max(Decimal(0), record.limit - usage.within(record.reset))
    return {
        "limit": None if record.limit is None else float(record.limit),
        "limit_remaining": None if left is None else float(left),
        "limit_reset": record.reset,
        "include_byok_in_limit": False,
    }


def key_json(record: KeyRecord, usage: KeyUsage) -> Json:
    """A key as its administrator sees it; `rpm`, `models` and `static` are ours."""
    return {
        "hash": record.hash,
        "name": record.name,
        "label": record.label,
        "disabled": record.disabled,
        **_limit(record, usage),
        **_usage(usage),
        "created_at": moment(record.created),
        "updated_at": moment(record.updated),
        "expires_at": moment(record.expires),
        "last_used_at": None,
        "creator_user_id": None,
        "external_user": None,
        "workspace_id": "default",
        "rpm": record.rpm,
        "models": list(record.models),
        "static": record.static,
    }


def own_key_json(record: KeyRecord, usage: KeyUsage, caller: Caller) -> Json:
    """A key as its owner sees it."""
    limits = _limit(record, usage)
    return {
        "label": record.label,
        "name": record.name,
        **limits,
        **_usage(usage),
        "is_free_tier": False,
        "is_management_key": caller.admin,
        "is_provisioning_key": caller.admin,
        "creator_user_id": None,
        "organization_id": None,
        "workspace_id": "default",
        "expires_at": moment(record.expires),
        "allowed_data_regions": ["global"],
        "budgets": [],
        "effective_budget": None,
        "free_model_daily_requests": {"limit": 0, "used": 0, "remaining": 0},
        "rate_limit": {
            "requests": -1 if record.rpm is None else record.rpm,
            "interval": "1m",
            "note": "Requests a rolling minute; -1: no limit.",
        },
        "models": list(record.models),
    }


def generation_json(row: Row) -> Json:
    """OpenRouter's `/generation`; durations in milliseconds. `attempts` and `decision` are ours, in seconds."""
    first_token = None if row.first_token is None else row.first_token * 1000
    return {
        "id": row.id,
        "created_at": moment(row.created),
        "model": row.model or row.requested,
        "provider_name": row.provider_name,
        "status": row.status,
        "streamed": row.stream,
        "cancelled": row.cancelled,
        "finish_reason": row.finish_reason,
        "native_finish_reason": row.native_finish_reason,
        "latency": first_token,
        "generation_time": row.generation * 1000,
        "moderation_latency": None,
        "tokens_prompt": row.prompt,
        "tokens_completion": row.completion,
        "native_tokens_prompt": row.prompt,
        "native_tokens_completion": row.completion,
        "native_tokens_reasoning": row.reasoning,
        "native_tokens_cached": row.cached,
        "native_tokens_completion_images": None,
        "num_media_prompt": None,
        "num_media_completion": None,
        "num_input_audio_prompt": None,
        "num_search_results": None,
        "num_fetches": None,
        "usage": float(row.cost),
        "total_cost": float(row.cost),
        "cost": str(row.cost),
        "cost_estimated": row.estimated,
        "upstream_inference_cost": None if row.upstream_cost is None else float(row.upstream_cost),
        "cache_discount": None,
        "is_byok": False,
        "origin": row.referer or "",
        "http_referer": row.referer,
        "user_agent": row.user_agent,
        "app_id": None,
        "external_user": None,
        "upstream_id": None,
        "data_region": "global",
        "service_tier": None,
        "preset_id": None,
        "workspace_id": "default",
        "web_search_engine": None,
        "router": None,
        "api_type": "completions",
        "session_id": row.session,
        "provider_responses": [
            {
                "provider_name": attempt.name,
                "endpoint_id": f"{attempt.tag}:{attempt.model}",
                "model_permaslug": attempt.model,
                "status": attempt.status,
                "latency": attempt.duration * 1000,
                "is_byok": False,
            }
            for attempt in row.attempts
        ],
        "attempts": [
            {
                "provider": attempt.name,
                "model": attempt.model,
                "tag": attempt.tag,
                "status": attempt.status,
                "result": attempt.result,
                "error": attempt.error,
                "started": attempt.started,
                "duration": attempt.duration,
                "first_token": attempt.first_token,
                "cost": str(attempt.cost),
            }
            for attempt in row.attempts
        ],
        "duration": row.duration,
        "overhead": row.overhead,
        "openrouter_metadata": metadata(row),
    }
