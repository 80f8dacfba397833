"""The command ``describe``: the contracts of a server's object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from broker.commands.asking import question, statuses, the_answer
from broker.commands.identity import Identity, client_options, plaintext_option, timeout_option
from broker.commands.profiles import ClientCommand
from broker.commands.wording import shown
from broker.flavors.contracts.description import Description
from broker.flavors.contracts.description import describe as ask

__all__ = ["describe"]


@click.command(cls=ClientCommand)
@click.argument("address")
@client_options
@timeout_option("connecting and the answer")
@click.option("--python", "is_python", is_flag=True, help="Print a module with the contracts.")
@click.option(
    "--typescript", "is_typescript", is_flag=True, help="Print a module for the TypeScript client."
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON Schema.")
@plaintext_option
def describe(
    address: str,
    timeout: float,
    is_python: bool,
    is_typescript: bool,
    is_json: bool,
    insecure_plaintext: bool,
    **options: Any,
) -> None:
    """Print the contracts of the object at ADDRESS.

    The object is the root if the server has no login, else the avatar. Only objects with a contract
    answer. The exit status is that of ``pb call``.
    """
    if is_python + is_typescript + is_json > 1:
        raise click.UsageError("choose one of --python, --typescript and --json")
    with statuses("describe", timeout):
        found = question(
            address, Identity(**options), timeout, insecure_plaintext, ask, the_answer
        )()
        if is_json:
            click.echo(json.dumps(found.as_json_schema(), indent=2))
        else:
            lines = _lines(found)
            if is_python:
                lines = iter(found.as_python().splitlines())
            elif is_typescript:
                lines = iter(found.as_typescript().splitlines())
            # The text is the peer's.
            click.echo("\n".join(shown(line) for line in lines))


def _lines(found: Description) -> Iterator[str]:
    """Yield the lines for a reader: each contract, and its methods."""
    for place, contract in enumerate(found.contracts):
        if place:
            yield ""
        first = contract.doc.partition("\n")[0]
        yield f"{contract.title}: {first}" if first else contract.title
        for method in contract.methods:
            form = "" if method.form == "call" else f"   {method.form}"
            text = method.signature.replace("(self, ", "(", 1).replace("(self)", "()", 1)
            yield f"    {text}{form}"
