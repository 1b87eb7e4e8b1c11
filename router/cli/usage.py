"""`turnout usage`: tokens and cost from the ledger."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from router.cli.options import Span, config_option, load_or_exit
from router.cli.store import with_store
from router.state.base import Store
from router.state.values import Dimension, Query, Total

COLUMNS = ("requests", "prompt_tokens", "cached_tokens", "reasoning_tokens", "completion_tokens")


@click.command()
@click.option("--since", type=Span(), default="7d", metavar="SPAN", help="How far back: 90m, 24h, 7d, 4w. Default: 7d.")
@click.option("--by", type=click.Choice(["model", "provider", "key", "day"]), default="model", help="Default: model.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@config_option
def usage(since: float, by: str, as_json: bool, config: str | None) -> None:
    """What was used, and what it cost."""

    async def totals(store: Store) -> tuple[list[Total], dict[str, str]]:
        query = Query(time.time() - since, (cast(Dimension, by),))
        return await store.ledger.totals(query), await store.ledger.key_names()

    found, names = with_store(load_or_exit(config, 2), totals)
    rows = [(_called(by, total.group[0], names), _figures(total), total) for total in found]
    if as_json:
        data = [{by: group, **figures, "cost": float(total.cost)} for group, figures, total in rows]
        click.echo(json.dumps({"data": data}, indent=2))
    elif not rows:
        click.echo("Nothing was used in that time. The ledger fills as `turnout serve` answers requests.")
    else:
        _print(by, rows)


def _called(by: str, group: str, names: dict[str, str]) -> str:
    if by == "day":
        return f"{datetime.fromtimestamp(float(group), UTC):%Y-%m-%d}"
    if by == "key":
        return names.get(group, group) or "(no key)"
    return group or "(nobody)"


def _figures(total: Total) -> dict[str, int]:
    numbers = (total.requests, total.prompt, total.cached, total.reasoning, total.completion)
    return dict(zip(COLUMNS, numbers, strict=True))


def _print(by: str, rows: list[tuple[str, dict[str, int], Total]]) -> None:
    table = Table()
    table.add_column(by.title(), overflow="fold")
    for column in COLUMNS:
        table.add_column(column.replace("_tokens", "").title(), justify="right")
    table.add_column("Cost", justify="right")
    for group, figures, total in rows:
        table.add_row(group, *(f"{number:,}" for number in figures.values()), f"${total.cost:.6f}")
    Console().print(table)
