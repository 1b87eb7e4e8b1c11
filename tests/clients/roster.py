"""The clients that are put before the gateway, and how one of them is made to play in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tests.clients.held import Json
from tests.clients.sdk import KEY

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
INSTALLED = ROOT / ".venv-clients" / ".installed"
"""Written once all of them are."""
NODE = shutil.which("node")
PATIENCE = 90
"""Seconds after which a client is taken to hang."""

Where = Literal["here", "python", "node"]


@dataclass(frozen=True)
class Client:
    """One client, used in one way."""

    name: str
    where: Where
    """Our own environment, that of the other Python clients, or node's."""
    module: str
    """That of its conversations, in `python/` or `node/`."""
    made: str
    """Its class there."""
    package: str
    """What must be installed."""

    @property
    def group(self) -> str:
        """Clients that play in one process."""
        return f"{self.where}-{self.module}"

    @cached_property
    def missing(self) -> str | None:
        """Why it cannot play here, and what to do."""
        if self.where == "python" and not INSTALLED.is_file():
            return f"{self.package} is not installed here: run `make python-clients`"
        if self.where == "node" and (NODE is None or not (HERE / "node" / "node_modules" / self.package).is_dir()):
            return f"{self.package} is not installed here: run `make node-clients` (Node 20 or later)"
        return None

    @property
    def command(self) -> list[str]:
        """What runs it, without the arguments."""
        if self.where == "node":
            return [str(NODE), str(HERE / "node" / "play.mjs")]
        python = sys.executable if self.where == "here" else str(PYTHON)
        return [python, str(HERE / "python" / "run.py")]


CLIENTS = (
    Client("openai-python", "here", "with_openai", "Helper", "openai"),
    Client("openai-python, known fields", "here", "with_openai", "Plain", "openai"),
    Client("OpenRouter Python SDK", "python", "with_openrouter", "Sdk", "openrouter"),
    Client("langchain-openrouter", "python", "with_langchain", "Chat", "langchain-openrouter"),
    Client("pydantic-ai OpenRouterModel", "python", "with_pydantic_ai", "OpenRouter", "pydantic-ai"),
    Client("pydantic-ai OpenAIChatModel", "python", "with_pydantic_ai", "OpenAi", "pydantic-ai"),
    Client("litellm openrouter/", "python", "with_litellm", "OpenRouter", "litellm"),
    Client("litellm openai/", "python", "with_litellm", "OpenAi", "litellm"),
    Client("openai-node", "node", "with_openai", "Helper", "openai"),
    Client("openai-node, known fields", "node", "with_openai", "Plain", "openai"),
    Client("OpenRouter TypeScript SDK", "node", "with_openrouter", "Sdk", "@openrouter/sdk"),
    Client("@openrouter/ai-sdk-provider", "node", "with_ai", "OpenRouter", "@openrouter/ai-sdk-provider"),
    Client("@ai-sdk/openai-compatible", "node", "with_ai", "OpenAiCompatible", "@ai-sdk/openai-compatible"),
)


GROUPS = {client.group: client for client in reversed(CLIENTS)}
"""One client of each group."""


def version(client: Client) -> str:
    """That of the lock it is installed by."""
    if client.where == "node":
        packages = json.loads((HERE / "node" / "package-lock.json").read_text())["packages"]
        return str(packages[f"node_modules/{client.package}"]["version"])
    lock = ROOT / "requirements.lock" if client.where == "here" else HERE / "python" / "requirements.lock"
    found = re.search(rf"^{client.package}(-slim)?==(\S+)", lock.read_text(), re.MULTILINE)
    assert found is not None, f"{client.package} is not in {lock}"
    return found[2]


async def play(client: Client, base_url: str, given: Json, tmp_path: Path) -> list[Json]:
    """Play `given` (see python/run.py) with clients of one group; what each scenario came to."""
    path = tmp_path / f"{client.group}.json"
    path.write_text(json.dumps(given))
    process = await asyncio.create_subprocess_exec(
        *(*client.command, client.module, base_url, KEY, str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(tmp_path),
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{client.group}: {err.decode()[-2000:]}"
    held: list[Any] = json.loads(out)
    return held


def _environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the user's, and no client that phones home."""
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false", "DO_NOT_TRACK": "1"}
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **quiet}
