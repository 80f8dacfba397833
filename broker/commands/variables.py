"""The environment variables that set options of the commands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

import click

__all__ = ["unknown_variables", "variable"]


def variable(prefix: str, option: click.Option) -> str:
    """Return the name of the environment variable that sets an option.

    Args:
        prefix: ``PB_`` and the command.
        option: the longest of its names counts.
    """
    return f"{prefix}_{max(option.opts, key=len).lstrip('-')}".replace("-", "_").upper()


def unknown_variables(
    prefix: str, options: Iterable[click.Parameter], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the variables that look like one of a command, but set no option.

    Only those that are nearly the name of one: others may be of another program, such as those that
    Kubernetes makes for its services.

    Args:
        prefix: ``PB_`` and the command.
        options: those of the command; arguments among them are left out.
        environment: the names of all variables, with their values.

    Returns:
        Each with the name that was perhaps meant.
    """
    found = [variable(prefix, each) for each in options if isinstance(each, click.Option)]
    start = f"{prefix}_".upper()
    ends = [each.removeprefix(start) for each in found]
    for name in sorted(environment):
        if name.startswith(start) and name not in found:
            close = difflib.get_close_matches(name.removeprefix(start), ends, 1, 0.75)
            if close:
                yield name, f"{start}{close[0]}"
