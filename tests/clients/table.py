"""The table of clients: what each must hold of an answer and of a second turn, by kind of upstream and way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.sandbox import Answer, Cut
from tests.clients.held import Json, script_of
from tests.clients.known import CUT, KNOWN, WAYS, known
from tests.clients.lab import DIALECTS, PROFILES, QUESTION, TOOLS, Scene, profile
from tests.clients.roster import CLIENTS, Client, version
from tests.clients.scripts import ENCRYPTED, RICH, SIGNED

CHECKS = ("reasoning", "content", "tool calls", "usage", "finish", "sent back", "reasoning sent back", "raises")
RICH_MIDDLE = len([delta for delta in RICH.deltas() if delta.index is None]) + 2
"""Events after which the reasoning and the content are there, and the tool calls have begun."""


@dataclass(frozen=True)
class Column:
    """A kind of upstream, and what it answers."""

    name: str
    dialect: str
    answer: Answer = RICH
    cut: Cut | None = None
    """How its connection ends in the middle of the answer; the client must raise."""

    @property
    def vendor(self) -> bool:
        """Whether it is a dialect with an accent, which the client cannot see: a third of the clients will do."""
        return self.dialect not in DIALECTS


COLUMNS = (
    *(Column(name, name) for name in PROFILES),
    Column("openrouter, signed", "openrouter", SIGNED),
    Column("openrouter, encrypted", "openrouter", ENCRYPTED),
    Column(CUT, "moonshot", RICH, Cut(RICH_MIDDLE, "end", of=RICH)),
)

Asked = tuple[Client, Column, str]


def scenes(clients: Sequence[Client]) -> dict[Asked, Scene]:
    """A scene for each cell and way, of the cell's own so that what is sent in it can be told apart."""
    asked = [(client, column, way) for client in clients for column in played_by(client) for way in WAYS]
    return {
        (client, column, way): Scene(column.dialect, f"cell-{number}", column.answer, column.cut)
        for number, (client, column, way) in enumerate(asked)
    }


def played_by(client: Client) -> list[Column]:
    """Every column, but of the vendors every third, each client beginning at another."""
    turn = CLIENTS.index(client)
    vendors = [column for column in COLUMNS if column.vendor]
    return [column for column in COLUMNS if not column.vendor or (vendors.index(column) + turn) % 3 == 0]


def given(asked: Mapping[Asked, Scene]) -> Json:
    """The play of these scenes, as python/run.py takes it."""
    return {
        "messages": QUESTION,
        "tools": TOOLS,
        "results": results_of(RICH.expected_tool_calls),
        "scenarios": [
            {"client": client.made, "model": scene.model, "stream": way == "stream"}
            for (client, _, way), scene in asked.items()
        ],
    }


def results_of(calls: list[Any]) -> list[Json]:
    """A result for each call, as a string that must not be read."""
    return [
        {"id": call["id"], "name": call["function"]["name"], "content": f'{{"of":"{call["id"]}"}} 18°\u2028'}
        for call in calls
    ]


def misses(scene: Scene, held: Json, requests: list[Json]) -> set[str]:
    """The checks that did not hold: of what the client shows in both turns, and of what it sent in the second."""
    if scene.played is not None:
        return set() if held["first"] is None and held["error"] else {"raises"}
    if held["error"] is not None:
        return {held["error"]}
    shown = _shown(scene, held["first"]) | _shown(scene, held["second"])
    return shown | _sent(scene, requests[1]["messages"])


def _shown(scene: Scene, shown: Json) -> set[str]:
    script = script_of(scene)
    wanted = {"reasoning": script["reasoning"], "content": script["content"], "finish": script["finish_reason"]}
    wrong = {name for name, value in wanted.items() if shown[name] != value}
    if not _same_calls(shown["calls"], script["tool_calls"]):
        wrong.add("tool calls")
    usage = {name: value for name, value in shown["usage"].items() if value is not None}
    expected = {name: script["usage"][name] for name in usage}
    if not {"prompt", "completion"} <= usage.keys() or usage != expected:
        wrong.add("usage")
    return wrong


def _same_calls(shown: list[Json], script: list[Json]) -> bool:
    """Ids, names and arguments: to the character where the client hands out text, else the value."""
    if [(call["id"], call["name"]) for call in shown] != [(one["id"], one["function"]["name"]) for one in script]:
        return False
    texts = [one["function"]["arguments"] for one in script]
    return all(
        call["arguments"] == (text if isinstance(call["arguments"], str) else json.loads(text))
        for call, text in zip(shown, texts, strict=True)
    )


def _sent(scene: Scene, messages: list[Json]) -> set[str]:
    """What of the second turn did not reach the provider."""
    user, assistant, *results = messages
    wrong = set()
    calls = [
        {"id": call["id"], "name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])}
        for call in assistant.get("tool_calls") or ()
    ]
    script = scene.answer.expected_tool_calls
    told = [(one["tool_call_id"], _text(one["content"])) for one in results]
    whole = _text(user["content"]) == QUESTION[0]["content"] and _text(assistant.get("content")) == scene.answer.content
    expected = [(one["id"], one["content"]) for one in results_of(script)]
    if not whole or told != expected or not _same_calls(calls, script):
        wrong.add("sent back")
    if not _reasoning_came_back(scene, assistant):
        wrong.add("reasoning sent back")
    return wrong


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


def _reasoning_came_back(scene: Scene, assistant: Json) -> bool:
    """In the one field the upstream reads; an OpenRouter-style one reads three, and none may say otherwise."""
    fields = {name: assistant[name] for name in ("reasoning", "reasoning_content") if name in assistant}
    reads, text = profile(scene.dialect).reads, scene.answer.reasoning
    if reads != "details":
        return fields == ({reads: text} if reads else {}) and "reasoning_details" not in assistant
    details = assistant.get("reasoning_details") or []
    told = {said for said in (*fields.values(), "".join(one.get("text") or "" for one in details)) if said}
    return told == ({text} if text else set()) and _proofs(details) == _proofs(_issued(scene.answer))


def _issued(answer: Answer) -> list[Json]:
    return [json.loads(item) for item in answer.expected_reasoning_details]


def _proofs(details: list[Json]) -> list[str]:
    """What an issuer wants back unchanged: signatures, and encrypted blocks with their ids."""
    signatures = [one["signature"] for one in details if one.get("signature")]
    return signatures + [f"{one.get('id')} {one['data']}" for one in details if one.get("data")]


def rendered() -> str:
    """The table as Markdown; columns that are alike in one."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for column in COLUMNS:
        if not column.vendor:
            alike.setdefault(tuple(_cell(client, [column]) for client in CLIENTS), []).append(column.name)
    vendors = [column for column in COLUMNS if column.vendor]
    theirs = [_cell(client, [column for column in played_by(client) if column.vendor]) for client in CLIENTS]
    heads = ["client", "version", *(", ".join(names) for names in alike.values()), f"{len(vendors)} vendors"]
    rows = [heads, ["---"] * len(heads)]
    rows += [[client.name, version(client), *cells] for client, *cells in zip(CLIENTS, *alike, theirs, strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    notes = [f"{number}. {', '.join(one.misses)}: {one.reason}." for number, one in enumerate(KNOWN, 1)]
    about = f"Vendors, of which each client plays a third: {', '.join(column.name for column in vendors)}."
    return "\n".join([_HEAD, *lines, "", about, "", "Misses:", "", *notes, ""])


def _cell(client: Client, columns: Sequence[Column]) -> str:
    """Both ways, over these columns."""
    found = [{n for column in columns for n in known(client.name, column.name, way).values()} for way in WAYS]
    return " ".join("✓" if not numbers else f"[{','.join(map(str, sorted(numbers)))}]" for numbers in found)


_HEAD = f"""# What each client holds

Written by the tests, which assert every cell (`UPDATE_TABLE=1` writes it anew). A cell is two conversations through the
gateway with the unmodified client, the first not streamed, the second streamed: an answer with reasoning, content and
two parallel tool calls, then a second turn in which the client sends back what it holds, with the tools' results.
Checked are: {", ".join(CHECKS)}.
Reasoning must be shown once, and come back to the provider in the one field that it reads; a signature and an encrypted
block must come back unchanged; a provider that refuses reasoning must be sent none; an answer that is cut in its middle
must raise.
✓ is all of it; a number says what is missed.
"""
