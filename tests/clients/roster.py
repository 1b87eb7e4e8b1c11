"""The clients that are put before the gateway, and how one of them is made to play in a process of its own."""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.clients.held import Json
from tests.clients.openai_python import KEY
from tests.clients.process import MODULES, NO_NODE, NODE, printed

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
INSTALLED = ROOT / ".venv-clients" / ".installed"
"""Written once all of them are."""
SILENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false", "DO_NOT_TRACK": "1"}
"""So that no client phones home."""

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
    """What its users install."""

    @property
    def group(self) -> str:
        """Clients that play in one process."""
        return f"{self.where}-{self.module}"

    @property
    def missing(self) -> str | None:
        """Why it cannot play here, and what to do."""
        if self.where == "python" and not INSTALLED.is_file():
            return "the Python clients are not installed here: run `make python-clients`"
        return NO_NODE if self.where == "node" else None

    @property
    def command(self) -> list[str]:
        """What runs it, without the arguments."""
        if self.where == "node":
            return [str(NODE), str(HERE / "node" / "play.mjs")]
        python = sys.executable if self.where == "here" else str(PYTHON)
        return [python, str(HERE / "python" / "play.py")]


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


def installed(client: Client) -> Path:
    """The folder that its package is in."""
    if client.where == "node":
        return MODULES
    if client.where == "here":
        return Path(sysconfig.get_path("purelib"))
    return next((ROOT / ".venv-clients" / "lib").glob("python3*/site-packages"))


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
    """Play `given` (see python/play.py) with clients of one group; what each scenario came to."""
    path = tmp_path / f"{client.group}.json"
    path.write_text(json.dumps(given))
    environ = {"HOME": str(tmp_path), **SILENT}
    held: list[Json] = await printed([*client.command, client.module, base_url, KEY, path], environ)
    return held
