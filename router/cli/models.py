"""`turnout models`: the catalogue as a table."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from router import catalogue
from router.catalogue import Endpoint
from router.cli.options import config_option, load_or_exit
from router.edge.models import plain


@click.command()
@config_option
def models(config: str | None) -> None:
    """Every model and who offers it, USD per million tokens."""
    known = catalogue.build(load_or_exit(config, 1))
    table = Table(title="Catalogue, USD per million tokens", title_justify="left")
    for heading in ("Model", "Endpoint", "Upstream model"):
        table.add_column(heading, overflow="fold")
    for heading in ("Context", "Max output", "Input", "Cached", "Output"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("State", overflow="fold")
    for model in known.models.values():
        for number, endpoint in enumerate(model.endpoints):
            table.add_row(model.id if number == 0 else "", *_row(endpoint), end_section=endpoint is model.endpoints[-1])
    Console(soft_wrap=False).print(table)


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    rates = endpoint.rates
    return (
        endpoint.tag,
        endpoint.upstream_model,
        f"{endpoint.context_length:,}",
        "–" if endpoint.max_output is None else f"{endpoint.max_output:,}",
        plain(rates.prompt),
        "–" if rates.cache_read is None else plain(rates.cache_read),
        plain(rates.completion),
        "on" if endpoint.provider.off is None else f"off: {endpoint.provider.off}",
    )
