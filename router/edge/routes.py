"""Every route, and the two prefixes they go by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.catalogue import Model
from router.core import Core
from router.edge import errors, models
from router.edge.accounts import AccountRoutes
from router.edge.asgi import App, Receive, Scope, Send
from router.edge.chat import Chat
from router.edge.json import json_response
from router.errors import ApiError, NoEndpoints, UnknownModel
from router.metrics import CONTENT_TYPE

PREFIXES = ("/v1", "/api/v1")
"""OpenAI's SDKs are given the first as base URL, OpenRouter's the second."""

Exposition = Callable[[], Awaitable[bytes]]
Readiness = Callable[[], tuple[bool, dict[str, object]]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Edge:
    """The ASGI application: the completion route by a look-up, everything else through Starlette."""

    def __init__(
        self,
        core: Core,
        chat: Chat,
        accounts: AccountRoutes,
        exposition: Exposition,
        readiness: Readiness,
        pages: Sequence[Route] = (),
    ) -> None:
        """`exposition`: what Prometheus is told. `pages`: the dashboard's routes."""
        self._chat = chat
        self._completions = frozenset(f"{prefix}/chat/completions" for prefix in PREFIXES)
        self._rest: App = _starlette(core, accounts, exposition, readiness, pages)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["path"] in self._completions and scope.get("method") == "POST":
            return self._chat(scope, receive, send)
        return self._rest(scope, receive, send)


def _starlette(
    core: Core, accounts: AccountRoutes, exposition: Exposition, readiness: Readiness, dashboard: Sequence[Route]
) -> App:
    pages = _Pages(core)
    routes = [
        *dashboard,
        Route("/healthz", _healthz),
        Route("/readyz", _readyz(readiness)),
        Route("/metrics", _metrics(exposition)),
    ]
    for prefix in PREFIXES:
        routes += [
            Route(f"{prefix}/models", pages.models),
            Route(f"{prefix}/models/count", pages.count),
            Route(f"{prefix}/models/{{model:path}}/endpoints", pages.endpoints),
            Route(f"{prefix}/models/{{model:path}}", pages.model),
            Route(f"{prefix}/model/{{model:path}}", pages.model),
            Route(f"{prefix}/providers", pages.providers),
            *accounts.below(prefix),
        ]
    handlers = {ApiError: _api_error, HTTPException: _http_error, Exception: _server_error}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Pages:
    """What there is to choose from."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def models(self, request: Request) -> Response:
        return json_response(models.listing(self._core.setup.catalogue))

    async def count(self, request: Request) -> Response:
        return json_response({"data": {"count": len(self._core.setup.catalogue.models)}})

    async def model(self, request: Request) -> Response:
        described = models.model_json(self._find(request))
        # OpenRouter wraps it in `data`; OpenAI's clients read the members themselves.
        return json_response({**described, "data": described})

    async def endpoints(self, request: Request) -> Response:
        return json_response({"data": models.endpoints_json(self._find(request), self._core.health)})

    async def providers(self, request: Request) -> Response:
        return json_response(models.providers_json(self._core.setup.catalogue))

    def _find(self, request: Request) -> Model:
        name = request.path_params["model"]
        catalogue = self._core.setup.catalogue
        resolved = catalogue.resolve(name)
        if resolved is None:
            nearest = catalogue.nearest(name)
            hint = f" Did you mean {' or '.join(nearest)}?" if nearest else " See GET /v1/models."
            raise UnknownModel(f"There is no model {name[:200]}.{hint}", status=404, param="model")
        return resolved.model


async def _healthz(request: Request) -> Response:
    return json_response({"status": "ok"})


def _readyz(readiness: Readiness) -> Endpoint:
    async def readyz(request: Request) -> Response:
        ready, says = readiness()
        return json_response(says, 200 if ready else 503)

    return readyz


def _metrics(exposition: Exposition) -> Endpoint:
    async def metrics(request: Request) -> Response:
        return Response(await exposition(), headers={"content-type": CONTENT_TYPE})

    return metrics


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {name.decode(): value.decode() for name, value in errors.headers(error)}
    return Response(errors.body(error), error.status, headers, media_type="application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        says = f"{request.method} is not offered at {request.url.path}."
    else:
        says = f"There is nothing at {request.url.path}: completions are at POST /v1/chat/completions."
    answer = NoEndpoints(says, status=error.status_code)
    return await _api_error(request, answer)


async def _server_error(request: Request, error: Exception) -> Response:
    return await _api_error(request, ApiError("The gateway failed on this request; its log says why."))
