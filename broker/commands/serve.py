"""The command ``serve``: serves an object of a module until a signal."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import click

from broker.commands.config_file import ConfigFile, config_option, from_file
from broker.commands.log_formats import FORMATS, LEVELS, start_logging
from broker.commands.processes import Processes, Run
from broker.commands.reloading import Reloading
from broker.commands.settings import Settings, server_options
from broker.commands.target import WrongTarget, load, served, show_cause
from broker.commands.throttle import write_audit
from broker.commands.wording import in_words
from broker.errors import CannotListenError, ConfigError
from broker.login.throttle import LoginThrottle
from broker.observers import LogCalls
from broker.server import Serve
from broker.server import serve as serve_at
from broker.stopping import DRAIN
from cred.strcred import StrcredException
from cred.users import StoreError

__all__ = ["serve"]

logger = logging.getLogger("broker.server")

Make: TypeAlias = Callable[[tuple[str, ...], str | None], Serve]

CANNOT_START, WRONG_USE = 1, 2


class _Command(click.Command):
    """Keeps its command line, to be read again at SIGHUP."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = tuple(args)
        return super().parse_args(ctx, args)


@click.command(cls=_Command)
@click.argument("target", metavar="[MODULE:NAME]", required=False, callback=from_file)
@click.argument("addresses", metavar="[ADDRESS]…", nargs=-1, callback=from_file)
@config_option
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
    "--processes",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="How many processes serve at the same ports.",
)
@click.option(
    "--admin",
    metavar="ADDRESS",
    help="The UNIX socket for pb top and other commands of operators: pb+unix:///path.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="The lowest level of log records on the standard error.",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="The form of log records: text for people, or a line of JSON or logfmt for programs.",
)
@click.option("--log-calls", is_flag=True, help="Log each call of a client, without its arguments.")
@click.pass_context
def serve(
    context: click.Context,
    /,
    target: str | None,
    addresses: tuple[str, ...],
    config: ConfigFile | None,
    drain: float,
    processes: int,
    admin: str | None,
    log_level: str,
    log_format: str,
    log_calls: bool,
    **options: Any,
) -> None:
    """Serve the object NAME of MODULE at each ADDRESS, until SIGTERM or SIGINT.

    NAME is a Root or a Portal, or a class of one. With --checker it is the object that users get
    after the login: a realm; a function or an Avatar class, called with avatar id and mind; or a
    Root.

    An ADDRESS is pb://host:port, pbs://host:port for TLS, or pb+unix:///path; port 0 takes a free
    one. pb+systemd:NAME and pb+fd:3 are sockets that the process was started with. SIGHUP reloads
    the certificates and the configuration file. After the first signal running calls may end; a
    second signal closes their connections at once. The exit status is then 0. It is 1 if the server
    could not start, 2 if the command line is wrong.
    """
    start_logging(log_format, log_level)
    if target is None:
        raise click.UsageError("Missing argument 'MODULE:NAME', also without target in --config.")
    try:
        settings = Settings(addresses, **options)
        if config is not None:
            settings = settings.on(config.policy)
        checkers = settings.make_checkers()
        throttle = settings.throttle()
        if checkers and throttle is None:
            # An object of its own, whose limits a new configuration can change.
            throttle = LoginThrottle()
        root = served(load(target, config), checkers, target, throttle)
        tls, policy = settings.tls(checkers), settings.policy()
        if settings.audit_log is not None:
            write_audit(settings.audit_log)
        reloading = Reloading(context, context.meta[__name__], root)
        is_shared = processes > 1

        def make(at: tuple[str, ...], admin_at: str | None) -> Serve:
            return serve_at(
                root,
                *at,
                tls=tls,
                policy=policy,
                drain=drain,
                reuse_port=is_shared,
                admin=admin_at,
                observers=[LogCalls()] if log_calls else (),
            )

        first = make(addresses, admin)
    except (ConfigError, StoreError, StrcredException, WrongTarget) as exc:
        show_cause(exc)
        click.echo(f"pb serve: {in_words(exc)}", err=True)
        sys.exit(WRONG_USE)
    try:
        if is_shared:
            run = _in_process(make, reloading, admin)
            sys.exit(Processes(processes, first, run).run())
        asyncio.run(_serve(first, reloading))
    except (CannotListenError, ConfigError) as exc:
        click.echo(f"pb serve: {in_words(exc)}", err=True)
        sys.exit(CANNOT_START)


def _in_process(make: Make, reloading: Reloading, admin: str | None) -> Run:
    """Return the function that serves in one of several processes, and returns its exit status."""

    def run(addresses: tuple[str, ...], index: int) -> int:
        # Each process has operators' data of its own.
        admin_at = None if admin is None else f"{admin}.{index}"
        try:
            asyncio.run(_serve(make(addresses, admin_at), reloading, is_quiet=True))
        except (CannotListenError, ConfigError) as exc:
            click.echo(f"pb serve: {in_words(exc)}", err=True)
            return CANNOT_START
        return 0

    return run


async def _serve(serving: Serve, reloading: Reloading, *, is_quiet: bool = False) -> None:
    server = await serving
    if not is_quiet:
        # A reader of this line may send a signal at once, so it is logged when signals are handled.
        said = f"serving at {' '.join(server.addresses)}"
        asyncio.get_running_loop().call_soon(click.echo, said)
    await server.serve_forever(reload=reloading.of(server))
    logger.info("ended, after %d connections", server.stats.accepted)
