"""What the command line says about a server: the options of ``serve``, and of ``check-config``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from broker.commands.guarding import Failures, read_failures, throttle_of
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from broker.login.throttle import LoginThrottle
from broker.net.tls.settings import TLS
from cred.certificates import CertificateChecker
from cred.strcred import makeChecker

__all__ = ["Settings", "server_options"]


class Settings(Struct, frozen=True):
    """A server as the command line has it.

    Attributes:
        addresses: as ``serve`` takes them.
        tls_cert, tls_key, client_ca: paths of PEM files.
        checkers: strings as ``cred.strcred`` has them.
        failures: how many logins may fail.
        audit_log: the path of the audit log; None for the general log.
        challenge_login, insecure_plaintext: as `Policy` has them.
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

    def policy(self) -> Policy:
        """Return the policy of the server."""
        return STRICT.but(
            challenge_login=self.challenge_login, insecure_plaintext=self.insecure_plaintext
        )

    def make_checkers(self) -> list[Any]:
        """Return the checkers that the strings describe.

        Raises:
            StrcredException: a string is not understood.
            ConfigError, StoreError: what it names cannot be used, or is not there.
        """
        with warnings.catch_warnings():
            # For a program a file of passwords may come later; here its name is wrong.
            warnings.simplefilter("error", UserWarning)
            try:
                return [makeChecker(text) for text in self.checkers]
            except UserWarning as exc:
                raise ConfigError(f"{exc}; pb users add makes a store of users") from exc

    def throttle(self) -> LoginThrottle | None:
        """Return what limits failed logins; None for the usual limits.

        Raises:
            UsageError: a limit is given twice.
        """
        return throttle_of(self.failures)

    def tls(self, checkers: Sequence[Any]) -> TLS | None:
        """Return the TLS settings; None where there is no certificate.

        A checker of client certificates has TLS ask for those of its authority; clients without
        one come in too if there are other checkers. What --client-ca names is demanded of all.

        Raises:
            UsageError: certificate and key are not given both; or the checkers contradict.
            ConfigError: a file cannot be used.
        """
        authorities = {
            checker.ca if isinstance(checker.ca, bytes) else Path(checker.ca)
            for checker in checkers
            if isinstance(checker, CertificateChecker) and checker.ca is not None
        }
        if self.tls_cert is None or self.tls_key is None:
            if (self.tls_cert, self.tls_key, self.client_ca) != (None, None, None) or authorities:
                raise click.UsageError("certificates need --tls-cert and --tls-key, both")
            return None
        if self.client_ca is not None or not authorities:
            return TLS.server(self.tls_cert, self.tls_key, client_ca=self.client_ca)
        if len(authorities) > 1:
            raise click.UsageError(
                f"{len(authorities)} authorities of clients: put all into one file for --client-ca"
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
        help="Who may log in: anonymous, file:users.db, …; may be given again.",
    ),
    click.option(
        "--allow-failures",
        "failures",
        multiple=True,
        callback=read_failures,
        metavar="KIND=N/SECS",
        help="How many logins may fail of one account, source or connection: account=10/30 is ten,"
        " and then one in 30 seconds; source=any sets no limit, for servers behind a proxy.",
    ),
    click.option(
        "--audit-log",
        type=_FILE,
        metavar="FILE",
        help="Where each login is told, as a line of JSON, instead of on the standard error.",
    ),
    click.option("--tls-cert", type=_FILE, help="The certificate to show, with its chain."),
    click.option("--tls-key", type=_FILE, help="Its private key."),
    click.option("--client-ca", type=_FILE, help="Whose client certificates to demand."),
    click.option(
        "--challenge-login", is_flag=True, help="Take PB's old MD5 login, of Twisted's clients."
    ),
    click.option(
        "--insecure-plaintext", is_flag=True, help="Allow pb:// at an address that is public."
    ),
)


def server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a server; it gets them as the fields of `Settings`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
