"""`turnout check`: the configuration, validated offline."""

from __future__ import annotations

import json
import os
import sys

import click

from config.fault import ConfigError
from config.load import Loaded, load
from router.cli.options import config_option, locate, summary


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(config: str | None, as_json: bool) -> None:
    """Validate the configuration offline. Exit 0, or 1 with every fault."""
    path = locate(config)
    try:
        loaded = load(path, os.environ)
    except ConfigError as error:
        _refuse(error, as_json)
    else:
        _report(loaded, as_json)


def _refuse(error: ConfigError, as_json: bool) -> None:
    if as_json:
        faults = [
            {"file": str(fault.file), "line": fault.line, "path": fault.path, "message": fault.message}
            for fault in error.faults
        ]
        click.echo(json.dumps({"ok": False, "faults": faults}, indent=2))
    else:
        for fault in error.faults:
            click.echo(str(fault))
        click.echo(summary(len(error.faults)), err=True)
    sys.exit(1)


def _report(loaded: Loaded, as_json: bool) -> None:
    settings = loaded.settings
    endpoints = sum(len(model.endpoints) for model in settings.models.values())
    if as_json:
        providers = {slug: loaded.off.get(slug) for slug in settings.providers}
        value = {
            "ok": True,
            "file": str(loaded.path),
            "models": len(settings.models),
            "endpoints": endpoints,
            "providers": {slug: {"on": reason is None, "reason": reason} for slug, reason in providers.items()},
            "faults": [],
        }
        click.echo(json.dumps(value, indent=2))
        return
    click.echo(f"{loaded.path}: good. {len(settings.models)} models, {endpoints} endpoints.")
    for slug in settings.providers:
        reason = loaded.off.get(slug)
        click.echo(f"  {slug}: {'on' if reason is None else f'off, {reason}'}")
    if not loaded.usable:
        click.echo("No provider is on, so `turnout serve` would refuse to start: set at least one key.")
