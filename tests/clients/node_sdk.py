"""openai-node as its users drive it: many scenarios in one process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.held import Got, Json
from tests.clients.lab import QUESTION, TOOLS, Lab
from tests.clients.sdk import KEY

HERE = Path(__file__).parent / "node"
NODE = shutil.which("node")
MISSING = "openai-node is not installed here: run `make node-clients` (npm ci --prefix tests/clients/node)"

needs_node = pytest.mark.skipif(NODE is None or not (HERE / "node_modules" / "openai").is_dir(), reason=MISSING)


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
    assert NODE is not None
    path = tmp_path / "scenarios.json"
    path.write_text(json.dumps([_as_json(scenario) for scenario in scenarios]))
    process = await asyncio.create_subprocess_exec(
        *(NODE, str(HERE / "run.mjs"), place.base_url, key, str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return [Played(Got(one["completion"], one["chunks"], one["error"]), one.get("sent")) for one in json.loads(out)]


def _as_json(scenario: Scenario) -> Json:
    fields = asdict(scenario)
    request = {"messages": QUESTION, "tools": TOOLS, **(fields.pop("extra") or {})}
    return {"request": request, **{name: value for name, value in fields.items() if value is not None}}
