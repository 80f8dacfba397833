"""The options of ``serve`` and ``check-config`` for a server."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from broker.commands.throttle import Failures, read_failures, throttle_of
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from broker.login.throttle import LoginThrottle
from broker.net.forwarded import X_FORWARDED_FOR
from broker.net.tls.settings import TLS
from cred.certificates import CertificateChecker
from cred.checkers import CredentialsChecker
from cred.strcred import makeChecker

__all__ = ["Settings", "server_options"]


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
    base: Policy = STRICT

    def web(self) -> dict[str, Any]:
        """Return the arguments of ``serve`` about web pages and proxies."""
        return {
            "origins": self.origins,
            "trusted_proxies": self.trusted_proxies,
            "forwarded": self.forwarded,
        }

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

_OPTIONS = (
    click.option(
        "--checker",
        "checkers",
        multiple=True,
        metavar="STRING",
        help="Who may log in: anonymous, file:users.db, …; can be repeated.",
    ),
    click.option(
        "--allow-failures",
        "failures",
        multiple=True,
        callback=read_failures,
        metavar="KIND=N/SECS",
        help="How many logins of one account, source or connection may fail: account=10/30"
        " allows ten, and then one in 30 seconds; source=any sets no limit; behind a proxy, use"
        " --trusted-proxy instead.",
    ),
    click.option(
        "--audit-log",
        type=_FILE,
        metavar="FILE",
        help="The file for the audit log, one line of JSON for each login; default: the standard"
        " error.",
    ),
    click.option("--tls-cert", type=_FILE, help="The server's certificate, with its chain."),
    click.option("--tls-key", type=_FILE, help="The private key of the certificate."),
    click.option("--client-ca", type=_FILE, help="Require client certificates of this authority."),
    click.option(
        "--challenge-login",
        is_flag=True,
        help="Accept PB's old MD5 login, which Twisted's clients use.",
    ),
    click.option(
        "--insecure-plaintext", is_flag=True, help="Allow pb:// and ws:// at a public address."
    ),
    click.option(
        "--origin",
        "origins",
        multiple=True,
        metavar="ORIGIN",
        help="A web page that may connect by WebSocket: https://broker.example; can be repeated.",
    ),
    click.option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="ADDRESS",
        help="A proxy that says for whom it connects: an address, a network, or unix; can be"
        " repeated.",
    ),
    click.option(
        "--forwarded",
        default=X_FORWARDED_FOR,
        show_default=True,
        metavar="HEADER",
        help="The header of HTTP that the proxies set: X-Forwarded-For or Forwarded.",
    ),
)


def server_options(function: Function) -> Function:
    """Add the options of a server to a command, which gets them as the fields of `Settings`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
