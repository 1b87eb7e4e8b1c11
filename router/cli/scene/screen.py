"""How the scene looks: plain where the output is no terminal, in colour where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from router.cli.scene.checks import Checks
from router.cli.scene.client import Json, Reply
from router.cli.scene.rig import Rig
from router.cli.scene.typewriter import Typewriter

INDENT = "  "


class Screen:
    """Renders on one console. Nothing that is printed is read as markup."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def line(self, text: str, style: str = "") -> None:
        """One line, indented and folded at words."""
        for folded in Text(text).wrap(self.console, max(20, self.console.width - len(INDENT))):
            folded.rstrip()
            self.console.print(Text.assemble(INDENT, (folded.plain, style)), soft_wrap=True)

    def verbatim(self, text: str, style: str = "") -> None:
        """Lines to be copied: never folded."""
        self.console.print(Text(text, style), soft_wrap=True)

    def opening(self, rig: Rig) -> None:
        self.console.print()
        self.console.print(Text("Turnout: the OpenRouter that you run yourself", "bold"))
        self.line("Three simulated providers and the gateway before them. No keys, no network.", "dim")
        self.console.print()
        for provider in rig.providers:
            self._fact(provider.name, provider.box.base_url)
        self._fact("gateway", rig.base_url)
        self._fact("configured by", str(rig.file))

    def _fact(self, name: str, value: str) -> None:
        self.verbatim(f"{INDENT}{name:<14}{value}")

    def heading(self, number: int, title: str) -> None:
        self.console.print()
        self.console.print(Text.assemble((f"{number} ", "bold cyan"), (title, "bold")))

    def asked(self, text: str) -> None:
        self.line(f"> {text}", "cyan")

    def typewriter(self) -> Typewriter:
        return Typewriter(self.console, INDENT)

    def calls(self, reply: Reply) -> None:
        for call in reply.tool_calls:
            function = call["function"]
            self.line(f"→ {function['name']}({function['arguments']})", "magenta")

    def bill(self, reply: Reply) -> None:
        """Who served it, and for how much."""
        used = reply.usage
        first = "" if reply.first_token is None else f" · first token {duration(reply.first_token)}"
        tokens = f"{used['prompt_tokens']} → {used['completion_tokens']} tokens"
        self.line(f"{reply.provider} · {tokens} · {usd(reply.cost)}{first} · {duration(reply.duration)}", "bold cyan")

    def attempts(self, attempts: Sequence[Json]) -> None:
        """What became of each attempt, one a line."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=0)
        for column in range(4):
            grid.add_column(justify="right" if column == 3 else "left", overflow="fold")
        for number, attempt in enumerate(attempts, 1):
            good = attempt["error"] is None
            mark, style = ("✓", "green") if good else ("✗", "red")
            says = "answered" if good else _failure(attempt)
            who = Text(f"{mark} {attempt['provider']}", style)
            grid.add_row("", f"attempt {number}", who, Text(says), duration(attempt["duration"]))
        self.console.print(grid)

    def verdict(self, checks: Checks, says: str) -> None:
        """✓ and what was verified, or ✗ and what did not hold."""
        if checks.good:
            self.line(f"✓ {says}", "bold green")
        for claim in checks.unmet:
            self.line(f"✗ {claim}", "bold red")

    def progress(self) -> Progress:
        """A bar on a terminal; elsewhere nothing."""
        return Progress(
            TextColumn(" "),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shares]}", style="dim"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    def endpoints(self, rig: Rig, rows: Sequence[Json], firsts: Mapping[str, int]) -> None:
        """The table of endpoints: price, uptime and share."""
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", border_style="dim")
        for heading in ("Endpoint", "In", "Out", "Uptime", "First token", "Share", "State"):
            table.add_column(heading, justify="left" if heading in ("Endpoint", "State") else "right", no_wrap=True)
        total = sum(firsts.values()) or 1
        for provider in rig.providers:
            row = next(row for row in rows if row["tag"] == provider.endpoint.tag)
            latency = row["latency_last_30m"]
            state = row["unavailable"] or rig.tier(provider)
            table.add_row(
                row["tag"],
                f"${provider.price.prompt}",
                f"${provider.price.completion}",
                _percent(rig.uptime(provider)),
                duration(float(latency["p50"])) if latency else "–",
                f"{firsts[provider.name] / total:.0%}",
                Text(state, _STATES.get(state, "red")),
            )
        self.console.print(table)

    def closing(self, rig: Rig, model: str, good: bool) -> None:
        """How it went, and how to go on from here."""
        self.console.print()
        if good:
            self.console.print(Text("Everything held. The gateway is yours:", "bold green"))
        else:
            self.console.print(Text("Something above did not hold. The gateway:", "bold red"))
        self._fact("base URL", rig.base_url)
        self._fact("dashboard", f"{rig.url}/dashboard")
        self.console.print()
        self.verbatim(_CURL.format(base_url=rig.base_url, model=model), "cyan")
        self.console.print()
        self.verbatim(_PYTHON.format(base_url=rig.base_url, model=model), "cyan")
        self.console.print()


_STATES = {"on": "green", "degraded": "yellow"}


def _failure(attempt: Json) -> str:
    """Short enough for a line: the last clause of what happened, and the provider's status where there was one."""
    says = str(attempt["error"]).rsplit(": ", 1)[-1]
    return says if attempt["result"] == "unreachable" else f"{attempt['status']} {says}"


def usd(value: Decimal) -> str:
    return f"${value:.6f}"


def duration(seconds: float) -> str:
    """Milliseconds below a second."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


_CURL = """\
curl -N {base_url}/chat/completions \\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "stream": true,
       "messages": [{{"role": "user", "content": "What is a turnout?"}}]}}'"""

_PYTHON = """\
from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key="any")
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "What is a turnout?"}}],
)
print(answer.choices[0].message.content)"""
