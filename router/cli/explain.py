"""`turnout explain`: where a request would go and why, by the code that decides for real ones."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from decimal import Decimal
from random import Random
from typing import Any

import click
import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from config.load import Loaded
from router import catalogue
from router.ask import Ask, parse
from router.cli.options import config_option, load_or_exit
from router.decision import Decision
from router.errors import ApiError
from router.facts import Standing
from router.offers import Offers
from router.plan import EXPECTED_OUTPUT, Context, Plan, Stage, make
from router.policy import STRATEGIES
from router.preferences import DEFAULTS, Effective
from router.tokens import Estimate

A_TOOL = {"type": "function", "function": {"name": "tool", "parameters": {"type": "object"}}}
DRAWN = "# is the most likely place; who comes first is drawn for each request, by the chances under First."
PLAIN_WIDTH = 160
"""Characters a line where the output goes to a file or another program."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained."""

    model: str
    prompt_tokens: int
    max_tokens: int | None
    tools: bool
    provider: str | None
    """JSON of a request's `provider` object."""


@click.command()
@click.argument("model")
@config_option
@click.option(
    "--prompt-tokens", default=1_000, show_default=True, type=click.IntRange(min=1), help="Length of the prompt."
)
@click.option("--max-tokens", type=click.IntRange(min=1), help="What the request would set. Default: nothing.")
@click.option("--tools", is_flag=True, help="The request would bring tools.")
@click.option("--provider", metavar="JSON", help="The request's `provider` object.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def explain(
    model: str,
    config: str | None,
    prompt_tokens: int,
    max_tokens: int | None,
    tools: bool,
    provider: str | None,
    as_json: bool,
) -> None:
    """Where a request for MODEL would go, and why: every endpoint, without calling any.

    Health is taken to be perfect, as after a start: what a running gateway saw is on its dashboard.
    """
    loaded = load_or_exit(config, 2)
    try:
        decision = decide(loaded, Question(model, prompt_tokens, max_tokens, tools, provider))
    except ApiError as error:
        click.echo(f"turnout explain: {error.message}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(as_value(decision), indent=2))
    else:
        _print(decision)


def decide(loaded: Loaded, question: Question) -> Decision:
    """The decision on a request, everyone in the order most likely drawn. Raises ApiError."""
    ask = _ask(question)
    context = Context(
        Offers(catalogue.build(loaded), loaded.settings.preferences),
        lambda endpoints: [Standing()] * len(endpoints),
        Random(0),
        draw=STRATEGIES[loaded.settings.routing.strategy],
    )
    return Decision(ask, _most_likely(make(ask, context)))


def _ask(question: Question) -> Ask:
    body: dict[str, Any] = {"model": question.model, "messages": [{"role": "user", "content": ""}]}
    if question.max_tokens is not None:
        body["max_tokens"] = question.max_tokens
    if question.tools:
        body["tools"] = [A_TOOL]
    if question.provider is not None:
        body["provider"] = _object(question.provider)
    return replace(parse(msgspec.json.encode(body), {}), prompt=Estimate(question.prompt_tokens, 0.0))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ApiError(f"--provider is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ApiError('--provider is not a JSON object, such as {"sort": "price"}.')
    return value


def _most_likely(plan: Plan) -> Plan:
    """A draw decides among equals; here the one with the better chance comes first."""
    return replace(plan, stages=tuple(_likely(stage) for stage in plan.stages))


def _likely(stage: Stage) -> Stage:
    order = [
        candidate
        for batch, chances in stage.batches()
        for candidate, _ in sorted(zip(batch, chances, strict=True), key=lambda pair: -pair[1])
    ]
    return replace(stage, candidates=tuple(order))


# --- for machines -------------------------------------------------------------------------------------


def as_value(decision: Decision) -> dict[str, Any]:
    """Like `openrouter_metadata`, and each endpoint's place, from 1; null where it is not in the plan."""
    ask, plan = decision.ask, decision.plan
    rows = _placed(decision)
    return {
        "requested": ask.models[0],
        "models": list(plan.models),
        "strategy": plan.strategy,
        "prompt_tokens": ask.prompt.tokens,
        "completion_tokens": ask.max_tokens or EXPECTED_OUTPUT,
        "preferences": preferences(plan.rules),
        "ignored_preferences": list(ask.unknown_preferences),
        "endpoints": {"total": len(rows), "available": rows},
        "error": _nobody(decision),
    }


def _placed(decision: Decision) -> list[dict[str, Any]]:
    rows = [{key: value for key, value in row.items() if key != "selected"} for row in decision.rows()]
    return [
        {"place": number if row["excluded_by"] is None else None, **row} for number, row in enumerate(rows, start=1)
    ]


def _nobody(decision: Decision) -> str | None:
    """What the client would be told where nobody can be asked."""
    return None if decision.plan.stages else decision.unavailable(0.0).message


def preferences(rules: Effective) -> dict[str, Any]:
    """Those in force that say anything, as JSON values."""
    said = {field.name: getattr(rules, field.name) for field in fields(rules)}
    return {name: _plain(value) for name, value in said.items() if value != getattr(DEFAULTS, name)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if dump else value


# --- for people ---------------------------------------------------------------------------------------


def _print(decision: Decision) -> None:
    for line in _head(decision):
        click.echo(line)
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    console.print(_table(decision))
    error = _nobody(decision)
    click.echo(DRAWN if error is None else f"Nobody would be asked: {error}")


def _head(decision: Decision) -> list[str]:
    ask, plan = decision.ask, decision.plan
    output = f"{ask.max_tokens or EXPECTED_OUTPUT:,} of output{'' if ask.max_tokens else ' assumed'}"
    lines = [f"{ask.models[0]}: strategy {plan.strategy}, {ask.prompt.tokens:,} prompt tokens, {output}"]
    said = preferences(plan.rules)
    words = ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in said.items()
    )
    lines.append(f"Preferences: {words or 'none'}")
    if ask.unknown_preferences:
        lines.append(f"Ignored, as not known here: {', '.join(ask.unknown_preferences)}")
    return lines


def _table(decision: Decision) -> Table:
    several = len({row["model"] for row in decision.rows()}) > 1
    table = Table(box=None, pad_edge=False)
    for heading in ("#",) + (("Model",) if several else ()) + ("Endpoint",):
        table.add_column(heading, overflow="fold")
    for heading in ("USD", "First"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for row in _placed(decision):
        model = (row["model"],) if several else ()
        table.add_row(
            str(row["place"] or "–"),
            *model,
            row["tag"],
            f"{row['expected_cost']:.6f}",
            _percent(row["chance"]),
            _why(row),
        )
    return table


def _percent(chance: float) -> str:
    return f"{chance:.1%}" if chance else "–"


def _why(row: dict[str, Any]) -> str:
    if row["excluded_by"]:
        return f"out: {row['excluded_by']}"
    return f"demoted: {', '.join(row['demoted_by'])}" if row["demoted_by"] else ""
