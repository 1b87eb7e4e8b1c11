"""GET /dashboard and below: who may look, and the pages and files as responses."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from router.auth import presented
from router.dashboard.site import Site
from router.digest import digest
from router.edge import body
from router.errors import BadRequest

ROOT = "/dashboard"
COOKIE = "turnout_admin"
SESSION = 12 * 3600
"""Seconds one stays logged in."""
MOST_FORM = 4096
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

HEADERS = {
    "content-security-policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}
NEVER = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may look. `admin`: the digest of the administrator's key, or None where there is none."""

    open: bool
    admin: str | None


class Session:
    """Cookies that any worker and replica with the same administrator's key can check; a new key ends them all."""

    def __init__(self, admin: str, wall: Callable[[], float] = time.time) -> None:
        self._secret = bytes.fromhex(digest(b"turnout dashboard session\0" + admin.encode()))
        self._wall = wall

    def new(self) -> str:
        return self._signed(str(int(self._wall()) + SESSION))

    def _signed(self, ends: str) -> str:
        return f"{ends}.{hmac.new(self._secret, ends.encode(), 'sha256').hexdigest()}"

    def holds(self, cookie: str) -> bool:
        ends = cookie.partition(".")[0]
        if not (ends.isascii() and ends.isdigit() and len(ends) < 16 and cookie.isascii()):
            return False
        return hmac.compare_digest(cookie, self._signed(ends)) and self._wall() < int(ends) <= self._wall() + SESSION


class DashboardRoutes:
    """The pages, the files they need, and the way in and out."""

    def __init__(self, site: Site, gate: Callable[[], Gate], wall: Callable[[], float] = time.time) -> None:
        self._site = site
        self._gate = gate
        self._wall = wall

    def routes(self) -> list[Route]:
        return [
            Route(f"{ROOT}/assets/{{name}}", self._asset),
            Route(f"{ROOT}/login", self._login, methods=["POST"]),
            Route(f"{ROOT}/logout", self._logout, methods=["POST"]),
            Route(ROOT, self._page),
            Route(f"{ROOT}/{{path:path}}", self._page),
        ]

    async def _asset(self, request: Request) -> Response:
        """Whole, whatever range is asked for. Nothing in them is secret."""
        asset = self._site.assets.get(request.path_params["name"])
        if asset is None:
            return await self._page(request)
        headers = {"content-type": asset.type, "etag": f'"{asset.tag}"', **HEADERS, **FOR_EVER}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, headers=headers)

    async def _page(self, request: Request) -> Response:
        return await self._guarded(request, self._shown)

    async def _shown(self, request: Request, base_url: str) -> Response:
        path = request.scope["path"].removeprefix(ROOT)
        query = parse_qs(request.url.query, max_num_fields=50)
        status, html = await self._site.page(
            path.strip("/"), query, base_url, session=COOKIE in request.cookies and not self._gate().open
        )
        return _html(html, status)

    async def _guarded(self, request: Request, page: Callable[[Request, str], Awaitable[Response]]) -> Response:
        host = _HOST.fullmatch(request.headers.get("host", ""))
        if host is None:
            return _html(self._site.closed("Not this address", "The Host header is missing or malformed.", ()), 400)
        gate = self._gate()
        base_url = f"{'https' if _secure(request) else 'http'}://{host[0]}"
        if gate.open:
            local = _is_loopback(host["name"]) and _is_loopback(request.client.host if request.client else "")
            return await page(request, base_url) if local else self._elsewhere(host[0])
        if gate.admin is None:
            return self._off()
        if self._may_look(request, gate.admin):
            return await page(request, base_url)
        return _html(self._site.login(refused=False, to=_back(request)), 401)

    def _may_look(self, request: Request, admin: str) -> bool:
        brought = presented(dict(request.scope["headers"]))
        cookie = request.cookies.get(COOKIE, "")
        return hmac.compare_digest(brought, admin) or Session(admin, self._wall).holds(cookie)

    async def _login(self, request: Request) -> Response:
        return await self._guarded_form(request, self._entered)

    async def _logout(self, request: Request) -> Response:
        return await self._guarded_form(request, self._left)

    async def _guarded_form(self, request: Request, then: Callable[[Request, str], Awaitable[Response]]) -> Response:
        gate = self._gate()
        if gate.open:
            return RedirectResponse(ROOT, 303)
        if gate.admin is None:
            return self._off()
        if not _from_here(request):
            return _html(self._site.closed("Not from here", "This form was sent by another site.", ()), 403)
        return await then(request, gate.admin)

    async def _entered(self, request: Request, admin: str) -> Response:
        try:
            sent = await body.read(request.receive, dict(request.scope["headers"]), MOST_FORM)
            form = parse_qs(sent.decode("utf-8", "replace"), max_num_fields=10)
        except ValueError:
            raise BadRequest("This is no login form.") from None
        to = _safe((form.get("to") or [""])[0])
        if not hmac.compare_digest(digest((form.get("key") or [""])[0].strip().encode()), admin):
            return _html(self._site.login(refused=True, to=to), 401)
        answer = RedirectResponse(to, 303, HEADERS | NEVER)
        answer.set_cookie(
            COOKIE,
            Session(admin, self._wall).new(),
            max_age=SESSION,
            path=ROOT,
            secure=_secure(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    async def _left(self, request: Request, admin: str) -> Response:
        answer = RedirectResponse(ROOT, 303, HEADERS | NEVER)
        answer.delete_cookie(COOKIE, path=ROOT, secure=_secure(request), httponly=True, samesite="strict")
        return answer

    def _off(self) -> Response:
        steps = (
            "Make a key of at least 16 characters, for example with: openssl rand -hex 24",
            "Set it in the environment variable that auth.admin_key_env names (TURNOUT_ADMIN_KEY by default).",
            "Start the gateway again and log in here with that key.",
        )
        says = "With auth.mode: keys it shows what everybody's requests did, so it needs an administrator's key."
        return _html(self._site.closed("The dashboard is off", says, steps), 403)

    def _elsewhere(self, host: str) -> Response:
        says = f"With auth.mode: open the dashboard answers only on this machine, and {host} is not its loopback name."
        steps = (
            "On the machine itself, open http://127.0.0.1 with the gateway's port.",
            "To reach it from elsewhere, set auth.mode: keys and an administrator's key.",
        )
        return _html(self._site.closed("Only on this machine", says, steps), 403)


def _html(html: str, status: int) -> Response:
    return HTMLResponse(html, status, HEADERS | NEVER)


def _secure(request: Request) -> bool:
    """Whether the reader's side is HTTPS; a proxy's word is enough, for it can only make the cookie stricter."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def _is_loopback(host: str) -> bool:
    """A name that no other machine's DNS can claim, or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _from_here(request: Request) -> bool:
    """Whether a form was sent by one of our own pages. Clients that are no browser send neither header."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")


def _back(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return _safe(quote(request.url.path, safe="/:@") + query)


def _safe(to: str) -> str:
    """A path of ours to go on to, never another site's."""
    ours = to == ROOT or to.startswith((f"{ROOT}/", f"{ROOT}?"))
    return to[:2000] if ours and to.isascii() and to.isprintable() and "\\" not in to else ROOT
