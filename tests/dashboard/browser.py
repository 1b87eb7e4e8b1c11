"""A real headless Chromium, and what it complained of."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from playwright.async_api import Browser, Page, Request, async_playwright

Scheme = Literal["light", "dark"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def executable() -> str | None:
    """Where a Chromium is: $CHROMIUM, else the first on PATH."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Watch:
    """What a page did that it should not: console errors, exceptions, requests to anywhere else."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    expected_statuses: tuple[int, ...] = ()

    def over(self, page: Page) -> None:
        page.on("console", lambda said: self._console(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", self._requested)
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _console(self, kind: str, text: str) -> None:
        expected = any(f"status of {status}" in text for status in self.expected_statuses)
        if kind in ("error", "warning") and not expected:
            self.complaints.append(f"{kind}: {text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:")):
            self.complaints.append(f"request to {request.url}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=executable(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def page_of(browser: Browser, watch: Watch, width: int, scheme: Scheme = "light") -> AsyncIterator[Page]:
    context = await browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        timezone_id="UTC",
        locale="en-GB",
    )
    page = await context.new_page()
    watch.over(page)
    try:
        yield page
    finally:
        await context.close()
