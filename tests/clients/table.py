"""The table of clients: its columns, and the scene that is played for each cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from providers.sandbox import Answer, Cut
from tests.clients.held import Json
from tests.clients.known import CUT, WAYS
from tests.clients.lab import PROFILES, QUESTION, TOOLS, Scene
from tests.clients.roster import Client
from tests.clients.scripts import ENCRYPTED, RICH, SIGNED
from tests.clients.second_turn import result_of

RICH_MIDDLE = len([delta for delta in RICH.deltas() if delta.index is None]) + 2
"""Events after which the reasoning and the content are there, and the tool calls have begun."""


@dataclass(frozen=True)
class Column:
    """A kind of upstream, and what it answers."""

    name: str
    dialect: str
    """Or profile."""
    answer: Answer = RICH
    cut: Cut | None = None
    """How its connection ends in the middle of the answer; the client must raise."""


COLUMNS = (
    *(Column(name, name) for name in PROFILES),
    Column("openrouter, signed", "openrouter", SIGNED),
    Column("openrouter, encrypted", "openrouter", ENCRYPTED),
    Column(CUT, "moonshot", RICH, Cut(RICH_MIDDLE, "end", of=RICH)),
)


class Cell(NamedTuple):
    """One client in front of one kind of upstream, streamed or not."""

    client: Client
    column: Column
    way: str


def scenes(clients: Iterable[Client]) -> dict[Cell, Scene]:
    """A scene for each cell, of its own so that what is sent in it can be told apart."""
    cells = [Cell(client, column, way) for client in clients for column in COLUMNS for way in WAYS]
    return {
        cell: Scene(cell.column.dialect, f"cell-{number}", cell.column.answer, cell.column.cut)
        for number, cell in enumerate(cells)
    }


def given(asked: Iterable[tuple[Client, Scene, str]]) -> Json:
    """A play, as python/play.py takes it: each of these scenes with this client in this way."""
    calls = [(call["id"], call["function"]["name"]) for call in RICH.expected_tool_calls]
    return {
        "messages": QUESTION,
        "tools": TOOLS,
        "results": [{"id": id_, "name": name, "content": result_of(id_)} for id_, name in calls],
        "scenarios": [
            {"client": client.made, "model": scene.model, "stream": way == "stream"} for client, scene, way in asked
        ],
    }
