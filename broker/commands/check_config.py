"""The command ``check-config``: finds weak settings of a server before it runs."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from broker.commands.config_file import ConfigFile, config_option, from_file
from broker.commands.settings import Settings, misspelt_variables, server_options
from broker.commands.target import WrongTarget, assumed, is_manager, load, served, show_cause
from broker.commands.weaknesses import Finding, weaknesses
from broker.commands.wording import in_words
from broker.errors import ConfigError
from broker.net.schemes import parse_address
from cred.strcred import StrcredException
from cred.users import StoreError

__all__ = ["check_config"]

WEAK, WRONG_USE = 1, 2


@click.command("check-config")
@click.argument("target", metavar="[MODULE:NAME]", required=False, callback=from_file)
@click.argument("addresses", metavar="[ADDRESS]…", nargs=-1, callback=from_file)
@config_option
@server_options
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for a program.")
@click.pass_context
def check_config(
    context: click.Context,
    /,
    target: str | None,
    addresses: tuple[str, ...],
    config: ConfigFile | None,
    is_json: bool,
    **options: Any,
) -> None:
    """Find weak settings of the server that `serve` would start with the same arguments.

    No port is opened. Each finding is a line with the weakness and a line with the fix. The exit
    status is 0 without findings, 1 with findings, and 2 if the server could not start.
    """
    if target is None:
        raise click.UsageError("Missing argument 'MODULE:NAME', also without target in --config.")
    settings = Settings(addresses, **options)
    if config is not None:
        settings = settings.on(config.policy)
    try:
        checkers = settings.make_checkers()
        tls = settings.tls(checkers)
        made = load(target, config)
        # A context manager is not entered, since that may open ports.
        is_known = bool(checkers) or not is_manager(made)
        root = served(assumed(made, checkers), checkers, target, settings.throttle())
        # Plaintext is reported below, even where the server would refuse to start.
        policy = settings.policy().but(insecure_plaintext=True)
        places = settings.places().of_another()
        settings.server(root, tls, policy, places).close()
        locations = [parse_address(address) for address in places.addresses]
        now = datetime.datetime.now(datetime.UTC)
        found = [
            Finding(name, "sets no option", f"did you mean {meant}?")
            for name, meant in misspelt_variables(context)
        ]
        found += weaknesses(settings, locations, root if is_known else None, now)
    except (ConfigError, StoreError, StrcredException, WrongTarget) as exc:
        show_cause(exc)
        click.echo(f"pb check-config: {in_words(exc)}", err=True)
        sys.exit(WRONG_USE)
    if is_json:
        names = ("about", "weakness", "fix")
        click.echo(json.dumps([{name: getattr(each, name) for name in names} for each in found]))
        sys.exit(WEAK if found else 0)
    console = Console(soft_wrap=True, highlight=False)
    for finding in found:
        console.print(Text.assemble((f"{finding.about}:", "bold red"), f" {finding.weakness}"))
        console.print(Text(f"    {finding.fix}"))
    if found:
        sys.exit(WEAK)
    console.print("no weak settings")
