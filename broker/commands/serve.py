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
from broker.commands.log_formats import FORMATS, LEVELS, start_logging
from broker.commands.operators import Operators, serve_all
from broker.commands.places import Places
from broker.commands.processes import OPERATORS, Processes, Run
from broker.commands.reloading import Reloading
from broker.commands.settings import Settings, server_options
from broker.commands.target import (
    WrongTarget,
    entered,
    is_manager,
    load,
    served,
    show_cause,
)
from broker.commands.throttle import write_audit
from broker.commands.wording import in_words
from broker.errors import CannotListenError, ConfigError
from broker.flavors.referenceable import Root
from broker.login.portal_logins import PortalLogins
from broker.login.throttle import LoginThrottle
from broker.observers import LogCalls, Observer
from broker.replies import Replies
from broker.server import Serve
from broker.server import serve as serve_at
from broker.slow_calls import SlowCalls
from broker.stopping import DRAIN
from cred.portal import Portal
from cred.strcred import StrcredException
from cred.users import StoreError

__all__ = ["serve"]

logger = logging.getLogger("broker.server")

Make: TypeAlias = Callable[[object, Places], Serve]

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
@click.option(
    "--drain",
    type=float,
    default=DRAIN,
    show_default=True,
    metavar="SECONDS",
    help="How many seconds running calls may continue after a signal.",
)
@click.option(
    "--after",
    type=float,
    default=0.0,
    metavar="SECONDS",
    help="Tell clients after a signal that this server may be back then.",
)
@click.option(
    "--elsewhere",
    multiple=True,
    metavar="ADDRESS",
    help="Tell clients after a signal that this server takes over; may be repeated.",
)
@click.option(
    "--replies",
    type=click.IntRange(1, 604_800),
    metavar="SECONDS",
    help="How long replies are kept for calls that run at most once; default: not at all.",
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
    "--manhole",
    is_flag=True,
    help="Give operators a Python prompt inside the server: at the socket of --admin, and to users"
    " of the group operators on TLS.",
)
@click.option(
    "--http",
    metavar="ADDRESS",
    help="The port for health, readiness and metrics: http://127.0.0.1:9100.",
)
@click.option(
    "--admin-page",
    is_flag=True,
    help="Show the server live at /admin of that port, to users in the group operators.",
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
    after: float,
    elsewhere: tuple[str, ...],
    replies: int | None,
    processes: int,
    admin: str | None,
    manhole: bool,
    http: str | None,
    admin_page: bool,
    log_level: str,
    log_format: str,
    log_calls: bool,
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
    start_logging(log_format, log_level)
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
        operators = Operators() if manhole else None

        def make(root: object, places: Places) -> Serve:
            return serve_at(
                root,
                *places.addresses,
                tls=tls,
                policy=policy,
                drain=drain,
                after=after,
                elsewhere=elsewhere,
                replies=None if replies is None else Replies(seconds=replies),
                reuse_port=processes > 1,
                admin=places.admin,
                manhole={"root": root} if manhole and places.admin is not None else None,
                http=places.http,
                admin_page=admin_page,
                observers=_observers(places, log_calls=log_calls),
                **settings.web(),
            )

        program = _Program(
            found,
            name,
            lambda inner: served(inner, checkers, name, throttle),
            make,
            partial(Reloading, context, context.meta[__name__]),
            operators,
        )
        if manhole and admin is None and not program.may_have_logins:
            raise click.UsageError("--manhole needs --admin, or users who log in")
        places = Places(addresses, admin, http)
        checked = program.checked(places)
    if processes > 1:
        with _exits(CANNOT_START, CannotListenError, ConfigError):
            run = program.in_process(places, processes)
            status = Processes(processes, checked, run, has_operators=admin is not None).run()
        sys.exit(status)
    checked.close()
    asyncio.run(program.run(places))


def _observers(places: Places, *, log_calls: bool) -> list[Observer]:
    """Return the observers of a server.

    An observer takes the calls off the quick path. Without one, the connection itself warns of a
    method that holds the event loop for more than a second.
    """
    if not log_calls and places.http is None:
        return []
    return [SlowCalls(), LogCalls()] if log_calls else [SlowCalls()]


class _Program:
    """What the command serves, and how.

    Args:
        found: the object of the module.
        name: its name in an error.
        to_root: makes the root of ``found``, or of what its context manager gives.
        make: makes the server.
        reloading: makes what reads the settings of the server of a root again.
        operators: what users of that group get from their avatars; None for nothing.
    """

    def __init__(
        self,
        found: object,
        name: str,
        to_root: Callable[[object], object],
        make: Make,
        reloading: Callable[[object], Reloading],
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
        self._numbering: tuple[int, int] | None = None

    @property
    def may_have_logins(self) -> bool:
        """Whether the root is a portal, or not known yet."""
        return self._root is None or isinstance(self._root, Portal | PortalLogins)

    def checked(self, places: Places) -> Serve:
        """Return the server, to be opened or closed; for a context manager with an empty root."""
        return self._make(Root() if self._root is None else self._root, places)

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

    def _to_root(self, found: object) -> object:
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

    async def _serve(self, root: object, places: Places, is_quiet: bool) -> None:
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
