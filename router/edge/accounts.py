"""GET /key, /credits and /generation for a key's owner; /keys and /activity for the administrator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.accounts import Accounts, KeyChanges
from router.auth import Auth
from router.edge.json import json_response
from router.errors import BadRequest
from router.request import Caller

MAX_BODY = 64 * 1024

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Glob = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Changes(msgspec.Struct):
    """What may be said of a key; OpenRouter's fields, and `rpm` and `models`. Others are ignored."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    limit: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    limit_reset: Literal["daily", "weekly", "monthly"] | msgspec.UnsetType | None = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    rpm: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType | None = msgspec.UNSET
    models: list[Glob] | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if isinstance(self.limit, Decimal) and not (self.limit.is_finite() and self.limit >= 0):
            raise ValueError("Expected an amount of USD, 0 or more - at `$.limit`")

    def values(self) -> dict[str, Any]:
        """By the names of a KeyRecord; what was not said is left out."""
        said: dict[str, Any] = {
            "name": self.name,
            "disabled": self.disabled,
            "limit": self.limit,
            "reset": self.limit_reset,
            "rpm": self.rpm,
        }
        values = {field: value for field, value in said.items() if value is not msgspec.UNSET}
        if self.models is not msgspec.UNSET:
            values["models"] = tuple(self.models or ())
        if self.expires_at is not msgspec.UNSET:
            values["expires"] = self.expires_at.timestamp() if self.expires_at else None
        return values


_decode = msgspec.json.Decoder(_Changes).decode

Handler = Callable[[Request, Caller], Awaitable[Response]]


class AccountRoutes:
    """The routes below one prefix."""

    def __init__(self, accounts: Accounts, auth: Callable[[], Auth]) -> None:
        self._accounts = accounts
        self._auth = auth

    def below(self, prefix: str) -> list[Route]:
        return [
            Route(f"{prefix}/generation", self._for_caller(self._generation)),
            Route(f"{prefix}/key", self._for_caller(self._key)),
            Route(f"{prefix}/auth/key", self._for_caller(self._key)),
            Route(f"{prefix}/credits", self._for_caller(self._credits)),
            Route(f"{prefix}/activity", self._for_admin(self._activity)),
            Route(f"{prefix}/keys", self._for_admin(self._list), methods=["GET"]),
            Route(f"{prefix}/keys", self._for_admin(self._create), methods=["POST"]),
            Route(f"{prefix}/keys/{{hash}}", self._for_admin(self._one), methods=["GET"]),
            Route(f"{prefix}/keys/{{hash}}", self._for_admin(self._update), methods=["PATCH"]),
            Route(f"{prefix}/keys/{{hash}}", self._for_admin(self._delete), methods=["DELETE"]),
        ]

    def _for_caller(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await handler(request, await self._auth().owner(dict(request.scope["headers"])))

        return endpoint

    def _for_admin(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await handler(request, await self._auth().administrator(dict(request.scope["headers"])))

        return endpoint

    async def _generation(self, request: Request, caller: Caller) -> Response:
        id_ = request.query_params.get("id", "")
        if not id_:
            raise BadRequest("`id` is missing: GET /v1/generation?id=gen-…", param="id")
        return json_response(await self._accounts.generation(id_, caller))

    async def _key(self, request: Request, caller: Caller) -> Response:
        return json_response(await self._accounts.key(caller))

    async def _credits(self, request: Request, caller: Caller) -> Response:
        return json_response(await self._accounts.credits(caller))

    async def _activity(self, request: Request, caller: Caller) -> Response:
        query = request.query_params
        return json_response(await self._accounts.activity(query.get("date"), query.get("api_key_hash")))

    async def _list(self, request: Request, caller: Caller) -> Response:
        offset = request.query_params.get("offset", "0")
        if not offset.isdigit():
            raise BadRequest(f"`offset` is {offset[:40]!r}; it is a whole number.", param="offset")
        disabled = request.query_params.get("include_disabled", "false") == "true"
        return json_response(await self._accounts.keys(offset=int(offset), include_disabled=disabled))

    async def _create(self, request: Request, caller: Caller) -> Response:
        values = await _said(request)
        name = values.pop("name", None)
        if name is None:
            raise BadRequest("`name` is missing: a key needs one.", param="name")
        return json_response(await self._accounts.create(name, values), 201)

    async def _one(self, request: Request, caller: Caller) -> Response:
        return json_response(await self._accounts.one(request.path_params["hash"]))

    async def _update(self, request: Request, caller: Caller) -> Response:
        changes = KeyChanges(await _said(request))
        return json_response(await self._accounts.update(request.path_params["hash"], changes))

    async def _delete(self, request: Request, caller: Caller) -> Response:
        return json_response(await self._accounts.delete(request.path_params["hash"]))


async def _said(request: Request) -> dict[str, Any]:
    size, pieces = 0, []
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY:
            raise BadRequest(f"The body is larger than {MAX_BODY:,} bytes.", status=413)
        pieces.append(piece)
    try:
        return _decode(b"".join(pieces)).values()
    except (ValueError, RecursionError) as error:
        said, _, path = str(error).partition(" - at `$.")
        param = path.rstrip("`") or None
        raise BadRequest(f"`{param or 'body'}`: {said}.", param=param) from None
