"""openai-node as its users drive it: many scenarios in one process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.held import Got, Json
from tests.clients.lab import QUESTION, TOOLS, Lab
from tests.clients.openai_python import KEY
from tests.clients.process import NO_NODE, NODE, printed

HERE = Path(__file__).parent / "node"

needs_node = pytest.mark.skipif(NO_NODE is not None, reason=NO_NODE or "")


@dataclass(frozen=True)
class Scenario:
    """One completion; with `results`, and a second turn with them."""

    model: str
    way: str
    results: list[Any] | None = None
    retries: int | None = None
    """None: the SDK's default."""
    extra: Json | None = None
    """Further members of the body."""


@dataclass(frozen=True)
class Played:
    """What a scenario came to."""

    got: Got
    sent: Json | None
    """The assistant's message that was sent back."""


async def play(place: Lab, tmp_path: Path, scenarios: list[Scenario], key: str = KEY) -> list[Played]:
    """Play all, one after the other."""
    path = tmp_path / "scenarios.json"
    path.write_text(json.dumps([_as_json(scenario) for scenario in scenarios]))
    command = [NODE, HERE / "openai_scenarios.mjs", place.base_url, key, path]
    done = await printed(command)
    return [Played(Got(one["completion"], one["chunks"], one["error"]), one.get("sent")) for one in done]


def _as_json(scenario: Scenario) -> Json:
    fields = asdict(scenario)
    request = {"messages": QUESTION, "tools": TOOLS, **(fields.pop("extra") or {})}
    return {"request": request, **{name: value for name, value in fields.items() if value is not None}}
