"""TABLE.md: what a run of the clients found, as Markdown, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.clients.checks import CHECKS
from tests.clients.known import KNOWN, WAYS, Known, known
from tests.clients.roster import CLIENTS, Client, version
from tests.clients.table import COLUMNS, Cell, Column

PAGE = Path(__file__).parent / "TABLE.md"
_COMMAND = "UPDATE_TABLE=1 pytest tests/clients/test_table.py"


def row(client: Client, found: Mapping[Cell, set[str]]) -> str:
    """The client's line, of the checks that each of its cells missed."""
    return _line([client.name, version(client), *(_both_ways(client, column, found) for column in COLUMNS)])


def _both_ways(client: Client, column: Column, found: Mapping[Cell, set[str]]) -> str:
    return " ".join(_mark(cell, found[cell]) for cell in (Cell(client, column, way) for way in WAYS))


def _mark(cell: Cell, missed: set[str]) -> str:
    reasons = known(cell.client.name, cell.column.name, cell.way)
    if not missed <= reasons.keys():
        return "✗"
    return f"[{','.join(map(str, sorted({reasons[check] for check in missed})))}]" if missed else "✓"


def rows(page: str) -> dict[str, str]:
    """The lines of a page by client."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def page(lines: Mapping[str, str]) -> str:
    """The page with these lines, in the order of the clients."""
    heads = ["client", "version", *(column.name for column in COLUMNS)]
    table = [_line(heads), _line(["---"] * len(heads)), *_of_clients(lines)]
    notes = [_note(number, one) for number, one in enumerate(KNOWN, 1)]
    return "\n".join([_HEAD, *table, "", _counted(lines), "", *notes, ""])


def _of_clients(lines: Mapping[str, str]) -> list[str]:
    return [lines[client.name] for client in CLIENTS if client.name in lines]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _counted(lines: Mapping[str, str]) -> str:
    green = sum(line.count("✓") for line in _of_clients(lines))
    return f"{green} of {len(CLIENTS) * len(COLUMNS) * len(WAYS)} are ✓. The others, by their number:"


def _note(number: int, one: Known) -> str:
    clients: dict[str, list[str]] = {}
    for source in one.sources:
        clients.setdefault(f"`{source.path}:{source.line}`", []).append(source.client)
    where = [f"{', '.join(names)}: {line}" for line, names in clients.items()]
    return f"{number}. {', '.join(one.misses)}: {one.reason}. {'; '.join(where)}."


_HEAD = f"""# What each client holds

Written by the tests, from what a run of them finds: they fail where this page says anything else, and
`{_COMMAND}` writes it anew.
Each of {len(CLIENTS)} clients, unmodified, is put through the gateway in front of every kind of upstream that a
configuration can name, the four dialects first and then the vendors' profiles, not streamed (the first mark of a cell)
and streamed (the second). A mark is a conversation: an answer with reasoning, content and two parallel tool calls, then
a second turn in which the client sends back what it holds, with the tools' results. Checked are:
{", ".join(CHECKS)}.
Reasoning must be shown once, and come back to the provider in the one field that it reads; a signature and an encrypted
block must come back unchanged; a provider that refuses reasoning must be sent none; an answer that is cut in its middle
must raise.
✓ is all of it; a number says what is missed, and why.
"""
