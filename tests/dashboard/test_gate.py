"""Who may look at the dashboard, and what those see who may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.digest import digest
from router.edge.dashboard import SESSION, Session
from tests.dashboard.scene import Scene, scene

ADMIN = "sk-admin-0123456789abcdef"
CLIENT = "sk-to-0123456789abcdef0123"
KEYS = {"mode": "keys", "keys": [{"name": "first", "key_env": "FIRST_KEY"}]}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def client(tmp_path: Path, admin: str | None = ADMIN, **sections: Any) -> AsyncIterator[httpx.AsyncClient]:
    environ = {"FIRST_KEY": CLIENT, **({"TURNOUT_ADMIN_KEY": admin} if admin else {})}
    async with (
        scene(tmp_path, environ, **sections) as stage,
        httpx.AsyncClient(base_url=stage.url, trust_env=False) as http,
    ):
        await used(stage)
        yield http


async def used(stage: Scene) -> None:
    await stage.ask(headers={"authorization": f"Bearer {CLIENT}", "x_title": "Secret project"})
    await stage.gateway.writer.flush()


PATHS = ("/dashboard", "/dashboard/costs?by=key", "/dashboard/requests", "/dashboard/models", "/dashboard/nowhere")


@pytest.mark.parametrize("path", PATHS)
async def test_without_the_administrators_key_there_is_a_form_and_no_name(tmp_path: Path, path: str) -> None:
    async with client(tmp_path, auth=KEYS) as http:
        for headers in ({}, {"authorization": f"Bearer {CLIENT}"}, {"cookie": "turnout_admin=9999999999.00"}):
            said = await http.get(path, headers=headers)
            assert said.status_code == 401
            assert 'name="key"' in said.text
            assert "first" not in said.text
            assert "Secret project" not in said.text


async def test_the_administrators_key_as_bearer_opens_every_page(tmp_path: Path) -> None:
    async with client(tmp_path, auth=KEYS) as http:
        said = await http.get("/dashboard/costs?by=key", headers={"authorization": f"Bearer {ADMIN}"})
        assert said.status_code == 200
        assert "first" in said.text
        assert ADMIN not in said.text


async def test_without_an_administrators_key_it_is_off_and_says_how_to_turn_it_on(tmp_path: Path) -> None:
    async with client(tmp_path, admin=None, auth=KEYS) as http:
        for said in (await http.get("/dashboard"), await http.post("/dashboard/login", content="key=", headers=FORM)):
            assert said.status_code == 403
            assert "TURNOUT_ADMIN_KEY" in said.text
            assert "Secret project" not in said.text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0:8080", "10.0.0.1", "[2001:db8::1]"]
)
async def test_in_open_mode_a_name_that_is_not_this_machines_sees_nothing(tmp_path: Path, host: str) -> None:
    async with client(tmp_path) as http:
        said = await http.get("/dashboard/requests", headers={"host": host})
        assert said.status_code == 403
        assert "Secret project" not in said.text


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:1", "[::1]:8080", "turnout.localhost"])
async def test_in_open_mode_this_machines_own_names_see_it(tmp_path: Path, host: str) -> None:
    async with client(tmp_path) as http:
        assert (await http.get("/dashboard", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ['a"><script>', "a b", "", "a/b"])
async def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    async with client(tmp_path, auth=KEYS) as http:
        assert (await http.get("/dashboard", headers={"host": host})).status_code == 400


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
async def test_a_login_form_from_another_site_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with client(tmp_path, auth=KEYS) as http:
        said = await http.post("/dashboard/login", content=f"key={ADMIN}", headers={**FORM, **headers})
        assert said.status_code == 403
        assert "set-cookie" not in said.headers


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/dashboard\\@evil", "/v1/keys", "/dashboardx"]
)
async def test_after_logging_in_one_is_sent_nowhere_else(tmp_path: Path, to: str) -> None:
    async with client(tmp_path, auth=KEYS) as http:
        said = await http.post("/dashboard/login", data={"key": ADMIN, "to": to})
        assert said.status_code == 303
        assert said.headers["location"] == "/dashboard"


async def test_the_cookie_opens_pages_but_no_interface(tmp_path: Path) -> None:
    async with client(tmp_path, auth=KEYS) as http:
        assert (await http.post("/dashboard/login", data={"key": ADMIN})).status_code == 303
        assert (await http.get("/dashboard")).status_code == 200
        assert (await http.get("/v1/keys")).status_code == 401
        assert (await http.post("/v1/keys", json={"name": "mine"})).status_code == 401


def test_a_session_ends_by_itself_and_cannot_be_made_longer() -> None:
    now = 1_000_000.0
    session = Session(digest(b"admin"), lambda: now)
    cookie = session.new()
    assert session.holds(cookie)
    ends, _, signature = cookie.partition(".")
    for forged in (f"{int(ends) + 1}.{signature}", f"{ends}.{'0' * 64}", f"{ends}.", "", ".", "é", f"-1.{signature}"):
        assert not session.holds(forged)
    assert not Session(digest(b"another"), lambda: now).holds(cookie)
    now += SESSION
    assert not session.holds(cookie)


async def test_every_answer_forbids_what_a_page_does_not_need(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        for path in ("/dashboard", "/dashboard/nowhere", "/dashboard/assets/dashboard.css"):
            headers = (await http.get(path)).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
        assert (await http.get("/dashboard")).headers["cache-control"] == "no-store"


async def test_a_file_is_sent_whole_whatever_ranges_are_asked_for(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        ranges = "bytes=" + ",".join(f"{n}-" for n in range(2000))
        said = await http.get("/dashboard/assets/uplot.js", headers={"range": ranges})
        assert said.status_code == 200
        assert len(said.content) == int(said.headers["content-length"])
        again = await http.get("/dashboard/assets/uplot.js", headers={"if-none-match": said.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("name", ["..%2fsite.py", "%2e%2e/site.py", "uplot.LICENSE", "nowhere.js"])
async def test_only_the_pages_files_are_served(tmp_path: Path, name: str) -> None:
    async with client(tmp_path) as http:
        assert (await http.get(f"/dashboard/assets/{name}")).status_code == 404
