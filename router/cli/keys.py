"""`turnout keys`: client keys, made, listed and revoked."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import click
from rich.console import Console
from rich.table import Table

from router.accounts import new_key
from router.cli.options import config_option, load_or_exit
from router.cli.store import with_store
from router.state.base import Store
from router.state.values import KeyRecord, KeyUsage


class Usd(click.ParamType[Decimal]):
    """An amount of money, exact."""

    name = "usd"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(value.removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount of dollars.", param, ctx)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is not an amount of dollars.", param, ctx)
        return amount


@click.group()
def keys() -> None:
    """Client keys with limits. The secret is shown once; only its SHA-256 is stored."""


@keys.command()
@click.argument("name")
@click.option("--limit", type=Usd(), metavar="USD", help="What it may spend. Default: no limit.")
@click.option("--reset", type=click.Choice(["daily", "weekly", "monthly"]), help="When the limit starts anew (UTC).")
@click.option("--rpm", type=click.IntRange(1), metavar="N", help="Requests in a rolling minute.")
@click.option("--models", multiple=True, metavar="GLOB", help="Models it may use; may be repeated. Default: all.")
@config_option
def create(
    name: str, limit: Decimal | None, reset: str | None, rpm: int | None, models: tuple[str, ...], config: str | None
) -> None:
    """Make a key for NAME."""
    loaded = load_or_exit(config, 2)
    values = {"limit": limit, "reset": reset, "rpm": rpm, "models": models}
    secret, record = new_key(name, values, time.time())

    async def put(store: Store) -> None:
        await store.keys.put(record)

    with_store(loaded, put)
    click.echo(secret)
    click.echo(f"This is the key of {name}; it is not shown again. Its hash: {record.hash}", err=True)
    if loaded.settings.auth.mode == "open":
        click.echo("auth.mode is open, so no key is asked for yet: set auth.mode: keys.", err=True)


@keys.command("list")
@config_option
def list_(config: str | None) -> None:
    """Every key that was made, with what it spent."""

    async def all_(store: Store) -> list[tuple[KeyRecord, KeyUsage]]:
        return [(record, await store.spend.usage(record.hash)) for record in await store.keys.all()]

    found = with_store(load_or_exit(config, 2), all_)
    if not found:
        click.echo("No keys yet: `turnout keys create NAME` makes one.")
        return
    table = Table("Name", "Key", "Hash", "Limit", "Spent", "rpm", "Models", "Made", "State")
    for record, usage in found:
        table.add_row(*_row(record, usage))
    Console(soft_wrap=True).print(table)


def _row(record: KeyRecord, usage: KeyUsage) -> tuple[str, ...]:
    period = f" {record.reset}" if record.reset else ""
    return (
        record.name,
        record.label,
        record.hash[:12],
        "–" if record.limit is None else f"${record.limit:f}{period}",
        f"${usage.within(record.reset):.6f}",
        "–" if record.rpm is None else str(record.rpm),
        ", ".join(record.models) or "all",
        f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%d}",
        "on" if record.usable(time.time()) else "off",
    )


@keys.command()
@click.argument("hash_", metavar="HASH")
@config_option
def revoke(hash_: str, config: str | None) -> None:
    """Delete the key with this HASH (or its unambiguous beginning, 8 characters or more). Running gateways refuse it
    within two seconds."""

    async def delete(store: Store) -> list[KeyRecord]:
        fitting = [record for record in await store.keys.all() if record.hash.startswith(hash_)]
        if len(fitting) == 1 and len(hash_) >= 8:
            await store.keys.delete(fitting[0].hash)
        return fitting

    fitting = with_store(load_or_exit(config, 2), delete)
    if len(fitting) == 1 and len(hash_) >= 8:
        click.echo(f"The key of {fitting[0].name} is revoked.")
        return
    says = (
        "No key has" if not fitting else "More than one key has" if len(hash_) >= 8 else "Give 8 characters or more of"
    )
    click.echo(f"{says} the hash {hash_}: see `turnout keys list`.", err=True)
    sys.exit(1)
