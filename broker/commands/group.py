"""The command line's commands, of which only the one that runs is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

__all__ = ["Commands"]


class Commands(click.Group):
    """A group of commands by name.

    Args:
        homes: for each name ``module:attribute``, and its line of the help.
    """

    def __init__(self, homes: Mapping[str, tuple[str, str]]):
        super().__init__("pb", help="Two-way remote objects for asyncio.")
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return sorted(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of that name; None where there is none."""
        if cmd_name not in self._homes:
            return None
        module, _, attribute = self._homes[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the help, without loading what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._homes[name][1]) for name in self.list_commands(ctx)])
