"""The front door: a path and a query become a page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from router.dashboard import words
from router.dashboard.pages.costs import costs
from router.dashboard.pages.models import compare, model, models
from router.dashboard.pages.overview import overview
from router.dashboard.pages.providers import providers
from router.dashboard.pages.requests import fell_back, request, requests
from router.dashboard.view import Asked, Context, NotFound, Sources
from router.state.values import StateError

Page = Callable[[Asked], Awaitable[Context]]

PAGES: dict[str, Page] = {
    "": overview,
    "providers": providers,
    "models": models,
    "compare": compare,
    "costs": costs,
    "requests": requests,
}
BELOW: dict[str, Callable[[Asked, str], Awaitable[Context]]] = {"models": model, "requests": request}
NAVIGATION = (
    ("", "Overview"),
    ("providers", "Providers"),
    ("models", "Models"),
    ("costs", "Costs"),
    ("requests", "Requests"),
)
TEMPLATES = {"": "overview", "models/": "model", "requests/": "request"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, as it is sent."""

    body: bytes
    type: str
    tag: str
    """A digest of its content."""


TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


async def _context(asked: Asked, head: str, tail: str) -> Context:
    if tail and head in BELOW:
        return await BELOW[head](asked, tail)
    if tail or head not in PAGES:
        raise NotFound(f"There is no page at /dashboard/{head[:100]}{'/' if tail else ''}{tail[:200]}.")
    return await PAGES[head](asked)


def _assets() -> dict[str, Asset]:
    out = {}
    for file in (files("router.dashboard") / "assets").iterdir():
        type_ = TYPES.get(file.name.rpartition(".")[2])
        if type_ is not None:
            body = file.read_bytes()
            out[file.name] = Asset(body, type_, sha256(body).hexdigest()[:16])
    return out


class Site:
    """Every page of the dashboard."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.assets = _assets()
        self._templates = Environment(
            loader=PackageLoader("router.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(words.FILTERS)
        self._templates.tests["fell_back"] = fell_back
        self._templates.globals.update(navigation=NAVIGATION, asset=self._asset, ago=words.ago)

    def _asset(self, name: str) -> str:
        return f"/dashboard/assets/{name}?v={self.assets[name].tag}"

    async def prepare(self) -> None:
        """Compile the templates in a thread, or the first page would take a third of a second longer."""
        await asyncio.to_thread(self._compile)

    def _compile(self) -> None:
        for name in self._templates.list_templates(extensions=["html"]):
            self._templates.get_template(name)

    async def page(
        self, path: str, query: Mapping[str, Sequence[str]], base_url: str, *, session: bool = False
    ) -> tuple[int, str]:
        """Status and HTML of `path` below /dashboard/. `session`: who looks may log out."""
        asked = Asked(self._sources, query, base_url, self._sources.figures.wall())
        head, _, tail = path.partition("/")
        around: Context = {"path": head, "session": session, "now": asked.now, "asked": asked}
        try:
            context = await _context(asked, head, tail)
        except NotFound as error:
            return 404, await self._aside("missing", around | {"message": str(error), "hints": error.hints})
        except StateError as error:
            return 503, await self._aside("broken", around | {"message": str(error)})
        return 200, await self._aside(TEMPLATES.get(f"{head}/" if tail else head, head), around | context)

    async def _aside(self, template: str, context: Context) -> str:
        """In a thread, since a large page takes tens of milliseconds, and streams must not wait for it."""
        return await asyncio.to_thread(self._say, template, context)

    def _say(self, template: str, context: Context) -> str:
        return self._templates.get_template(f"{template}.html").render(context)

    def login(self, *, refused: bool, to: str) -> str:
        """The form that asks for the administrator's key; `to`: the path to go on to."""
        return self._say("login", {"path": "login", "session": False, "refused": refused, "to": to})

    def closed(self, title: str, message: str, steps: Sequence[str]) -> str:
        """Why there is nothing to see, and what to do."""
        return self._say("closed", {"path": "", "session": False, "title": title, "message": message, "steps": steps})
