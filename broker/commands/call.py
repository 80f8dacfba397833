"""The command ``call``: one call of one method, from the command line."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import click
from rich.console import Console

from broker.client import connect
from broker.commands.answer import as_json
from broker.commands.identity import Identity, client_options
from broker.commands.wording import in_words
from broker.core.policy import STRICT
from broker.errors import (
    CallTimeout,
    ConfigError,
    ConnectError,
    DNSLookupError,
    PBConnectionLost,
    ProtocolError,
    TLSError,
)
from broker.timeouts import timeout as call_timeout
from cred.error import LoginFailed

__all__ = ["call"]

RAISED, WRONG_USE, NOT_REACHED, NOT_LET_IN, TOO_LATE = 1, 2, 3, 4, 5

# The status that an error ends the command with; any other came from the remote method.
_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigError, WRONG_USE),
    (LoginFailed, NOT_LET_IN),
    (CallTimeout, TOO_LATE),
    (ConnectError, NOT_REACHED),
    (DNSLookupError, NOT_REACHED),
    (TLSError, NOT_REACHED),
    (ProtocolError, NOT_REACHED),
    (PBConnectionLost, NOT_REACHED),
)
_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@click.command()
@click.argument("address")
@click.argument("method")
@click.argument("arguments", metavar="[ARGS]…", nargs=-1)
@client_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
@click.option("--insecure-plaintext", is_flag=True, help="Allow pb:// to another machine.")
def call(
    address: str,
    method: str,
    arguments: tuple[str, ...],
    timeout: float,
    insecure_plaintext: bool,
    **options: Any,
) -> None:
    """Call METHOD of the server at ADDRESS, and print its answer as JSON.

    Of a server without a login the METHOD is one of its root's, after a login one of the avatar's.
    Each of the ARGS is JSON, such as 3, '"text"' or '[1, 2]', or NAME=JSON for a keyword.

    The status is 0; 1 if the method has raised; 2 if the command line is wrong; 3 if the server
    cannot be reached, is not trusted, or has gone; 4 if it lets nobody in as such; 5 if no answer
    came in time.
    """
    args, kw = _parsed(arguments)
    policy = STRICT.but(insecure_plaintext=insecure_plaintext)
    try:
        identity = Identity(**options)
        credentials, tls = identity.credentials(), identity.tls()

        async def ask() -> str:
            connecting = connect(address, credentials, tls=tls, policy=policy, timeout=timeout)
            async with call_timeout(timeout), connecting as connection:
                target = connection.root if credentials is None else connection.avatar
                return as_json(await target.callRemote(method, *args, **kw))

        answer = asyncio.run(ask())
    except click.ClickException:
        raise
    except Exception as exc:  # noqa: BLE001 - a method may raise whatever it likes
        status = next((number for kind, number in _STATUSES if isinstance(exc, kind)), RAISED)
        click.echo(_told(exc) if status == RAISED else f"pb call: {in_words(exc)}", err=True)
        sys.exit(status)
    console = Console(soft_wrap=True)
    if console.is_terminal:
        console.print_json(answer, ensure_ascii=False)
    else:
        click.echo(answer)


def _told(exc: Exception) -> str:
    """Tell what a remote method has raised: its class as it is known here, and its text."""
    from_afar = getattr(exc, "remoteType", None)
    text = str(exc)
    return text if from_afar else f"{type(exc).__name__}: {text}"


def _parsed(arguments: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments.

    Raises:
        UsageError: one is no JSON, or a keyword is given twice.
    """
    args: list[Any] = []
    kw: dict[str, Any] = {}
    for number, argument in enumerate(arguments, 1):
        keyword = _KEYWORD.fullmatch(argument)
        text = argument if keyword is None else keyword[2]
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise click.UsageError(
                f"argument {number} is no JSON: {exc}; text is written '\"text\"'"
            ) from exc
        if keyword is None:
            args.append(value)
        elif keyword[1] in kw:
            raise click.UsageError(f"argument {number}: {keyword[1]}= is given twice")
        else:
            kw[keyword[1]] = value
    return args, kw
