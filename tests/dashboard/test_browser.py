"""Every page in a real Chromium: wide and narrow, light and dark, quiet, inert, and telling the ledger's truth."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from providers.sandbox import Status, overloaded
from router.dashboard.words import usd
from router.state.values import Query
from tests.dashboard.browser import Scheme, Watch, chromium, executable, page_of
from tests.dashboard.scene import Scene, scene

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium on PATH")

ADMIN = "sk-admin-0123456789abcdef"
HOSTILE = '<img src=x onerror="window.struck=1"><script>window.struck=1</script>\'"><svg/onload=window.struck=1>'
KEY = "sk-to-0123456789abcdef0123"


@dataclass
class Stage:
    scene: Scene
    browser: Browser

    @property
    def url(self) -> str:
        return f"{self.scene.url}/dashboard"

    def watch(self, *expected: int) -> Watch:
        return Watch(self.scene.url, expected_statuses=expected)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    health = {"breaker_failures": 3, "breaker_ejection": 100, "breaker_ejection_max": 100}
    async with scene(tmp_path, health=health) as made, chromium() as browser:
        yield Stage(made, browser)


async def some_traffic(stage: Scene, **headers: str) -> None:
    for _ in range(3):
        await stage.ask(stream=True, headers=headers)
    stage.boxes["openrouter"].always(overloaded())
    order = {"order": ["openrouter", "moonshot"]}
    for _ in range(4):
        await stage.ask(stream=True, provider=order, headers=headers)
    await stage.ask(provider={"only": ["openrouter"]}, headers=headers)
    await stage.gateway.writer.flush()


async def overflow(page: Page) -> int:
    return int(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


async def test_every_page_is_quiet_and_fits_in_both_widths_and_themes(stage: Stage) -> None:
    await some_traffic(stage.scene)
    watch = stage.watch()
    themes: tuple[Scheme, ...] = ("light", "dark")
    for width in (390, 1280):
        for theme in themes:
            async with page_of(stage.browser, watch, width, theme) as page:
                for name, path in (await stage.scene.pages()).items():
                    answer = await page.goto(stage.url + path)
                    assert answer is not None
                    assert answer.status == 200, name
                    assert await overflow(page) <= 0, f"{name} is wider than {width} px"
                    assert await page.locator("h1").count() == 1
                    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
                    assert (int(re.findall(r"\d+", background)[0]) < 100) == (theme == "dark"), name
                    for chart in await page.locator("[data-chart]").all():
                        assert await chart.locator("canvas").count() == 1, name
    assert watch.complaints == []


async def test_the_figures_are_the_ledgers_to_the_cent(stage: Stage) -> None:
    await some_traffic(stage.scene)
    totals = await stage.scene.gateway.store.ledger.totals(Query(0.0))
    (total,) = totals
    assert total.cost > Decimal("0.01")
    assert total.saved == 3 or total.saved == 4
    async with page_of(stage.browser, stage.watch(), 1280) as page:
        for path in ("", "/costs"):
            await page.goto(stage.url + path)
            shown = page.locator("#total-cost span")
            assert await shown.inner_text() == usd(total.cost)
            exact = await shown.get_attribute("title")
            assert exact is not None
            assert Decimal(exact.removeprefix("$")) == total.cost
        await page.goto(stage.url)
        tiles = await page.locator(".tiles").inner_text()
        assert f"Requests\n{total.requests}\n" in tiles
        assert f"Saved by fallback\n{total.saved}\n" in tiles
        assert f"{total.errors} failed" in tiles
        await page.goto(f"{stage.url}/requests")
        assert await page.locator("table.requests tbody tr").count() == total.requests


async def test_what_clients_and_providers_say_is_inert_on_every_page(tmp_path: Path) -> None:
    auth = {"mode": "keys", "keys": [{"name": HOSTILE[:60], "key_env": "FIRST_KEY", "limit_usd": 9}]}
    environ = {"FIRST_KEY": KEY, "TURNOUT_ADMIN_KEY": ADMIN}
    async with scene(tmp_path, environ, auth=auth) as made, chromium() as browser:
        stage = Stage(made, browser)
        reply = Status(500, f'{{"error": {{"message": {HOSTILE!r}}}}}'.replace("'", '"'))
        stage.scene.boxes["openrouter"].always(reply)
        said = {"authorization": f"Bearer {KEY}", "x_title": HOSTILE, "user_agent": HOSTILE, "http_referer": HOSTILE}
        for _ in range(3):
            await stage.scene.ask(headers=said, provider={"order": ["openrouter"]}, session_id=HOSTILE[:100])
        await stage.scene.ask(headers=said, model=HOSTILE)
        await stage.scene.gateway.writer.flush()
        watch = stage.watch(404, 401)
        async with page_of(browser, watch, 1280) as page:
            await page.set_extra_http_headers({"authorization": f"Bearer {ADMIN}"})
            pages = list((await stage.scene.pages()).values())
            pages += ["/models/" + HOSTILE, "/requests/" + HOSTILE, "/requests?q=" + HOSTILE, "/models?q=" + HOSTILE]
            pages += ["/" + HOSTILE, "/costs?by=app", "/costs?by=key", "/compare?m=" + HOSTILE, "/?range=" + HOSTILE]
            shown = 0
            for path in pages:
                await page.goto(stage.url + path)
                assert await page.evaluate("window.struck") is None, path
                assert await page.locator("img[src=x], svg[onload], main script").count() == 0, path
                shown += (await page.content()).count("onerror=")
            assert shown > 10, "the hostile names were not shown at all, so nothing was tested"
        assert watch.complaints == []


async def test_a_page_follows_what_happens_without_a_reload(stage: Stage) -> None:
    watch = stage.watch()
    async with page_of(stage.browser, watch, 1280) as page:
        await page.goto(stage.url)
        assert await page.get_by_text("Send the first request").count() == 1
        await page.evaluate("window.here = 'still'")
        await stage.scene.ask(stream=True)
        await page.get_by_text("All is well").wait_for(timeout=20_000)
        await page.locator("#requests-plot canvas").wait_for(timeout=20_000)
        assert await page.get_by_text("Send the first request").count() == 0
        assert await page.evaluate("window.here") == "still"
    assert watch.complaints == []


async def test_the_theme_that_was_chosen_stays(stage: Stage) -> None:
    async with page_of(stage.browser, stage.watch(), 1280, "light") as page:
        await page.goto(stage.url)
        await page.click("#theme")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        await page.goto(f"{stage.url}/costs")
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_models_are_found_while_one_types_and_two_can_be_compared(stage: Stage) -> None:
    async with page_of(stage.browser, stage.watch(), 1280) as page:
        await page.goto(f"{stage.url}/models")
        rows = page.locator("table.models tbody tr")
        assert await rows.count() > 2
        await page.fill("input[name=q]", "turbo")
        await expect(rows).to_have_count(1)
        await page.fill("input[name=q]", "thinking")
        await expect(rows).to_have_count(2)
        for box in await page.locator("input[name=m]").all():
            await box.check()
        await page.get_by_role("button", name="Compare").click()
        await page.locator("table.sidebyside").wait_for()
        assert await page.locator("table.sidebyside thead th").count() == 2


async def test_a_page_can_be_used_by_keyboard_alone(stage: Stage) -> None:
    async with page_of(stage.browser, stage.watch(), 1280) as page:
        await page.goto(stage.url)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dashboard/providers")


async def test_one_logs_in_and_out_by_the_form(tmp_path: Path) -> None:
    auth = {"mode": "keys", "keys": [{"name": "first", "key_env": "FIRST_KEY"}]}
    environ = {"FIRST_KEY": KEY, "TURNOUT_ADMIN_KEY": ADMIN}
    async with scene(tmp_path, environ, auth=auth) as made, chromium() as browser:
        watch = Watch(made.url, expected_statuses=(401,))
        async with page_of(browser, watch, 1280) as page:
            await page.goto(f"{made.url}/dashboard/costs?range=7d")
            assert "first" not in await page.inner_text("main")
            await page.fill("input[name=key]", "sk-to-wrong-key-0123456")
            await page.press("input[name=key]", "Enter")
            await page.get_by_role("alert").wait_for()
            await page.fill("input[name=key]", ADMIN)
            await page.press("input[name=key]", "Enter")
            await page.wait_for_url("**/dashboard/costs?range=7d")
            assert await page.inner_text("h1") == "Costs"
            (cookie,) = await page.context.cookies()
            assert cookie["httpOnly"]
            assert cookie["sameSite"] == "Strict"
            assert ADMIN not in await page.content() + cookie["value"]
            await page.get_by_role("button", name="Log out").click()
            await page.locator("input[name=key]").wait_for()
        assert watch.complaints == []
