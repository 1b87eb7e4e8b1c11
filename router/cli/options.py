"""What several commands share: finding and reading the configuration."""

from __future__ import annotations

import os
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
