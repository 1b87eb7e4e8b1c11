"""`python -m tests.dashboard.screenshots`: a picture of every page, from a gateway with three days of traffic."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from playwright.async_api import Page

from providers.sandbox import Slow, overloaded
from tests.dashboard.browser import Scheme, Watch, chromium, page_of
from tests.dashboard.history import rows
from tests.dashboard.scene import ANSWER, Scene, scene

FOLDER = Path(__file__).parents[2] / "deploy" / "screenshots"
PICTURES: dict[tuple[int, Scheme], tuple[str, ...] | None] = {
    (1280, "light"): None,
    (1280, "dark"): ("overview", "providers", "request"),
    (390, "light"): ("overview", "providers", "request"),
}
"""Which pages are taken at which width and theme; None: all."""
TALLEST = 1400
HOURS = 80


async def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        async with scene(Path(temporary)) as stage, chromium() as browser:
            await stage.gateway.store.ledger.append(list(rows(time.time() - 60, HOURS)))
            await traffic(stage)
            watch = Watch(stage.url)
            for (width, scheme), wanted in PICTURES.items():
                async with page_of(browser, watch, width, scheme) as page:
                    for name, path in (await stage.pages()).items():
                        if wanted is None or name in wanted:
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
    assert page.viewport_size is not None
    width = page.viewport_size["width"]
    height = int(await page.evaluate("document.documentElement.scrollHeight"))
    await page.set_viewport_size({"width": width, "height": min(TALLEST, height)})
    await page.screenshot(path=file, animations="disabled")
    await page.set_viewport_size({"width": width, "height": 900})


if __name__ == "__main__":
    asyncio.run(main())
