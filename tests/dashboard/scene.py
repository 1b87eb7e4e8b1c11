"""A gateway on the bundled catalogue's Kimi models, in front of three sandbox providers, with something going on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from config.load import BUNDLED, load
from providers.sandbox import Answer, Sandbox, Slow, Tokens
from router.app import Gateway
from tests.e2e.harness import Running, running
from tests.e2e.talk import Said, post

MODEL = "moonshotai/kimi-k2-thinking"
ANSWER = Answer(
    content="A turnout sends each train down the right track.",
    reasoning="The switch decides.",
    tokens=Tokens(prompt=4200, completion=310, cached=1024, reasoning=180),
)
DIALECTS = ("openrouter", "moonshot", "cometapi")


@dataclass
class Scene:
    running: Running
    boxes: Mapping[str, Sandbox]
    asked: int = 0
    """Each request is a conversation of its own, or all would stick to one provider."""

    @property
    def gateway(self) -> Gateway:
        return self.running.gateway

    @property
    def url(self) -> str:
        return self.running.url

    async def ask(self, *, stream: bool = False, headers: Mapping[str, str] | None = None, **extra: Any) -> Said:
        self.asked += 1
        messages = [{"role": "user", "content": f"Why? {self.asked}"}]
        body = {"model": MODEL, "messages": messages, "stream": stream, **extra}
        return await post(self.running, body, **{"x_title": "Demo", **(headers or {})})

    async def pages(self) -> dict[str, str]:
        """Path below /dashboard of every page, by name; the request is one that fell back where there is one."""
        rows = await self.gateway.store.ledger.recent(100)
        shown = next((row for row in rows if len(row.attempts) > 1), rows[0] if rows else None)
        pages = {
            "overview": "",
            "providers": "/providers",
            "models": "/models",
            "model": f"/models/{quote(MODEL)}",
            "compare": f"/compare?m={quote(MODEL)}&m={quote(MODEL)}-turbo",
            "costs": "/costs",
            "requests": "/requests",
        }
        return pages if shown is None else {**pages, "request": f"/requests/{quote(shown.id)}"}


def configuration(
    boxes: Mapping[str, Sandbox], also: Mapping[str, Any] | None = None, **sections: Any
) -> dict[str, Any]:
    """The bundled catalogue's Kimi models, at the sandboxes, and a provider that is off; `also`: further models."""
    bundled = load(BUNDLED, {}).settings
    providers: dict[str, Any] = {
        slug: {
            "name": bundled.providers[slug].name,
            "dialect": slug,
            "base_url": box.base_url,
            "api_key_env": str(bundled.providers[slug].api_key_env),
        }
        for slug, box in boxes.items()
    }
    providers["idle"] = {
        "name": "Idle Cloud",
        "dialect": "openai",
        "base_url": "https://idle.invalid/v1",
        "api_key_env": "IDLE_KEY",
    }
    models = {}
    for id_, model in bundled.models.items():
        facts = model.model_dump(mode="json", exclude_unset=True, exclude={"fallbacks"})
        facts["endpoints"] = [one for one in facts["endpoints"] if one["provider"] in providers]
        if facts["endpoints"]:
            models[id_] = facts
    models["moonshotai/kimi-k2-thinking"]["endpoints"].append(
        {"provider": "idle", "model": "kimi-k2-thinking", "price": {"prompt": "0.3", "completion": "1.2"}}
    )
    return {"providers": providers, "models": {**models, **(also or {})}, **sections}


@asynccontextmanager
async def scene(
    tmp_path: Path, environ: Mapping[str, str] | None = None, answer: Answer = ANSWER, **sections: Any
) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        boxes = {}
        for dialect in DIALECTS:
            boxes[dialect] = box = await stack.enter_async_context(Sandbox(dialect))
            box.answer(answer)
            box.always(Slow(0.004, 0.001, of=answer))
        bundled = load(BUNDLED, {}).settings.providers
        keys = {str(bundled[slug].api_key_env): str(box.key) for slug, box in boxes.items()}
        settings = configuration(boxes, **sections)
        yield Scene(await stack.enter_async_context(running(settings, tmp_path, {**keys, **(environ or {})})), boxes)
