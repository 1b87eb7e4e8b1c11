"""`python -m tests.dashboard.screenshots`: a picture of every page, from a gateway with three days of traffic."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

from playwright.async_api import Page

from providers.sandbox import Slow, overloaded
from tests.dashboard.browser import Watch, chromium, page_of
from tests.dashboard.history import rows
from tests.dashboard.scene import ANSWER, Scene, scene

FOLDER = Path(__file__).parents[2] / "deploy" / "screenshots"
SIZES = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))
HOURS = 80


async def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        async with scene(Path(temporary)) as stage, chromium() as browser:
            await stage.gateway.store.ledger.append(list(rows(time.time() - 60, HOURS)))
            await traffic(stage)
            watch = Watch(stage.url)
            for width, scheme in SIZES:
                async with page_of(browser, watch, width, scheme) as page:
                    for name, path in (await stage.pages()).items():
                        await page.goto(f"{stage.url}/dashboard{path}")
                        await shoot(page, folder / f"{name}-{width}-{scheme}.png")
            assert not watch.complaints, watch.complaints


async def traffic(stage: Scene) -> None:
    """What is going on now: one provider is overloaded until it is ejected."""
    for box in stage.boxes.values():
        box.always(Slow(0.3, 0.1, of=ANSWER))
    for _ in range(6):
        await stage.ask(stream=True)
    stage.boxes["openrouter"].always(overloaded())
    await asyncio.gather(*(stage.ask(stream=True) for _ in range(14)))
    await stage.gateway.writer.flush()


async def shoot(page: Page, file: Path) -> None:
    await page.wait_for_load_state("networkidle")
    with contextlib.suppress(AssertionError):
        await page.screenshot(path=file, full_page=True, clip=None, scale="css")


if __name__ == "__main__":
    asyncio.run(main())
