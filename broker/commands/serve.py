"""The command ``serve``: serves an object of a module until a signal."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import click

from broker.commands.config_file import ConfigFile, config_option, from_file
from broker.commands.log_formats import start_logging
from broker.commands.operators import Operators, serve_all
from broker.commands.places import Places
from broker.commands.processes import OPERATORS, Processes, Run
from broker.commands.reloading import Reloading
from broker.commands.settings import Settings, misspelt_variables, server_options
from broker.commands.target import (
    Served,
    WrongTarget,
    assumed,
    entered,
    is_manager,
    load,
    served,
    show_cause,
)
from broker.commands.throttle import write_audit
from broker.commands.wording import in_words
from broker.errors import CannotListenError, ConfigError
from broker.login.throttle import LoginThrottle
from broker.server import Serve
from cred.strcred import StrcredException
from cred.users import StoreError

__all__ = ["serve"]

logger = logging.getLogger("broker.server")

Make: TypeAlias = Callable[[Served, Places], Serve]

CANNOT_START, WRONG_USE = 1, 2
_WRONG = (ConfigError, StoreError, StrcredException, WrongTarget)


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
@click.pass_context
def serve(
    context: click.Context,
    /,
    target: str | None,
    addresses: tuple[str, ...],
    config: ConfigFile | None,
    **options: Any,
) -> None:
    """Serve the object NAME of MODULE at each ADDRESS, until SIGTERM or SIGINT.

    NAME is a Root or a Portal, or a class of one. With --checker it is the object that users get
    after the login: a realm; a function or an Avatar class, called with avatar id and mind; or a
    Root. NAME may also be an async context manager that gives one of these: it is entered before
    the server starts, and left when the server has ended.

    An ADDRESS is pb://host:port, pbs://host:port for TLS, ws://host:port/path or wss://… for
    WebSocket, or pb+unix:///path; port 0 takes a free one. pb+systemd:NAME and pb+fd:3 are sockets
    that the process was started with. SIGHUP reloads the certificates and the configuration file.
    After the first signal running calls may end; a second signal closes their connections at once.
    The exit status is then 0. It is 1 if the server could not start, 2 if the command line is
    wrong.
    """
    start_logging(options["log_format"], options["log_level"])
    for variable, meant in misspelt_variables(context):
        logger.warning("%s sets no option; did you mean %s?", variable, meant)
    if target is None:
        raise click.UsageError("Missing argument 'MODULE:NAME', also without target in --config.")
    name = target
    with _exits(WRONG_USE, *_WRONG):
        settings = Settings(addresses, **options)
        if config is not None:
            settings = settings.on(config.policy)
        checkers = settings.make_checkers()
        throttle = settings.throttle()
        if checkers and throttle is None:
            # An object of its own, whose limits a new configuration can change.
            throttle = LoginThrottle()
        found = load(name, config)
        tls, policy = settings.tls(checkers), settings.policy()
        if settings.audit_log is not None:
            write_audit(settings.audit_log)
        program = _Program(
            found,
            lambda inner: served(inner, checkers, name, throttle),
            assumed(found, checkers),
            lambda root, places: settings.server(root, tls, policy, places),
            name,
            partial(Reloading, context, context.meta[__name__]),
            Operators() if settings.manhole else None,
        )
        places = settings.places()
        checked = program.checked(places)
    processes = settings.processes
    if processes > 1:
        with _exits(CANNOT_START, CannotListenError, ConfigError):
            run = program.in_process(places, processes)
            status = Processes(
                processes, checked, run, has_operators=settings.admin is not None
            ).run()
        sys.exit(status)
    checked.close()
    asyncio.run(program.run(places))


class _Program:
    """What the command serves, and how.

    Args:
        found: the object of the module.
        to_root: makes the root of ``found``, or of what its context manager gives.
        in_place: what is checked in place of what a context manager gives.
        make: makes the server.
        name: the name of ``found`` in an error.
        reloading: makes what reads the settings of the server of a root again.
        operators: what users of that group get from their avatars; None for nothing.
    """

    def __init__(
        self,
        found: object,
        to_root: Callable[[object], Served],
        in_place: object,
        make: Make,
        name: str,
        reloading: Callable[[Served], Reloading],
        operators: Operators | None,
    ):
        self._found = found
        self._name = name
        self._make_root = to_root
        self._operators = operators
        self._make = make
        self._reloading = reloading
        # A context manager is entered in the loop of the server.
        self._root = None if is_manager(found) else self._to_root(found)
        self._checked_root = self._make_root(in_place) if self._root is None else self._root
        self._numbering: tuple[int, int] | None = None

    def checked(self, places: Places) -> Serve:
        """Return the server, to be opened or closed; a context manager has not been entered."""
        return self._make(self._checked_root, places)

    def in_process(self, places: Places, count: int) -> Run:
        """Return the function that serves in one of several processes."""

        def run(addresses: tuple[str, ...], index: int) -> int:
            try:
                if index == OPERATORS:
                    with _exits(CANNOT_START, CannotListenError):
                        serve_all(str(places.admin), count)
                    return 0
                self._numbering = (index, count)
                asyncio.run(self.run(places.of_process(index, addresses), is_quiet=True))
            except SystemExit as exc:
                return CANNOT_START if not isinstance(exc.code, int) else exc.code
            return 0

        return run

    def _to_root(self, found: object) -> Served:
        root = self._make_root(found)
        if self._operators is not None:
            self._operators.equip(root)
        return root

    async def run(self, places: Places, *, is_quiet: bool = False) -> None:
        """Serve until a signal."""
        if self._root is not None:
            await self._serve(self._root, places, is_quiet)
            return
        with _exits(CANNOT_START, CannotListenError), _exits(WRONG_USE, *_WRONG):
            async with entered(self._found, self._name) as inner:
                await self._serve(self._to_root(inner), places, is_quiet)

    async def _serve(self, root: Served, places: Places, is_quiet: bool) -> None:
        with _exits(CANNOT_START, CannotListenError, ConfigError):
            server = await self._make(root, places)
        if self._numbering is not None:
            server.number_from(*self._numbering)
        if self._operators is not None:
            self._operators.server = server
        if not is_quiet:
            # A reader of this line may send a signal at once: signals must be handled before.
            said = f"serving at {' '.join(server.addresses)}"
            asyncio.get_running_loop().call_soon(click.echo, said)
        if server.http_address is not None:
            logger.info("pages at %s", server.http_address)
        await server.serve_forever(reload=self._reloading(root).of(server))
        logger.info("ended, after %d connections", server.stats.accepted)


@contextmanager
def _exits(status: int, *kinds: type[Exception]) -> Iterator[None]:
    """End the command with a status, and a line about the error, after an error of these kinds."""
    try:
        yield
    except kinds as exc:
        show_cause(exc)
        click.echo(f"pb serve: {in_words(exc)}", err=True)
        sys.exit(status)
