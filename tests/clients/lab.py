"""Scenes that a client is put through: a simulated provider of one dialect, what it says, and a model to ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from config.profiles import TAKEN_BY
from providers.dialects import REGISTRY as ENGINES
from providers.dialects.engine import ProfileDialect
from providers.dialects.profile import Profile
from providers.sandbox import REGISTRY, Answer, Received, Sandbox
from providers.sandbox.reply import Reply
from providers.sandbox.stage import Bend, Played, Stage
from tests.e2e.harness import Bench, Offer, Running

DIALECTS = tuple(REGISTRY)
"""Kinds of upstream with a simulated provider of their own."""

PROFILES = tuple(ENGINES)
"""Every kind of upstream a configuration can name, as dialect or as profile."""

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
class Unasked(Bend):
    """An answer whose stream reports its usage though nobody asked."""

    of: Answer

    def reply(self, stage: Stage) -> Reply:
        return replace(stage, asked=replace(stage.asked, include_usage=True)).reply(self.of)


@dataclass(frozen=True)
class Scene:
    """One provider, and the behaviour of it that a test is about."""

    dialect: str
    """Or a profile that speaks one with an accent of its own."""
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
    def box(self) -> tuple[str, dict[str, Any]]:
        """The simulated provider that plays it, and its options: a vendor without one of its own is played by one of
        its dialect that speaks the vendor's reasoning field."""
        if self.dialect in REGISTRY:
            return self.dialect, {}
        if self.dialect in TAKEN_BY["cometapi"]:
            return "cometapi", {}
        return "openai", {"reasoning_field": profile(self.dialect).reads or "reasoning_content"}

    @property
    def plays(self) -> Played:
        """What the simulated provider does."""
        if self.played is None and profile(self.dialect).counts_unasked:
            return Unasked(self.answer)
        return self.played or self.answer

    @property
    def upstream(self) -> str:
        return f"kimi-k2-thinking-{self.name}"

    @property
    def provider(self) -> str:
        """The display name."""
        return self.slug.title()


def profile(dialect: str) -> Profile:
    """What the gateway knows of a kind of upstream."""
    made = ENGINES[dialect]
    assert isinstance(made, ProfileDialect)
    return made.profile


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
            kind, options = scene.box
            boxes[scene.dialect] = await bench.box(kind, **options)
        boxes[scene.dialect].always(scene.plays, scene.upstream)
    offers = [_offer(scene, boxes[scene.dialect]) for scene in scenes]
    quick = {"rescue": {"mode": "off"}, "retries": {"backoff": 0.01}, "hedge": {"after": "off"}}
    return Lab(await bench.gateway(offers, **{**quick, **sections}), boxes)


def _offer(scene: Scene, box: Sandbox) -> Offer:
    price = {"prompt": str(PROMPT), "completion": str(COMPLETION), "cache_read": str(CACHED)}
    endpoint = {"model": scene.upstream, "price": price}
    accent = {} if scene.dialect in REGISTRY else {"profile": scene.dialect}
    return Offer(box, scene.slug, endpoint=endpoint, provider={"dialect": scene.box[0], **accent}, model=scene.model)
