"""Groups of commands that suggest names after a typing error, and import only what they run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version

import click

from broker.acceleration import describe
from broker.commands.variables import variable

__all__ = ["Commands", "Group"]

DISTRIBUTION = "perspective-broker"
# The least similarity of a suggested name, from 0 to 1, and the most suggestions.
_LIKENESS, _MOST = 0.5, 3


class Group(click.Group):
    """A group of commands; its error for an unknown name suggests similar ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names, and the other arguments.

        Raises:
            UsageError: there is no such command.
        """
        name = str(args[0])
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            close = difflib.get_close_matches(name, self.list_commands(ctx), _MOST, _LIKENESS)
            if close and not name.startswith("-"):
                raise click.UsageError(
                    f"no such command {name!r}; did you mean {' or '.join(close)}?", ctx
                )
        return super().resolve_command(ctx, args)


class Commands(Group):
    """All commands, by name.

    Args:
        targets: for each name ``module:attribute``, and its line in the help.
    """

    def __init__(self, targets: Mapping[str, tuple[str, str]]):
        super().__init__(
            "pb",
            help="Two-way remote objects for asyncio.",
            context_settings={"help_option_names": ["-h", "--help"]},
            params=[
                click.Option(
                    ["--version"],
                    is_flag=True,
                    expose_value=False,
                    is_eager=True,
                    callback=_print_version,
                    help="Print the version and exit.",
                )
            ],
        )
        self._targets = targets

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return sorted(self._targets)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name; None if there is no such command."""
        if cmd_name not in self._targets:
            return None
        module, _, attribute = self._targets[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        _name_variables(command, f"PB_{cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in the help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._targets[name][1]) for name in self.list_commands(ctx)])


def _name_variables(command: click.Command, prefix: str) -> None:
    """Let an environment variable set each option of a command."""
    for option in command.params:
        if isinstance(option, click.Option) and not isinstance(option.envvar, list):
            # A variable that several commands have is asked for after that of this command.
            own = variable(prefix, option)
            option.envvar = [own] if option.envvar in (None, own) else [own, str(option.envvar)]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            _name_variables(inner, f"{prefix}_{name}")


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"{DISTRIBUTION} {version(DISTRIBUTION)}, {describe()}")
        context.exit()
