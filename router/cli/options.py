"""What several commands share: finding and reading the configuration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from config.fault import ConfigError
from config.load import Loaded, find, load

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "config",
    metavar="FILE",
    help="The YAML file. Default: $TURNOUT_CONFIG, ./turnout.yaml, else the bundled one.",
)


def locate(config: str | None) -> Path:
    """The configuration file to use."""
    return find(config, os.environ, Path.cwd())


def load_or_exit(config: str | None, code: int) -> Loaded:
    """The configuration; with any fault in it, all of them on stderr and exit `code`."""
    try:
        return load(locate(config), os.environ)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        click.echo(summary(len(error.faults)), err=True)
        sys.exit(code)


def summary(faults: int) -> str:
    return f"{faults} fault{'' if faults == 1 else 's'} in the configuration."


UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class Span(click.ParamType[float]):
    """`90m`, `24h`, `7d`, `4w`: seconds back from now."""

    name = "span"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d{1,6})([mhdw])", value)
        if not found:
            self.fail(f"{value!r} is not a time: write 90m, 24h, 7d or 4w.", param, ctx)
        return float(int(found[1]) * UNITS[found[2]])
