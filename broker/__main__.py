"""The command ``pb``, which is also ``python -m broker``."""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["main"]

# Each command is loaded when the command line is there, for which click is needed.
_COMMANDS = {"demo": "broker.demo.command", "run": "broker.commands.run"}

_NO_CLICK = (
    "pb needs the package click, which the extra 'cli' brings:"
    " python -m pip install 'perspective-broker[cli]'"
)


def main() -> None:
    """Run the command that the command line names."""
    try:
        click = import_module("click")
    except ModuleNotFoundError:
        sys.exit(_NO_CLICK)
    commands = {name: getattr(import_module(home), name) for name, home in _COMMANDS.items()}
    group = click.Group("pb", commands, help="Two-way remote objects for asyncio.")
    group(prog_name="pb")


if __name__ == "__main__":
    main()
