"""The command ``ping``: whether a server answers, and how fast."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import click

from broker.client import Connect, connect
from broker.commands.identity import Identity, ca_option, plaintext_option
from broker.commands.profiles import ClientCommand, profile_option
from broker.commands.wording import in_words
from broker.core.policy import STRICT
from broker.errors import ConfigError, Disconnected, ProtocolError, TLSError

__all__ = ["NOT_REACHED", "ping"]

NOT_REACHED, WRONG_USE, INTERRUPTED = 3, 2, 130


_CLOSING = 1.0
_FILE = click.Path(dir_okay=False)


@click.command(cls=ClientCommand)
@click.argument("address")
@profile_option
@ca_option
@click.option("--pin", metavar="HEX", help="Trust the server whose key has this SHA-256 hash.")
@click.option("--cert", type=_FILE, help="Present this certificate.")
@click.option("--key", type=_FILE, help="The private key of the certificate.")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many pings, one a second.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Time limit in seconds for connecting, and for each ping.",
)
@plaintext_option
def ping(
    address: str,
    ca: str | None,
    pin: str | None,
    cert: str | None,
    key: str | None,
    count: int,
    timeout: float,
    insecure_plaintext: bool,
) -> None:
    """Connect to the server at ADDRESS, without a login, and ping it.

    It calls no method. The exit status is 0 if the server has answered, 3 if not, 2 if the command
    line is wrong: for health checks of containers.
    """
    identity = Identity(None, None, None, False, cert, key, True, ca, pin, None)
    try:
        making = partial(
            connect,
            address,
            tls=identity.tls(),
            policy=STRICT.but(insecure_plaintext=insecure_plaintext),
            timeout=timeout,
        )
        asyncio.run(_ping(making, address, count, timeout))
    except ConfigError as exc:
        click.echo(f"pb ping: {in_words(exc)}", err=True)
        sys.exit(WRONG_USE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (Disconnected, TLSError, ProtocolError) as exc:
        click.echo(f"pb ping: {in_words(exc)}", err=True)
        sys.exit(NOT_REACHED)
    except TimeoutError:
        click.echo(f"pb ping: no answer from {address} in {timeout:g} s", err=True)
        sys.exit(NOT_REACHED)


async def _ping(making: Callable[[], Connect], address: str, count: int, timeout: float) -> None:
    began = time.monotonic()
    connection = await making()
    connected = time.monotonic() - began
    try:
        dialect = connection.dialect
        click.echo(f"{address}: {dialect}, connected in {connected:.4f} s")
        for number in range(count):
            if connection.broker.pings is None:
                # PB's dialects have no pings; the offer of dialects was the answer.
                return
            if number:
                await asyncio.sleep(1)
            async with asyncio.timeout(timeout):
                click.echo(f"{address}: answered in {await connection.ping():.4f} s")
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await connection.close()
