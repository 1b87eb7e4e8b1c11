"""Scenes that a client is put through: a simulated provider of one dialect, what it says, and a model to ask for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from providers.sandbox import REGISTRY, Answer, Received, Sandbox
from providers.sandbox.stage import Played
from tests.e2e.harness import Bench, Offer, Running

DIALECTS = tuple(REGISTRY)

PROMPT, COMPLETION, CACHED = Decimal("0.60"), Decimal("2.50"), Decimal("0.15")
"""USD per million tokens."""

QUESTION = [{"role": "user", "content": "Wetter in Zürich und 京都? \u2028 \U0001f686"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Ünïcode in a schema",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("get_weather", "run")
]


@dataclass(frozen=True)
class Scene:
    """One provider, and the behaviour of it that a test is about."""

    dialect: str
    name: str
    """Lower-case letters and hyphens."""
    answer: Answer
    """The script: what the client must come to hold."""
    played: Played | None = None
    """How the script is spelled or spoiled; None: not at all."""

    @property
    def slug(self) -> str:
        return f"{self.dialect}-{self.name}"

    @property
    def model(self) -> str:
        """The catalogue id to ask for."""
        return f"lab/{self.slug}"

    @property
    def upstream(self) -> str:
        return f"kimi-k2-thinking-{self.name}"

    @property
    def provider(self) -> str:
        """The display name."""
        return self.slug.title()


@dataclass(frozen=True)
class Lab:
    """A gateway in which every scene is a model with one provider of its own."""

    gateway: Running
    boxes: dict[str, Sandbox]

    @property
    def base_url(self) -> str:
        return self.gateway.base_url

    def received(self, scene: Scene) -> list[Received]:
        """The completions that were asked of the scene's provider, in order."""
        requests = self.boxes[scene.dialect].requests
        return [request for request in requests if request.method == "POST" and request.json["model"] == scene.upstream]


async def lab(bench: Bench, scenes: list[Scene], **sections: Any) -> Lab:
    """Open it. One attempt per request and endpoint, and no rescue, unless `sections` says otherwise."""
    boxes: dict[str, Sandbox] = {}
    for scene in scenes:
        if scene.dialect not in boxes:
            boxes[scene.dialect] = await bench.box(scene.dialect)
        boxes[scene.dialect].always(scene.played or scene.answer, scene.upstream)
    offers = [Offer(boxes[scene.dialect], scene.slug, endpoint=_endpoint(scene), model=scene.model) for scene in scenes]
    quick = {"rescue": {"mode": "off"}, "retries": {"backoff": 0.01}, "hedge": {"after": "off"}}
    return Lab(await bench.gateway(offers, **{**quick, **sections}), boxes)


def _endpoint(scene: Scene) -> dict[str, Any]:
    price = {"prompt": str(PROMPT), "completion": str(COMPLETION), "cache_read": str(CACHED)}
    return {"model": scene.upstream, "price": price}
