"""The `turnout` command: one file a subcommand."""

from __future__ import annotations

import click

from router.cli.check import check
from router.cli.demo import demo
from router.cli.explain import explain
from router.cli.models import models
from router.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="turnout", prog_name="turnout")
def main() -> None:
    """The OpenRouter that you run yourself."""


for command in (serve, check, explain, models, demo):
    main.add_command(command)
