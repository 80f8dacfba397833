"""The command ``serve``: serves an object of a module until a signal."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import click

from broker.commands.settings import Settings, server_options
from broker.commands.target import WrongTarget, load, served, show_cause
from broker.commands.throttle import write_audit
from broker.commands.wording import in_words
from broker.errors import CannotListenError, ConfigError
from broker.server import Serve
from broker.server import serve as serve_at
from broker.stopping import DRAIN
from cred.strcred import StrcredException
from cred.users import StoreError

__all__ = ["serve"]

logger = logging.getLogger("broker.server")

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CANNOT_START, WRONG_USE = 1, 2


@click.command()
@click.argument("target", metavar="MODULE:NAME")
@click.argument("addresses", metavar="[ADDRESS]…", nargs=-1)
@server_options
@click.option(
    "--drain",
    type=float,
    default=DRAIN,
    show_default=True,
    metavar="SECONDS",
    help="How many seconds running calls may continue after a signal.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The lowest level of log records on the standard error.",
)
def serve(
    target: str, addresses: tuple[str, ...], drain: float, log_level: str, **options: Any
) -> None:
    """Serve the object NAME of MODULE at each ADDRESS, until SIGTERM or SIGINT.

    NAME is a Root or a Portal, or a class of one. With --checker it is the object that users get
    after the login: a realm; a function or an Avatar class, called with avatar id and mind; or a
    Root.

    An ADDRESS is pb://host:port, pbs://host:port for TLS, ws://host:port/path or wss://… for
    WebSocket, or pb+unix:///path; port 0 takes a free one. SIGHUP reloads the certificates. After
    the first signal running calls may end; a second signal closes their connections at once. The
    exit status is then 0. It is 1 if the server could not start, 2 if the command line is wrong.
    """
    logging.basicConfig(level=log_level.upper(), format=LINE)
    try:
        settings = Settings(addresses, **options)
        checkers = settings.make_checkers()
        root = served(load(target), checkers, target, settings.throttle())
        tls, policy = settings.tls(checkers), settings.policy()
        if settings.audit_log is not None:
            write_audit(settings.audit_log)
        server = serve_at(root, *addresses, tls=tls, policy=policy, drain=drain, **settings.web())
    except (ConfigError, StoreError, StrcredException, WrongTarget) as exc:
        show_cause(exc)
        click.echo(f"pb serve: {in_words(exc)}", err=True)
        sys.exit(WRONG_USE)
    try:
        asyncio.run(_serve(server))
    except (CannotListenError, ConfigError) as exc:
        click.echo(f"pb serve: {in_words(exc)}", err=True)
        sys.exit(CANNOT_START)


async def _serve(serving: Serve) -> None:
    server = await serving
    # A reader of this line may send a signal at once, so it is logged when signals are handled.
    said = f"serving at {' '.join(server.addresses)}"
    asyncio.get_running_loop().call_soon(click.echo, said)
    await server.serve_forever()
    logger.info("ended, after %d connections", server.stats.accepted)
