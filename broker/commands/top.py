"""The command ``top``: a server and its connections in the terminal, live."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click

from broker.commands.inspecting import Operated, operator_options
from broker.commands.profiles import ClientCommand
from broker.inspection.contract import Inspection

__all__ = ["top"]

_MISSING = (
    "pb top needs the package textual, which the extra 'top' brings:"
    " python -m pip install 'perspective-broker[top]'"
)


@click.command(cls=ClientCommand)
@operator_options
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
def top(operated: Operated, every: float) -> None:
    """Show the server at ADDRESS and its connections in the terminal, live.

    ADDRESS is as for pb inspect. The keys are shown in the last line.
    """
    if find_spec("textual") is None:
        sys.exit(_MISSING)
    # Imported here: it needs textual.
    from broker.commands.top_screen import Top

    async def act(inspection: Inspection) -> Inspection:
        await inspection.server()
        return inspection

    async def use(inspection: Inspection) -> None:
        shown = Top(inspection, operated.address, every)
        await shown.run_async()
        if shown.lost is not None:
            raise shown.lost

    operated.use("top", act, use)
