"""The options of ``serve`` and ``check-config`` for a server."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from broker.commands.log_formats import FORMATS, LEVELS
from broker.commands.places import Places
from broker.commands.target import Served
from broker.commands.throttle import Failures, read_failures, throttle_of
from broker.commands.variables import unknown_variables, variable
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from broker.login.portal_logins import PortalLogins
from broker.login.throttle import LoginThrottle
from broker.net.forwarded import X_FORWARDED_FOR
from broker.net.tls.settings import TLS
from broker.observers import LogCalls, Observer
from broker.replies import Replies
from broker.server import Serve, serve
from broker.slow_calls import SlowCalls
from broker.stopping import DRAIN
from cred.certificates import CertificateChecker
from cred.checkers import CredentialsChecker
from cred.portal import Portal
from cred.strcred import makeChecker

__all__ = ["Settings", "misspelt_variables", "server_options"]


Function = TypeVar("Function", bound=Callable[..., Any])


class Settings(Struct, frozen=True):
    """A server's settings on the command line.

    Attributes:
        addresses: as for ``serve``.
        tls_cert, tls_key, client_ca: paths of PEM files.
        checkers: strings as for ``cred.strcred``.
        failures: how many logins may fail.
        audit_log: the path of the audit log; None for the general log.
        challenge_login, insecure_plaintext: as in `Policy`.
        origins, trusted_proxies, forwarded: as for ``serve``.
        drain, after, elsewhere, admin, http, admin_page: as for ``serve``.
        replies: for how many seconds replies are kept; None for not at all.
        processes: how many processes serve at the same ports.
        manhole: whether operators have a prompt inside the server.
        log_level, log_format: of the log, as for `start_logging`.
        log_calls: whether each call is logged.
        base: the policy of a configuration file, or the strict one.
    """

    addresses: tuple[str, ...]
    tls_cert: str | None = None
    tls_key: str | None = None
    client_ca: str | None = None
    checkers: tuple[str, ...] = ()
    failures: tuple[Failures, ...] = ()
    audit_log: str | None = None
    challenge_login: bool = False
    insecure_plaintext: bool = False
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    forwarded: str = X_FORWARDED_FOR
    drain: float = DRAIN
    after: float = 0.0
    elsewhere: tuple[str, ...] = ()
    replies: int | None = None
    processes: int = 1
    admin: str | None = None
    manhole: bool = False
    http: str | None = None
    admin_page: bool = False
    log_level: str = "info"
    log_format: str = "text"
    log_calls: bool = False
    base: Policy = STRICT

    def places(self) -> Places:
        """Return where the server listens."""
        return Places(self.addresses, self.admin, self.http)

    def server(
        self,
        root: Served,
        tls: TLS | None,
        policy: Policy,
        places: Places,
    ) -> Serve:
        """Return the server, to be opened or closed.

        Args:
            root: what it serves.
            tls: the result of `tls`.
            policy: the result of `policy`, or another one.
            places: the result of `places`, or those of one process of several.

        Raises:
            ConfigError: as ``serve``; or --manhole is given without a socket or a login for it.
        """
        has_prompt = self.manhole and places.admin is not None
        if self.manhole and not has_prompt and not isinstance(root, Portal | PortalLogins):
            raise ConfigError("--manhole needs --admin, or users who log in")
        return serve(
            root,
            *places.addresses,
            tls=tls,
            policy=policy,
            drain=self.drain,
            after=self.after,
            elsewhere=self.elsewhere,
            replies=None if self.replies is None else Replies(seconds=self.replies),
            origins=self.origins,
            trusted_proxies=self.trusted_proxies,
            forwarded=self.forwarded,
            reuse_port=self.processes > 1,
            admin=places.admin,
            manhole={"root": root} if has_prompt else None,
            http=places.http,
            admin_page=self.admin_page,
            observers=self._observers(),
        )

    def _observers(self) -> list[Observer]:
        """Return the observers of the server.

        An observer takes the calls off the quick path. Without one, the connection itself warns of
        a method that holds the event loop for more than a second.
        """
        if not self.log_calls and self.http is None:
            return []
        return [SlowCalls(), LogCalls()] if self.log_calls else [SlowCalls()]

    def policy(self) -> Policy:
        """Return the policy of the server."""
        return self.base.but(
            challenge_login=self.challenge_login, insecure_plaintext=self.insecure_plaintext
        )

    def on(self, base: Policy) -> Settings:
        """Return the same settings with the policy of a configuration file."""
        return replace(self, base=base)

    def make_checkers(self) -> list[CredentialsChecker]:
        """Return the checkers that the strings describe.

        Raises:
            StrcredException: a string is not valid.
            ConfigError, StoreError: a file or store that it names cannot be used, or does not
                exist.
        """
        with warnings.catch_warnings():
            # In a program the file of passwords may be created later; here a missing file is an
            # error.
            warnings.simplefilter("error", UserWarning)
            try:
                return [makeChecker(text) for text in self.checkers]
            except UserWarning as exc:
                raise ConfigError(f"{exc}; create a store of users with pb users add") from exc

    def throttle(self) -> LoginThrottle | None:
        """Return the limits of failed logins; None for the default limits.

        Raises:
            UsageError: a limit is given twice.
        """
        return throttle_of(self.failures)

    def tls(self, checkers: Sequence[object]) -> TLS | None:
        """Return the TLS settings; None without a certificate.

        With a checker of client certificates, the server asks for certificates of its
        authority. Clients without one may connect if there are other checkers. With --client-ca
        every client must present one.

        Raises:
            UsageError: only one of certificate and key is given; or the checkers contradict each
                other.
            ConfigError: a file cannot be used.
        """
        authorities = {
            checker.ca if isinstance(checker.ca, bytes) else Path(checker.ca)
            for checker in checkers
            if isinstance(checker, CertificateChecker) and checker.ca is not None
        }
        if self.tls_cert is None or self.tls_key is None:
            if (self.tls_cert, self.tls_key, self.client_ca) != (None, None, None) or authorities:
                raise click.UsageError("certificates need both --tls-cert and --tls-key")
            return None
        if self.client_ca is not None or not authorities:
            return TLS.server(self.tls_cert, self.tls_key, client_ca=self.client_ca)
        if len(authorities) > 1:
            raise click.UsageError(
                f"{len(authorities)} client authorities: put all of them into one file for"
                " --client-ca"
            )
        is_optional = not all(isinstance(checker, CertificateChecker) for checker in checkers)
        return TLS.server(
            self.tls_cert,
            self.tls_key,
            client_ca=authorities.pop(),
            client_optional=is_optional,
        )


_FILE = click.Path(dir_okay=False)

# Of the environment variables of serve.
_PREFIX = "PB_serve"


class _ServeOption(click.Option):
    """An option of ``serve``; its environment variable is for the other commands with it, too."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.envvar = variable(_PREFIX, self)


_option = partial(click.option, cls=_ServeOption)

_OPTIONS = (
    _option(
        "--checker",
        "checkers",
        multiple=True,
        metavar="STRING",
        help="Who may log in: anonymous, file:users.db, …; can be repeated.",
    ),
    _option(
        "--allow-failures",
        "failures",
        multiple=True,
        callback=read_failures,
        metavar="KIND=N/SECS",
        help="How many logins of one account, source or connection may fail: account=10/30"
        " allows ten, and then one in 30 seconds; source=any sets no limit; behind a proxy, use"
        " --trusted-proxy instead.",
    ),
    _option(
        "--audit-log",
        type=_FILE,
        metavar="FILE",
        help="The file for the audit log, one line of JSON for each login; default: the standard"
        " error.",
    ),
    _option("--tls-cert", type=_FILE, help="The server's certificate, with its chain."),
    _option("--tls-key", type=_FILE, help="The private key of the certificate."),
    _option("--client-ca", type=_FILE, help="Require client certificates of this authority."),
    _option(
        "--challenge-login",
        is_flag=True,
        help="Accept PB's old MD5 login, which Twisted's clients use.",
    ),
    _option(
        "--insecure-plaintext", is_flag=True, help="Allow pb:// and ws:// at a public address."
    ),
    _option(
        "--origin",
        "origins",
        multiple=True,
        metavar="ORIGIN",
        help="A web page that may connect by WebSocket: https://broker.example; can be repeated.",
    ),
    _option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="ADDRESS",
        help="A proxy that says for whom it connects: an address, a network, or unix; can be"
        " repeated.",
    ),
    _option(
        "--forwarded",
        default=X_FORWARDED_FOR,
        show_default=True,
        metavar="HEADER",
        help="The header of HTTP that the proxies set: X-Forwarded-For or Forwarded.",
    ),
    _option(
        "--drain",
        type=float,
        default=DRAIN,
        show_default=True,
        metavar="SECONDS",
        help="How many seconds running calls may continue after a signal.",
    ),
    _option(
        "--after",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="Tell clients after a signal that this server may be back then.",
    ),
    _option(
        "--elsewhere",
        multiple=True,
        metavar="ADDRESS",
        help="Tell clients after a signal that this server takes over; may be repeated.",
    ),
    _option(
        "--replies",
        type=click.IntRange(1, 604_800),
        metavar="SECONDS",
        help="How long replies are kept for calls that run at most once; default: not at all.",
    ),
    _option(
        "--processes",
        type=click.IntRange(1, 1024),
        default=1,
        show_default=True,
        metavar="N",
        help="How many processes serve at the same ports.",
    ),
    _option(
        "--admin",
        metavar="ADDRESS",
        help="The UNIX socket for pb top and other commands of operators: pb+unix:///path.",
    ),
    _option(
        "--manhole",
        is_flag=True,
        help="Give operators a Python prompt inside the server: at the socket of --admin, and to"
        " users of the group operators on TLS.",
    ),
    _option(
        "--http",
        metavar="ADDRESS",
        help="The port for health, readiness and metrics: http://127.0.0.1:9100.",
    ),
    _option(
        "--admin-page",
        is_flag=True,
        help="Show the server live at /admin of that port, to users in the group operators.",
    ),
    _option(
        "--log-level",
        type=click.Choice(LEVELS),
        default="info",
        show_default=True,
        help="The lowest level of log records on the standard error.",
    ),
    _option(
        "--log-format",
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="The form of log records: text for people, or a line of JSON or logfmt for programs.",
    ),
    _option("--log-calls", is_flag=True, help="Log each call of a client, without its arguments."),
)


def server_options(function: Function) -> Function:
    """Add the options of ``serve`` to a command, which gets them as the fields of `Settings`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def misspelt_variables(context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the environment variables that set no option of ``serve``, with what may be meant."""
    return unknown_variables(_PREFIX, context.command.params, os.environ)
