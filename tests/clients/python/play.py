"""Plays scenarios with one unmodified Python client, in that client's own environment, and prints what it holds.

    python play.py MODULE BASE_URL API_KEY PLAY

PLAY is a file of JSON: `messages`, `tools`, `results` (one `{id, name, content}` per tool call) and `scenarios`, a list
of `{client, model, stream}` with `client` a class of MODULE. Printed, in the same order: `{first, second, error}`.
`first` is what the client shows after one completion (`reasoning`, `content`, `calls`, `usage`, `finish`); `second` the
same of a second turn, in which it sends back what it holds, with the results; `error` what either of them raised.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass
class Shown:
    """One answer as a client shows it to its user."""

    reasoning: str = ""
    content: str = ""
    calls: list[Json] = field(default_factory=list)
    """`{id, name, arguments}`; arguments as text, or as a value where the client hands out no text."""
    usage: Json = field(default_factory=dict)
    """`prompt` and `completion`; `cached`, `reasoning`, `cost` where the client has a place for them."""
    finish: str | None = None


@dataclass(frozen=True)
class Play:
    """What every conversation of a client is about."""

    base_url: str
    key: str
    messages: list[Json]
    tools: list[Json]
    results: list[Json]


class Conversation(Protocol):
    """One conversation with one model. A module has one such class per client."""

    def __init__(self, play: Play, model: str, stream: bool) -> None: ...

    async def ask(self) -> Shown:
        """The next answer, with all that was said before."""
        ...

    def answer(self, results: list[Json]) -> None:
        """Keep the last answer as the client would, and the results of its tool calls."""
        ...


async def played(conversation: Conversation, results: list[Json]) -> Json:
    """Two turns."""
    held: Json = {"first": None, "second": None, "error": None}
    try:
        held["first"] = asdict(await conversation.ask())
        conversation.answer(results)
        held["second"] = asdict(await conversation.ask())
    except Exception as error:  # whatever a client raises is what it made of the answer
        held["error"] = f"{type(error).__name__}: {error}"
    return held


async def main(module: str, base_url: str, key: str, path: str) -> None:
    given = json.loads(Path(path).read_text())
    play = Play(base_url, key, given["messages"], given["tools"], given["results"])
    clients = importlib.import_module(module)
    held = []
    for scenario in given["scenarios"]:
        conversation = getattr(clients, scenario["client"])(play, scenario["model"], scenario["stream"])
        held.append(await played(conversation, play.results))
    sys.stdout.write(json.dumps(held))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
