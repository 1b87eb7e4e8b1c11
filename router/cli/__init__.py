"""The `turnout` command: one file a subcommand, imported only when it is used."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = ("serve", "check", "explain", "simulate", "models", "keys", "usage", "demo")
"""In the order `--help` shows them; each is `router.cli.<name>.<name>`."""


class Subcommands(click.Group):
    """Loads a subcommand's module when it is asked for, so that `serve` does not wait for the others' imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"router.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="turnout", prog_name="turnout")
def main() -> None:
    """The OpenRouter that you run yourself."""
