"""The options of a client: its credentials, the servers that it trusts, and its proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from broker.commands.password import password_file_option, password_from
from broker.commands.profiles import profile_option
from broker.errors import ConfigError
from broker.net.tls.settings import TLS
from cred.credentials import Anonymous, ClientCertificate, Token, UsernamePassword

__all__ = ["Identity", "ca_option", "client_options", "plaintext_option", "timeout_option"]


Function = TypeVar("Function", bound=Callable[..., Any])


class Identity(Struct, frozen=True):
    """A client's settings on the command line.

    Attributes:
        user: a user name.
        password_file: where the password is, see `password_from`.
        token_file: the path of a file with a token.
        anonymous: whether to log in as a guest.
        cert, key: paths of PEM files to present.
        no_login: whether the certificate is for TLS only.
        ca: the path of a PEM file with trusted authorities.
        pin: the SHA-256 hash of a server key.
        proxy: the URL of a proxy, or ``env``.
    """

    user: str | None
    password_file: str | None
    token_file: str | None
    anonymous: bool
    cert: str | None
    key: str | None
    no_login: bool
    ca: str | None
    pin: str | None
    proxy: str | None

    @property
    def is_login(self) -> bool:
        """Whether there are credentials to log in with."""
        given = self.user, self.token_file, self.cert
        return self.anonymous or (not self.no_login and any(each is not None for each in given))

    def credentials(self) -> object:
        """Return the credentials, or None without a login. Asks for a password.

        Raises:
            UsageError: the options contradict each other.
            ConfigError: a file cannot be read.
        """
        ways = [self.user is not None, self.token_file is not None, self.anonymous, self.no_login]
        if sum(ways) > 1:
            raise click.UsageError("choose one of --user, --token-file, --anonymous and --no-login")
        if self.password_file is not None and self.user is None:
            raise click.UsageError("--password-file needs --user")
        if self.user is not None:
            password = password_from(self.password_file, f"Password of {self.user}")
            return UsernamePassword(self.user, password)
        if self.token_file is not None:
            return Token(_read(self.token_file))
        if self.anonymous:
            return Anonymous()
        return ClientCertificate() if self.cert is not None and not self.no_login else None

    def tls(self) -> TLS | None:
        """Return the TLS settings; None for the default settings.

        Raises:
            ConfigError: a file cannot be used, or the files contradict each other.
        """
        if self.ca is self.cert is self.key is self.pin is None:
            return None
        return TLS.client(ca=self.ca, certificate=self.cert, key=self.key, pin=self.pin)


_FILE = click.Path(dir_okay=False)

plaintext_option = click.option(
    "--insecure-plaintext", is_flag=True, help="Allow pb:// to another machine."
)
"""The option of a command that may connect without encryption."""


def timeout_option(of: str) -> Callable[[Function], Function]:
    """Return the option of a command for its time limit.

    Args:
        of: what the limit is of, for the help.
    """
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help=f"Time limit in seconds for {of}.",
    )


ca_option = click.option(
    "--ca", envvar="PB_CA", type=_FILE, help="Trust this authority instead of the usual ones."
)
"""The option of a client for the authorities that it trusts."""

_OPTIONS = (
    profile_option,
    click.option(
        "--user",
        envvar="PB_USER",
        metavar="NAME",
        help="Log in as this user; asks for the password.",
    ),
    password_file_option,
    click.option("--token-file", type=_FILE, help="Log in with the token in this file."),
    click.option("--anonymous", is_flag=True, help="Log in as a guest."),
    click.option("--cert", type=_FILE, help="Present this certificate, and log in with it."),
    click.option("--key", type=_FILE, help="The private key of the certificate."),
    click.option("--no-login", is_flag=True, help="Present the certificate, but do not log in."),
    ca_option,
    click.option("--pin", metavar="HEX", help="Trust the server whose key has this SHA-256 hash."),
    click.option(
        "--proxy",
        metavar="URL",
        help="Connect through this proxy: socks5://HOST:PORT, socks4://…, http://…; or env, for the"
        " URL in ALL_PROXY.",
    ),
)


def client_options(function: Function) -> Function:
    """Add the options of a client to a command, which gets them as the fields of `Identity`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the token cannot be read: {exc}") from exc
