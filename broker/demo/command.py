"""The command ``demo``."""

from __future__ import annotations

import asyncio
import sys

import click

from broker.demo import stage

__all__ = ["demo"]


@click.command()
def demo() -> None:
    """Show in ten steps what this package does: a server and two clients, over TLS."""
    try:
        went_well = asyncio.run(stage.demonstrate(_say, stage.PROGRAMS))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("stopped", err=True)
        sys.exit(130)
    sys.exit(0 if went_well else 1)


def _say(line: str) -> None:
    if line.startswith("step "):
        line = click.style(line, fg="red")
    elif line.startswith("goodbye"):
        line = click.style(line, fg="green")
    click.echo(line)
